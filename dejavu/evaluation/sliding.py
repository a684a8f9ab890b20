"""A window that slides over an image, for networks that are trained on crops."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
Ask = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) -> logits (N, K, h, w)."""


def slide(
    ask: Ask, image: Tensor, crop: Size, share: float, align_corners: bool = False, batch_size: int = 8
) -> Tensor:
    """Mean logits (1, K, H, W) of windows of the size `crop` that slide over image (1, 3, H, W).

    Logits are averaged, not probabilities, as in mmseg's `slide_inference`; as there, the window is as small
    as the image where that is smaller than `crop`: nothing is padded. `batch_size` windows are shown at once.
    """
    size = (image.shape[2], image.shape[3])
    window = (min(crop[0], size[0]), min(crop[1], size[1]))
    rows, columns = (starts(size[axis], crop[axis], stride(crop[axis], share)) for axis in (0, 1))
    places = [
        (slice(top, top + window[0]), slice(left, left + window[1])) for top in rows for left in columns
    ]
    total: Tensor | None = None
    count = image.new_zeros(1, 1, *size)
    for first in range(0, len(places), batch_size):
        some = places[first : first + batch_size]
        answers = ask(torch.cat([image[:, :, row, column] for row, column in some]))
        if total is None:
            total = answers.new_zeros(1, answers.shape[1], *size)
        for answer, (row, column) in zip(answers.split(1), some, strict=True):
            enlarged = interpolate(answer, window, align_corners)  # one at a time: they are large
            total[:, :, row, column] += enlarged
            count[:, :, row, column] += 1
    assert total is not None
    return total / count


def stride(side: int, share: float) -> int:
    """By how many pixels a window slides: rounded down, to mmseg's published 341 and 426.

    >>> stride(512, 0.6667), stride(640, 0.6667), stride(512, 1.0), stride(1, 0.1)
    (341, 426, 512, 1)
    """
    return max(1, math.floor(side * share + 1e-6))  # 100 * 0.29 is 28.999999999999996


def starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side: every pixel is in one, and the last ends with the side.

    >>> starts(683, 512, 341), starts(1024, 512, 341), starts(300, 512, 341)
    ([0, 171], [0, 341, 512], [0])
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def interpolate(maps: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    """maps (N, C, h, w) at another size, bilinearly; themselves where they have it."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)
