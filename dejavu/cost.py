"""What a network costs at inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Build = Callable[[], nn.Module]


class Cost(NamedTuple):
    """Of one image. Giga is 1e9 (HRNet's published figures divide by 2^30), mega 1e6."""

    gmacs: float
    params_m: float


def measure(build: Build, input_size: tuple[int, int], device: str | torch.device = "meta") -> Cost:
    """Count multiply-accumulates of convolutions and matrix products, and parameters.

    Norms, activations and interpolation are not counted, as in the field's tables. On the meta device
    nothing is computed and no memory is taken.

    Args:
        build: makes the network.
        input_size: height and width of an RGB image, pixels.
        device: where to run it; the counts do not depend on it.
    """
    with torch.device(device):
        network = build().eval()
        image = torch.zeros(1, 3, *input_size)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(image)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(counter.get_total_flops() / 2 / 1e9, parameters / 1e6)
