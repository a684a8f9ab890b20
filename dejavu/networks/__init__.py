"""Base networks: one module for each name.

Each file exposes `build(num_classes, width, depth, **options) -> nn.Module`: images (N, 3, H, W), any H and
W, to logits (N, num_classes, H/stride, W/stride), rounded up, with

- `stride`, of its logits;
- in training mode, where it has more to learn from, the mapping {"out": logits, "auxiliary": {name: logits
  (N, num_classes, h, w)}} instead, whose names are in `auxiliary_outputs`. The recipe gives their weights;
- `backbone`, where one is pretrained: recipes may give it, and the rest, another learning rate; `base_rate`
  names modules of the rest that keep the recipe's own;
- `decayed_layers()`, where recipes may give it `layer_decay`: each layer's parameters, from the image on;
- `criterion(prediction, labels, ignore_index)`, where it has a loss of its own (Mask2Former), which is used
  instead of the recipe's.

A module that can do more than one task has the line `MULTITASK = True`. Given a mapping from tasks to
channels, its network returns one from tasks to predictions, in training mode with its encoder's output under
"features" (N, `feature_channels`, h, w); `heads` are the parameters of each task alone, and `last_shared` is
the last module that all share.

A module for panoptic segmentation alone has the line `TASK = "panoptic"`. Its network returns the mapping
{"class_queries_logits": (N, Q, K + 1), "masks_queries_logits": (N, Q, h, w)} in both modes, in training with
"intermediate", the same of each earlier layer, and has a `criterion` of panoptic codes (tasks/segments.py).
Its attribute `fusion` names what reads its queries, of dejavu/evaluation/fusion; by default Mask2Former's.

The line `LOG_SCORES = True` says that logits are logarithms of class scores, which a protocol may average.

Instead of a file's name, `package.module:function` is a function of the user's own (own.py).

A `width` below 1 makes the same class with fewer channels, a `depth` below 1 with fewer blocks, for small
scales. A `build` with the argument `classes` receives the classes' names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING

from .. import registry
from ..errors import DejavuError, check_number
from ..system.extras import extra
from ..system.own_code import is_own

if TYPE_CHECKING:
    from torch import nn


def names() -> list[str]:
    """List the names of the network modules."""
    return registry.modules("networks")


def build(
    module: str,
    num_classes: int | Mapping[str, int],
    width: float = 1.0,
    depth: float = 1.0,
    classes: Sequence[str] | None = None,
    **given: object,
) -> nn.Module:
    """Build a network by its file's name: for one task, or for more by a mapping {task: channels}.

    Raises DejavuError for an unknown name, option or value, for tasks that the network lacks, and for a
    package that is missing.
    """
    registry.require("networks", module, given)
    if is_own(module):
        from .own import build_own

        return build_own(module, _outputs(num_classes), width, depth, **given)
    if isinstance(num_classes, Mapping) and not registry.is_multitask(module):
        raise DejavuError(f"the network module '{module}' does one task, not {' and '.join(num_classes)}")
    outputs = _outputs(num_classes)
    for key, value in (("width", width), ("depth", depth)):
        check_number(f"the {key} of a network", value, 0, 1, "(]")
    with extra("networks", f"the network module '{module}'"):
        function = import_module(f"{__name__}.{module}").build
        if "classes" in signature(function).parameters:
            assert isinstance(outputs, int)
            given["classes"] = classes or [f"class {number}" for number in range(outputs)]
        network = function(outputs, width, depth, **given)
    if not isinstance(getattr(network, "stride", None), int):
        raise DejavuError(
            f"networks/{module}.py: what build returns needs the attribute 'stride', of its logits"
        )
    return network


def _outputs(num_classes: int | Mapping[str, int]) -> int | dict[str, int]:
    """Return Python's numbers for numpy's. Raises DejavuError unless each is whole and at least 1."""
    counts = num_classes if isinstance(num_classes, Mapping) else {"": num_classes}
    for task, count in counts.items():
        check_number(f"num_classes of {task}" if task else "num_classes", count, 1, whole=True)
    if isinstance(num_classes, Mapping):
        return {task: int(count) for task, count in num_classes.items()}
    return int(num_classes)
