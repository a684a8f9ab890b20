"""Panoptic segmentation: a class and a segment of it for every pixel.

Targets are codes (N, H, W) of segments.py; predictions are `Queries`: class and mask logits, as MaskFormer
returns them. Its networks bring a loss of their own, and learn no other task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DejavuError
from .resampling import Crop, nearest_labels
from .segments import VOID
from .task import Prediction, Queries, Task

PAIRS = (("class_queries_logits", "masks_queries_logits"), ("pred_logits", "pred_masks"))


class Panoptic(Task):
    """The condition is a mask a class: the sum over queries of class probability x sigmoid(mask)."""

    def read(self, output: Any) -> Queries:
        if isinstance(output, tuple | list) and len(output) == 2 and not hasattr(output, "keys"):
            return Queries(*output)
        for names in PAIRS:
            if isinstance(output, Mapping):
                values = [output.get(name) for name in names]
            else:
                values = [getattr(output, name, None) for name in names]
            if all(isinstance(value, Tensor) for value in values):
                return Queries(*values)  # type: ignore[arg-type]
        raise DejavuError(
            "the network's panoptic prediction must be (class logits, mask logits) of its queries, or have "
            f"{' and '.join(PAIRS[0])}, not {type(output).__name__}"
        )

    def check(self, prediction: Prediction, channels: int) -> None:
        """Raise DejavuError unless a prediction is (N, Q, channels + 1) and (N, Q, h, w)."""
        assert isinstance(prediction, Queries)
        classes, masks = prediction
        right = classes.ndim == 3 and masks.ndim == 4 and classes.shape[:2] == masks.shape[:2]
        if not right or classes.shape[2] != channels + 1:
            raise DejavuError(
                f"the network's panoptic prediction must be (N, Q, {channels + 1}) and (N, Q, h, w) for "
                f"num_classes={channels} and one for no object, not {tuple(classes.shape)} and "
                f"{tuple(masks.shape)}"
            )
        for values in prediction:
            self._check_floating(values)

    def crop(self, target: Tensor, crop: Crop, ignore_index: int) -> Tensor:
        return nearest_labels(target, crop, VOID)

    def class_ids(self, target: Tensor) -> Tensor:
        return target >> 8

    def loss(
        self, output: Any, target: Tensor, ignore_index: int = 255, weight: Tensor | None = None
    ) -> Tensor:
        raise DejavuError("a panoptic prediction's loss is its network's own: give the network a `criterion`")

    def compare(self, maps: Tensor, target: Tensor, ignore_index: int, weight: Tensor | None) -> Tensor:
        return self.loss(maps, target)

    def random_target(
        self, classes: int, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        """Squares of classes, as large as things are; all of a class is its segment 0."""
        squares = torch.randint(classes, (count, 1, 8, 8), generator=generator).float()
        return F.interpolate(squares, size, mode="nearest")[:, 0].long() * 256

    def condition(self, prediction: Prediction, plain: bool, depth_range: tuple[float, float]) -> Tensor:
        assert isinstance(prediction, Queries)
        return class_masks(prediction, plain)


TASK = Panoptic(
    name="panoptic",
    title="panoptic segmentation",
    array="panoptic",
    dtype="uint16",
    unknown=65535,  # VOID
    queries=True,
    metrics={
        "pq": ("PQ", "%", True, 2),
        "sq": ("SQ", "%", True, 2),
        "rq": ("RQ", "%", True, 2),
        "pq_th": ("PQ of things", "%", True, 2),
        "sq_th": ("SQ of things", "%", True, 2),
        "rq_th": ("RQ of things", "%", True, 2),
        "pq_st": ("PQ of stuff", "%", True, 2),
        "sq_st": ("SQ of stuff", "%", True, 2),
        "rq_st": ("RQ of stuff", "%", True, 2),
    },
)


def class_masks(queries: Queries, plain: bool = False) -> Tensor:
    """Per-class masks (N, K, h, w): the sum over queries of class probability x sigmoid(mask).

    `plain` leaves the masks' sigmoid out.
    """
    classes = queries.classes.softmax(-1)[..., :-1]  # (N, Q, K): "no object" regenerates nothing
    masks = queries.masks if plain else queries.masks.sigmoid()  # (N, Q, h, w)
    return torch.einsum("nqk,nqhw->nkhw", classes, masks)
