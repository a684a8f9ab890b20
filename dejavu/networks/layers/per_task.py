"""Networks of one task or more: shared modules, and a head for each task."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...errors import DejavuError
from .sizes import cut

ALONE = "out"  # the name of a single task's head


class PerTask(nn.Module):
    """A network of one task or more; a subclass adds `heads`, a module for each task.

    Args:
        num_classes: K of a single task, or each task's channels, such as {"semantic": 13, "depth": 1}.

    Attributes:
        channels: of each head's predictions; a single task is called "out".
        heads: each task's own parameters, by the same names.
        feature_channels: F of the features that training mode returns.
    """

    stride: int
    heads: nn.ModuleDict
    feature_channels: int

    def __init__(self, num_classes: int | Mapping[str, int]) -> None:
        super().__init__()
        self.channels = outputs(num_classes)
        self.multitask = not isinstance(num_classes, int)

    def output(
        self, predictions: Mapping[str, Tensor], features: Tensor, size: tuple[int, int]
    ) -> Tensor | dict[str, Tensor]:
        """Return predictions (N, K, H', W') by task, cropped to `size`; in training mode the features, too.

        A single task's prediction is returned alone.
        """
        cropped = {task: cut(maps, size, self.stride) for task, maps in predictions.items()}
        if not self.multitask:
            return cropped[ALONE]
        return cropped | {"features": features} if self.training else cropped


def outputs(num_classes: int | Mapping[str, int]) -> dict[str, int]:
    """Channels of each head. Raises DejavuError for no task, no channels or a name that means something else.

    >>> outputs(13), outputs({"semantic": 13, "depth": 1})
    ({'out': 13}, {'semantic': 13, 'depth': 1})
    """
    if isinstance(num_classes, int):
        return {ALONE: num_classes}
    if not num_classes or "features" in num_classes or min(num_classes.values()) < 1:
        raise DejavuError(
            "num_classes of several tasks must name each task's channels, at least one, and none may be "
            f"called 'features', not {dict(num_classes)}"
        )
    return dict(num_classes)
