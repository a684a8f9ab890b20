"""How the published segmentation recipes tell a network what is true, beside plain cross-entropy.

`Criterion` joins what a recipe names: `ohem.py` (only the hard pixels), `rmi.py` (regions instead of
pixels), `categories.py` (coarser labels, HS3), class weights and auxiliary outputs. `SeveralCriterion` has
the losses of several tasks.
"""

from __future__ import annotations

from .criterion import Criterion, check_auxiliary
from .per_task import SeveralCriterion

__all__ = ["Criterion", "SeveralCriterion", "check_auxiliary"]
