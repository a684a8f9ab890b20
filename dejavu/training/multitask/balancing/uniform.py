"""The plain sum: all tasks have the weight 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import WeightedSum


class Uniform(WeightedSum):
    """The sum of the losses: the same gradients, to the bit, as those of (sum + added).backward()."""

    def weigh(self, losses: Sequence[Tensor]) -> Tensor:
        return torch.ones_like(self.used)
