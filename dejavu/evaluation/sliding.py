"""A window that slides over an image, for networks that are trained on crops."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
Forward = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) -> logits (N, K, h, w)."""


def slide(
    forward: Forward,
    image: Tensor,
    crop: Size,
    share: float,
    align_corners: bool = False,
    batch_size: int = 8,
    scores: bool = False,
) -> Tensor:
    """Return mean logits (1, K, H, W) of windows of size `crop` that slide over the image (1, 3, H, W).

    Logits are averaged, not probabilities, as in mmseg's `slide_inference`. A side of the image that is
    shorter than `crop` limits the window, without padding. One forward pass takes `batch_size` windows.

    scores: logits are logarithms of scores. The scores are enlarged and averaged, and the logarithm of their
        mean is returned, at least that of the smallest normal number.
    """
    size = (image.shape[2], image.shape[3])
    window = (min(crop[0], size[0]), min(crop[1], size[1]))
    rows, columns = (starts(size[axis], crop[axis], stride(crop[axis], share)) for axis in (0, 1))
    windows = [
        (slice(top, top + window[0]), slice(left, left + window[1])) for top in rows for left in columns
    ]
    total: Tensor | None = None
    count = image.new_zeros(1, 1, *size)
    for first in range(0, len(windows), batch_size):
        chunk = windows[first : first + batch_size]
        logits = forward(torch.cat([image[:, :, row, column] for row, column in chunk]))
        if scores:
            logits = logits.exp()
        if total is None:
            total = logits.new_zeros(1, logits.shape[1], *size)
        for maps, (row, column) in zip(logits.split(1), chunk, strict=True):
            enlarged = interpolate(maps, window, align_corners)  # one at a time, to save memory
            total[:, :, row, column] += enlarged
            count[:, :, row, column] += 1
    assert total is not None
    mean = total / count
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log() if scores else mean


def stride(side: int, share: float) -> int:
    """Return the stride of a window in pixels, rounded down as in mmseg (341 and 426 pixels).

    >>> stride(512, 0.6667), stride(640, 0.6667), stride(512, 1.0), stride(1, 0.1)
    (341, 426, 512, 1)
    """
    return max(1, math.floor(side * share + 1e-6))  # 100 * 0.29 is 28.999999999999996


def starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along a side; the last window ends with the side.

    >>> starts(683, 512, 341), starts(1024, 512, 341), starts(300, 512, 341)
    ([0, 171], [0, 341, 512], [0])
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def interpolate(maps: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    """Resize maps (N, C, h, w) bilinearly; return them unchanged if they already have the size."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)
