"""A network that a function of the user's builds: `module: package.module:function` in params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DejavuError
from ..system.own_code import load

SIDE = 128
"""pixels of the image whose prediction shows the stride"""


def build_own(
    name: str, outputs: int | Mapping[str, int], width: float, depth: float, **options: Any
) -> nn.Module:
    """Build the network of `function(num_classes, **options)` and find the stride of its prediction.

    Raises DejavuError for a function that returns no network, and for a prediction of another shape than
    (N, num_classes, h, w).
    """
    if isinstance(outputs, Mapping):
        raise DejavuError(f"{name} builds a network of one task, not of {' and '.join(outputs)}")
    if (width, depth) != (1.0, 1.0):
        raise DejavuError(f"{name} builds a network of one size: set width and depth to 1.0 for its rows")
    function = load(name)
    try:
        network = function(outputs, **options)
    except TypeError as error:
        raise DejavuError(
            f"{name} is called with num_classes={outputs} and the options, and fails ({error})"
        ) from None
    if not isinstance(network, nn.Module):
        raise DejavuError(f"{name} returns {type(network).__name__}, and a torch.nn.Module is needed")
    stride = _stride(name, network, outputs)
    if not isinstance(getattr(network, "stride", None), int):
        setattr(network, "stride", stride)  # noqa: B010 (a module's attributes are typed as tensors)
    return network


def _stride(name: str, network: nn.Module, outputs: int) -> int:
    """Return how many pixels of the image lie beside each other in one of the prediction."""
    training, first = network.training, next(network.parameters(), torch.empty(0))
    image = torch.zeros(1, 3, SIDE, SIDE, device=first.device)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            output = network.eval()(image)
        except Exception as error:  # whatever the network raises
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise DejavuError(
                f"{name}: its network fails on images (1, 3, {SIDE}, {SIDE}): {reason}"
            ) from None
    network.train(training)
    logits = output if isinstance(output, Tensor) else _out(output)
    if not isinstance(logits, Tensor):
        raise DejavuError(
            f"{name}: its network returns {type(output).__name__}, and a tensor of logits is needed"
        )
    if logits.ndim != 4 or logits.shape[:2] != (1, outputs):
        raise DejavuError(
            f"{name}: for images (1, 3, {SIDE}, {SIDE}) its network returns {tuple(logits.shape)}, and "
            f"(1, {outputs}, h, w) is needed, one map for each of {outputs} outputs"
        )
    return max(1, round(SIDE / logits.shape[2]))


def _out(output: Any) -> Any:
    """Return the logits of torchvision's and transformers' outputs."""
    for key in ("out", "logits"):
        value = output.get(key) if isinstance(output, Mapping) else getattr(output, key, None)
        if value is not None:
            return value
    return None
