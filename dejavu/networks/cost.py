"""The cost of a network at inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

Build = Callable[[], nn.Module]


class Cost(NamedTuple):
    """The cost of one image. Giga is 1e9 (HRNet's published figures divide by 2^30), mega 1e6."""

    gmacs: float
    params_m: float


def measure(build: Build, input_size: tuple[int, int], device: str | torch.device = "meta") -> Cost:
    """Count multiply-accumulates of convolutions and matrix products, and parameters, of what is deployed.

    Parameters whose names begin with one of the network's `training_only` are left out: of auxiliary heads,
    which evaluation mode does not run. Norms, activations and interpolation are not counted, as in the
    field's tables. On the meta device nothing is computed and no memory is taken.

    Args:
        build: makes the network.
        input_size: height and width of an RGB image, pixels.
        device: where to run it; the counts do not depend on it.
    """
    with torch.device(device):
        network = build().eval()
        image = torch.zeros(1, 3, *input_size)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _WithoutNorms(), counter:
        network(image)
    left_out = tuple(getattr(network, "training_only", ()))
    parameters = sum(
        parameter.numel() for name, parameter in network.named_parameters() if not name.startswith(left_out)
    )
    return Cost(counter.get_total_flops() / 2 / 1e9, parameters / 1e6)


class _WithoutNorms(TorchFunctionMode):
    """Leaves norms out: nobody counts them, and on the meta device they took more than half of the time."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (F.batch_norm, F.layer_norm, F.group_norm):
            return args[0]
        return func(*args, **(kwargs or {}))
