"""Training by more than one process: the order of wrapping, and the prediction with its loss in one call.

A wrapper such as DistributedDataParallel averages the gradients of what runs within its own forward pass. So
DejaVu is inside of it, and its forward pass also computes the loss where that is requested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DejavuError, nearest

# Class of a module that averages gradients -> how it is put around a DejaVu. Names, because importing all
# of these classes would take seconds.
WRAPPERS = {
    "DistributedDataParallel": "DistributedDataParallel({})",
    "FullyShardedDataParallel": "FullyShardedDataParallel({})",
    "FSDPModule": "fully_shard({})",
    "DeepSpeedEngine": "deepspeed.initialize(model={})",
    "_FabricModule": "fabric.setup({})",
}
OPTIONS = ("generator", "progress", "labels", "captions")
"""arguments of `DejaVu.regeneration_loss` besides images and prediction"""


def check_order(network: nn.Module) -> None:
    """Raise DejavuError for a network that averages gradients by itself: the CRM would be left out."""
    for module in network.modules():  # torch.compile's module holds the original one
        for kind in type(module).__mro__:
            if kind.__name__ in WRAPPERS:
                right = WRAPPERS[kind.__name__].format("DejaVu(network, ...)")
                raise DejavuError(
                    f"network is a {kind.__name__}, which would not average the regenerator's gradients: "
                    f"wrap in the other order, model = {right}, and call prediction, added = model(images, "
                    "regeneration=True)"
                )


def loss_options(regeneration: object, is_replica: bool) -> dict[str, Any] | None:
    """Return the options of the loss that a forward pass also computes; None where it computes none.

    Args:
        regeneration: False, True, or a mapping of `OPTIONS`.
        is_replica: whether the module is one of DataParallel's copies, which forget what they count.

    Raises DejavuError for anything else.
    """
    if regeneration is False:
        return None
    options = {} if regeneration is True else regeneration
    if not isinstance(options, Mapping):
        raise DejavuError(
            "regeneration must be True, False or a mapping with options of regeneration_loss, "
            f"not {options!r}"
        )
    for key in options:
        if key not in OPTIONS:
            raise DejavuError(f"regeneration: unknown option {key!r}, {nearest(str(key), OPTIONS)}")
    if is_replica:
        raise DejavuError(
            "DataParallel cannot compute the regeneration loss in its copies: use DistributedDataParallel, "
            "or DejaVu(DataParallel(network), ...)"
        )
    return dict(options)


def uncompiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that torch.compile calls as it is: the loss counts, draws and checks.

    Each call would be compiled anew.
    """
    return torch.compiler.disable(function) if torch.compiler.is_compiling() else function
