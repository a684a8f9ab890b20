"""Targets of the mask classification networks: an image's truth as a set of masks, each with a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ...compute.processes import across
from ...tasks.panoptic import TASK as PANOPTIC
from ...tasks.segments import CROWD

Masks = tuple[list[Tensor], list[Tensor]]
"""The masks (C, H, W), 0 or 1, of each image, and their classes (C,)."""
Layer = dict[str, Tensor]
"""A layer's "class_queries_logits" (N, Q, K + 1) and "masks_queries_logits" (N, Q, h, w)."""


def binary_masks(labels: Tensor, ignore_index: int) -> Masks:
    """Return for each image of labels (N, H, W) the masks (C, H, W), 0 or 1, of its classes (C,)."""
    classes = [present[present != ignore_index].long() for present in map(torch.unique, labels)]
    return _masks(labels, classes), classes


def segment_masks(codes: Tensor, ignore_index: int) -> Masks:
    """Return for each map (N, H, W) of panoptic codes (tasks/segments.py) its segments' masks and classes.

    Crowds, void and segments of the class `ignore_index` belong to no mask, as in the official data
    preparation. Unlike there, a segment that lies outside the crop has no mask either.
    """
    present_codes = []
    for present in map(torch.unique, codes):
        kept = (present & 255 != CROWD) & (present >> 8 != ignore_index)  # void's number is 255, too
        present_codes.append(present[kept].long())
    return _masks(codes, present_codes), [present >> 8 for present in present_codes]


def layers(prediction: Any) -> list[Layer]:
    """Return all layers of a prediction in full precision, the last one first.

    prediction: what a network of the family returns in training mode; without its "intermediate" layers, or
    the `Queries` alone, it has one layer.
    """
    earlier = prediction.get("intermediate", ()) if isinstance(prediction, Mapping) else ()
    every = [PANOPTIC.read(layer) for layer in (prediction, *earlier)]
    return [layer_of(classes.float(), masks.float()) for classes, masks in every]


def layer_of(classes: Tensor, masks: Tensor) -> Layer:
    """Return a layer's two predictions under transformers' names."""
    return {"class_queries_logits": classes, "masks_queries_logits": masks}


def count_masks_of_all(loss: nn.Module) -> None:
    """Have a loss of transformers divide by the masks of the whole batch, on whichever processes they are.

    It would use the library accelerate, which no training here uses.
    """
    loss.get_num_masks = _count  # type: ignore[assignment]


def _count(class_labels: Sequence[Tensor], device: torch.device) -> Tensor:
    return across(torch.tensor(float(sum(map(len, class_labels))), device=device))


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast: scores and losses are sums of many small numbers."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def _masks(maps: Tensor, values: list[Tensor]) -> list[Tensor]:
    """Return for each map (H, W) one mask a value (C,): (C, H, W), 0 or 1."""
    return [(one == present[:, None, None]).float() for one, present in zip(maps, values, strict=True)]
