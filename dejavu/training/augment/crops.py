"""Scale, crop and flip, on the batch: one resampling for all three, on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...compute.random import rows
from ...errors import DejavuError
from ...tasks import load
from ...tasks.resampling import Crop, nearest_labels
from .windows import Windows, anchors, draw_windows

THIN = 0.5  # below this scale bilinear interpolation leaves pixels out, and an image is averaged first
REDRAWS = 10  # of a window in which one class has too large a share


def augment(
    images: Tensor | Sequence[Tensor],
    target: Any,
    *,
    task: str | Sequence[str] = "semantic",
    crop: tuple[int, int],
    scale_range: tuple[float, float],
    flip: bool,
    ignore_index: int,
    generator: torch.Generator,
    cat_max_ratio: float = 1.0,
    classes: Sequence[int] | np.ndarray | None = None,
    scale_choices: Sequence[float] | None = None,
) -> tuple[Tensor, Any]:
    """Random scale, random crop and random horizontal flip, drawn for each image.

    images (N, 3, H, W) float and the task's target: labels (N, H, W) integer, panoptic codes (N, H, W)
    integer, depth (N, H, W) or normals (N, 3, H, W) -> the same at the size of `crop`. Of several tasks,
    targets are a mapping by their names, and all are cut alike. Images of many sizes, and their targets, are
    lists of N without the first dimension. Scales are drawn from `scale_range`, or are one of
    `scale_choices`. What lies outside the image is 0 (the mean pixel) and `ignore_index`, void or 0
    (unknown). An image that is magnified shows things nearer: depth is divided by the scale. Flipped normals
    point the other way in x. Random numbers come from a CPU `generator`, so that they are the same on every
    device.

    Of labels only: a window in which one class has more than `cat_max_ratio` of the pixels that are not
    ignored, or all are ignored, is moved, ten times at most; and where `classes` (N,) names a class, not -1,
    the window is laid around a random pixel of it. Both draw numbers only where they are used.

    Raises DejavuError where they are used for another task, or an image lacks its class.
    """
    if task != "semantic" and (cat_max_ratio < 1 or classes is not None):
        raise DejavuError(
            f"cat_max_ratio and class_uniform look at labels, which the task {task} has none of"
        )
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    windows = draw_windows(sizes, crop, scale_range, flip, generator, scale_choices)
    if classes is not None:
        windows = windows.around(anchors(target, classes, generator))
    if cat_max_ratio < 1:
        windows = _vary(windows, target, crop, ignore_index, cat_max_ratio, generator)
    targets = {task: target} if isinstance(task, str) else {name: target[name] for name in task}
    if isinstance(images, Tensor) and bool((windows.scale >= THIN).all()):
        crops, cropped = _resample(images, targets, windows, crop, ignore_index)
    else:
        pairs = [
            _resample(
                _thinned(image, windows[number]), _one(targets, number), windows[number], crop, ignore_index
            )
            for number, image in enumerate(images)
        ]
        crops = torch.cat([image for image, _ in pairs])
        cropped = {name: torch.cat([truths[name] for _, truths in pairs]) for name in targets}
    return crops, cropped[task] if isinstance(task, str) else cropped


def _thinned(image: Tensor, window: Windows) -> Tensor:
    """Return an image (3, H, W) as N = 1, averaged first if the crop shows it at a far smaller size."""
    scale = float(window.scale)
    if scale >= THIN:
        return image[None]
    height, width = (max(1, round(side * scale)) for side in image.shape[1:])
    return F.adaptive_avg_pool2d(image[None], (height, width))


def _one(targets: Mapping[str, Any], number: int) -> dict[str, Tensor]:
    """Return the targets of one image, as N = 1."""
    return {task: target[number][None] for task, target in targets.items()}


def _resample(
    images: Tensor,
    targets: Mapping[str, Tensor],
    windows: Windows,
    crop: tuple[int, int],
    ignore_index: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Resample images (N, 3, H, W) and their targets of one size in their windows."""
    crops = _crops(windows, crop, images.device)
    sampled = F.grid_sample(images, crops.grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled, {task: load(task).crop(target, crops, ignore_index) for task, target in targets.items()}


def _crops(windows: Windows, size: tuple[int, int], device: torch.device) -> Crop:
    """Return the windows as crops of a size (h, w), on a device."""
    theta = windows.theta().to(device)  # (N, 2, 3)
    grid = F.affine_grid(theta, [len(theta), 1, *size], align_corners=False)  # (N, h, w, 2)
    return Crop(grid, windows.scale, theta[:, 0, 0].sign())


def _vary(
    windows: Windows,
    labels: Tensor | Sequence[Tensor],
    crop: tuple[int, int],
    ignore_index: int,
    cat_max_ratio: float,
    generator: torch.Generator,
) -> Windows:
    """Move the windows in which one class has too large a share; the last draw is used without a test.

    This follows mmseg's RandomCrop; scale and flip stay.
    """
    positions = windows.position.clone()
    draws = rows(len(positions), REDRAWS, 2, generator=generator, dtype=torch.float64)
    for number, label in enumerate(labels):
        for position in draws[number]:
            shown = _crops(windows.at(positions)[number], crop, label.device)
            if (
                _largest_share(nearest_labels(label[None], shown, ignore_index), ignore_index)
                <= cat_max_ratio
            ):
                break
            positions[number] = position
    return windows.at(positions)


def _largest_share(labels: Tensor, ignore_index: int) -> float:
    """Return the share of the most frequent class in the pixels that are not ignored; 1 if all are."""
    known = labels[labels != ignore_index]
    return 1.0 if known.numel() == 0 else int(known.bincount().max()) / known.numel()
