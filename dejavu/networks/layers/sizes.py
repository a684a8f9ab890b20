"""Reduced sizes, and images whose sides are no multiples of a network's coarsest stride."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def scaled(count: int, width: float, multiple: int = 1, least: int = 4) -> int:
    """So many channels at a reduced width: the nearest multiple, at least `least` and one multiple.

    >>> scaled(64, 0.25), scaled(18, 0.25), scaled(320, 0.25, multiple=5)
    (16, 5, 80)
    """
    return max(multiple, -(-least // multiple) * multiple, int(count * width / multiple + 0.5) * multiple)


def fewer(blocks: int, depth: float) -> int:
    """So many blocks at a reduced depth: the nearest number, at least one.

    >>> fewer(4, 0.25), fewer(3, 0.5), fewer(40, 1.0)
    (1, 2, 40)
    """
    return max(1, int(blocks * depth + 0.5))


def pad(images: Tensor, multiple: int) -> Tensor:
    """Images (N, C, H, W) whose border is continued to the right and below, to multiples of `multiple`."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple:
        return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
    return images


def cut(logits: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Logits (N, K, h, w) of a padded image without what lies beyond the image of `size` (H, W)."""
    return logits[..., : -(-size[0] // stride), : -(-size[1] // stride)]
