"""Networks that compare images in training (CLIP, VGG, ...), and are neither trained, saved nor deployed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...compute.weights import is_file_name
from ...errors import DejavuError, check_number, is_number


class Frozen:
    """A container that hides a network from the module that owns it.

    It is no nn.Module on purpose: what it holds is in no `parameters()`, `state_dict()`, `train()` or `to()`
    of its owner, and so in no optimizer, checkpoint or exported weights. Gradients go through the network
    to its input only. A copy or a pickle of it holds no weights, but how to make them again.
    """

    def __init__(self, network: nn.Module, made_by: Callable[..., Frozen], *arguments: Any) -> None:
        self.network = network.eval().requires_grad_(False)
        self._made_by, self._arguments = made_by, arguments
        self._elsewhere: dict[torch.device, nn.Module] = {}

    @torch.inference_mode(False)  # a copy made in it could not be used in training later
    def on(self, device: torch.device) -> nn.Module:
        """Return the network on the device of its input, copied there when it is first needed."""
        if device.type == "cpu":
            return self.network
        if device not in self._elsewhere:
            self._elsewhere[device] = deepcopy(self.network).to(device)
        return self._elsewhere[device]

    def __reduce__(self) -> tuple[Callable[..., Frozen], tuple[Any, ...]]:
        return self._made_by, self._arguments


def frozen_copy(network: nn.Module) -> Frozen:
    """Return a frozen copy of a network, which a copy or a pickle of it holds with its weights."""
    own = deepcopy(network)
    return Frozen(own, frozen_copy, own)


def check_rgb(name: str, images: Tensor) -> None:
    """Raise DejavuError unless images are floating (N, 3, H, W)."""
    if not isinstance(images, Tensor):
        raise DejavuError(f"{name} must be a tensor, not {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise DejavuError(
            f"{name} must be floating (N, 3, H, W) images, not {images.dtype} {tuple(images.shape)}"
        )


def check_numbers(key: str, weight: float, width: float, seed: int) -> None:
    """Raise DejavuError unless a term's weight is at least 0, its width within 0 and 1, its seed whole."""
    check_number(f"{key}.weight", weight, 0)
    check_number(f"{key}.width", width, 0, 1, "(]")
    check_number(f"{key}.seed", seed, whole=True)


def describe(network: str, source: str | None, width: float) -> str:
    """Describe a frozen network for a table's note: its name, the source of its weights, its width.

    >>> describe("VGG16", None, 0.25), describe("VGG16", "models/vgg16.pth", 1)
    ('VGG16, random weights, width 0.25', 'VGG16, weights of vgg16.pth')
    """
    if source is None:
        weights = "random weights"
    else:
        weights = f"weights of {Path(source).name}" if is_file_name(source) else f"weights {source}"
    return ", ".join([network, weights, *([] if width == 1 else [f"width {width:g}"])])


def check_triple(key: str, values: Sequence[float], least: float) -> tuple[float, float, float]:
    """Return three numbers, one a colour channel. Raises DejavuError unless each is above `least`."""
    if (
        not isinstance(values, Sequence | np.ndarray)
        or len(values) != 3
        or not all(is_number(value) and value > least for value in values)
    ):
        raise DejavuError(f"{key} must be three numbers above {least:g}, one a channel, not {values!r}")
    return float(values[0]), float(values[1]), float(values[2])
