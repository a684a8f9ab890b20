"""Losses of the published recipes, in addition to plain cross-entropy.

`Criterion` joins the terms that a recipe names: `ohem.py` (only the hard pixels), `rmi.py` (regions instead
of pixels), `categories.py` (coarser labels, HS3), class weights and auxiliary outputs. `TaskLosses` has the
losses of a network with more than one task.
"""

from __future__ import annotations

from .criterion import Criterion, check_auxiliary
from .per_task import TaskLosses

__all__ = ["Criterion", "TaskLosses", "check_auxiliary"]
