"""Redaction of pixels: removed ones become 0, kept ones stay as they are, to the bit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number
from ...registry import Fraction
from .base import Redaction, check_mask, choose, uniform


class SpatialRedaction(Redaction):
    """Removes pixels. A subclass draws the mask, (N, 1, H, W)."""

    def part(self, images: Tensor, mask: Tensor) -> Tensor:
        """Keep the removed pixels of images (N, C, H, W); all else becomes 0."""
        check_mask(images, mask)
        return remove(images, ~mask)

    def rest(self, images: Tensor, mask: Tensor) -> Tensor:
        """Keep the other pixels of images (N, C, H, W); removed ones become 0."""
        check_mask(images, mask)
        return remove(images, mask)


@dataclass(frozen=True)
class RandomBlocks(SpatialRedaction):
    """Remove square blocks, chosen afresh for every image.

    Args:
        ratio: share of the blocks that is removed: of B blocks exactly round(ratio * B).
        block: side of a block as a fraction of the image's short side, at least 1 pixel. Where it
            does not divide the image, the last row and column of blocks are cut off by the border.

    >>> mask = RandomBlocks(ratio=0.25, block=1 / 4)(torch.ones(2, 3, 8, 8)).mask
    >>> mask.sum((1, 2, 3)).tolist()  # 4 of 16 blocks of 2 x 2 pixels
    [16, 16]
    """

    ratio: Fraction = 0.5
    block: Fraction = 1 / 16

    def __post_init__(self) -> None:
        check_number("ratio", self.ratio, 0, 1, "()")
        check_number("block", self.block, 0, 1, "()")

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n, _, height, width = images.shape
        side = block_side(self.block, height, width)
        rows, columns = -(-height // side), -(-width // side)
        blocks = choose(n, rows * columns, round(self.ratio * rows * columns), generator).to(images.device)
        lines = blocks.view(n, 1, rows, columns, 1).expand(-1, -1, -1, -1, side).flatten(3)
        pixels = lines.unsqueeze(3).expand(-1, -1, -1, side, -1).flatten(2, 3)
        return pixels[..., :height, :width]


@dataclass(frozen=True)
class RandomPixels(SpatialRedaction):
    """Remove single pixels, chosen afresh for every image: the paper's sparse sampling keeps few of them.

    Args:
        ratio: share of the pixels that is removed: exactly round(ratio * H * W).

    >>> int(RandomPixels(ratio=0.75)(torch.ones(1, 3, 4, 5)).mask.sum())
    15
    """

    ratio: Fraction = 0.9

    def __post_init__(self) -> None:
        check_number("ratio", self.ratio, 0, 1, "()")

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n, _, height, width = images.shape
        pixels = choose(n, height * width, round(self.ratio * height * width), generator)
        return pixels.view(n, 1, height, width).to(images.device)


@dataclass(frozen=True)
class Checkerboard(SpatialRedaction):
    """Remove every other square of a board that is shifted at random for every image.

    Args:
        block: side of a square as a fraction of the image's short side, at least 1 pixel.
    """

    block: Fraction = 1 / 16

    def __post_init__(self) -> None:
        check_number("block", self.block, 0, 1, "()")

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n, _, height, width = images.shape
        side = block_side(self.block, height, width)
        shift = (uniform(n, 2, generator) * 2 * side).long().to(images.device)  # pixels, within a period
        pixels = torch.arange(max(height, width), device=images.device)
        odd = ((pixels + shift[..., None]) // side % 2).to(torch.uint8)  # (N, 2, max(H, W)): rows, columns
        # Bytes, not bool: a CPU processes a vector of them at a time.
        return (odd[:, 0, :height, None] ^ odd[:, 1, None, :width]).view(torch.bool)[:, None]


def remove(images: Tensor, mask: Tensor) -> Tensor:
    """Set the pixels (N, C, H, W) under the mask (N, 1, H, W) to 0. No gradient passes them."""
    if images.device.type == "cpu" and images.is_contiguous() and not images.requires_grad:
        return _remove_bits(images, mask)
    return images.masked_fill(mask, 0)  # not a product: a NaN that is removed must be gone


def _remove_bits(images: Tensor, mask: Tensor) -> Tensor:
    """Set masked pixels to 0 by a bitwise "and" of whole vectors, in less than half of the time on a CPU."""
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[images.element_size()]
    bits = (mask.view(torch.int8) - 1).to(integer)  # all of them where a pixel is kept, none where removed
    return (images.view(integer) & bits).view(images.dtype)


def block_side(block: float, height: int, width: int) -> int:
    """Return a block's side in pixels."""
    return max(1, round(block * min(height, width)))
