"""Initial weights from a normal distribution that is cut at two deviations, as Keras draws them."""

from __future__ import annotations

import math

from torch import Tensor, nn

INSIDE = 0.87962566  # deviation of a standard normal distribution that is cut at 2


def cut_normal(weight: Tensor, deviation: float) -> None:
    """Draw from the cut normal; `deviation` is that of the distribution before it is cut."""
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)


def he_normal(weight: Tensor) -> None:
    """Draw with the deviation sqrt(2 / inputs) (He et al., ICCV 2015); the first axis are the outputs."""
    cut_normal(weight, math.sqrt(2 / weight[0].numel()) / INSIDE)
