"""Base networks: one a file, found by the file's name.

Each file exposes `build(num_classes, width, **options) -> nn.Module`: (N, 3, H, W), any H and W, to logits
(N, num_classes, H/stride, W/stride), rounded up, with the attribute `stride`. A `width` below 1 makes the
same class with fewer channels, for small scales.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .. import options
from ..errors import DejavuError

if TYPE_CHECKING:
    from torch import nn


def names() -> list[str]:
    """Every network module's name."""
    return options.modules("networks")


def build(module: str, num_classes: int, width: float = 1.0, **given: object) -> nn.Module:
    """A network by its file's name. Raises DejavuError for an unknown name, option or value."""
    try:
        options.check("networks", module, given, "network")
    except ValueError as error:
        raise DejavuError(str(error)) from None
    if num_classes < 1 or not 0 < width <= 1:
        raise DejavuError(
            f"a network needs num_classes >= 1 and 0 < width <= 1, not {num_classes} and {width}"
        )
    network = import_module(f"{__name__}.{module}").build(num_classes, width, **given)
    if not isinstance(getattr(network, "stride", None), int):
        raise DejavuError(
            f"networks/{module}.py: what build returns needs the attribute 'stride', of its logits"
        )
    return network
