"""Cross-task consistency (XTC, Li, Liu and Bilen, CVPR 2022): tasks supervise each other, in training only.

For each ordered pair of tasks, a small network maps the prediction of the one and the ground truth of the
other into a space of their own, where the two must agree. So a task without label learns from those that
have one.
"""

from __future__ import annotations

from .loss import CrossTaskConsistency
from .network import ConsistencyNetwork

__all__ = ["ConsistencyNetwork", "CrossTaskConsistency"]
