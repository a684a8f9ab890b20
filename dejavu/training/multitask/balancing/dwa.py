"""Dynamic Weight Average: tasks whose loss falls slowly count for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ....errors import check_number
from ....registry import Positive
from .base import WeightedSum


class DWA(WeightedSum):
    """Weights that change once an epoch, by the ratio of the tasks' mean losses of the last two epochs.

    Of T tasks, the weights are T times the softmax of these ratios over the temperature, so they sum to T. In
    the first two epochs, before there are two means, they are 1. A task whose mean was 0, as without labels,
    has the ratio 1.

    Args:
        temperature: above 0; the larger, the more alike the weights.

    Source: Liu, Johns and Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, section 3.3.
    """

    def __init__(self, tasks: Sequence[str], network: nn.Module, temperature: Positive = 2.0) -> None:
        super().__init__(tasks, network)
        check_number("balance.temperature:", temperature, 0, ends="(]")
        self.temperature = temperature
        self.means: Tensor  # of the last epoch but one and the last; NaN where there was none yet
        self.register_buffer("means", torch.full((2, len(tasks)), torch.nan, dtype=torch.float64))

    def weigh(self, losses: Sequence[Tensor]) -> Tensor:
        before, last = self.means
        ratio = last / before  # (T,), not finite as long as there are not two epochs
        rate = torch.where(torch.isfinite(ratio), ratio, 1.0)
        return (len(self.tasks) * torch.softmax(rate / self.temperature, 0)).to(self.used)

    def end_epoch(self, means: Mapping[str, float]) -> None:
        now = torch.tensor(self.ordered(means), dtype=torch.float64, device=self.means.device)
        self.means.copy_(torch.stack([self.means[1], now]))
