"""Training by more than one process: the order of wrapping, and the prediction with its loss in one call.

A wrapper such as DistributedDataParallel averages the gradients of the module within it. So DejaVu is inside
of it, and its forward pass also computes the loss where that is requested: a wrapper may look after a forward
pass for what has no part in its result (`check_one_call`), or release the weights then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DejavuError, nearest
from ..tasks.predictions import Prediction, tensors

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
NODES = 64
"""of a prediction's graph that are looked at: what a loop does to it between the two calls is short"""


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


def check_one_call(predictions: Mapping[str, Prediction], added: nn.Module) -> None:
    """Raise DejavuError for predictions of a DistributedDataParallel that takes modules for unused.

    With find_unused_parameters=True it searches the result of its forward pass for the parameters that have a
    part in it. Those of `added`, the modules of a loss that is computed later, have none, and the backward
    pass ends in an error of torch. Without that option, and with static_graph=True, two calls train the same
    as one.
    """
    learns = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in added.parameters())
    if learns and torch.distributed.is_available() and torch.distributed.is_initialized():
        wrapper = _wrapper_of(predictions)
        if wrapper is not None and wrapper.find_unused_parameters and not wrapper.static_graph:
            raise DejavuError(
                "the prediction is of DistributedDataParallel(find_unused_parameters=True), which takes "
                "the regenerator for unused: replace both calls by one, prediction, added = ddp(images, "
                "regeneration=True)"
            )


def _wrapper_of(predictions: Mapping[str, Prediction]) -> Any:
    """Return the DistributedDataParallel that marked the graph of its result; None where there is none."""
    nodes = deque(one.grad_fn for one in tensors(predictions))
    for _ in range(NODES):
        if not nodes:
            return None
        node = nodes.popleft()
        if node is None:
            continue
        reference = getattr(node, "ddp_weakref", None)
        if reference is not None:
            return reference()
        nodes.extend(before for before, _ in node.next_functions)
    return None


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
