"""Redaction: destroy an image's structure and keep its context.

What is taken away can only be regenerated from the prediction, which is what the DejaVu loss trains.
A redaction is a plain callable: `redaction(images, generator) -> Redacted(images, mask)`.

**Mask polarity, here and everywhere: 0 is keep, 1 is remove.** Removed pixels become 0, which is the
dataset's mean after normalisation; kept pixels stay as they are, to the bit.

Random choices are made where the generator lives (the CPU unless one says otherwise), so that a seed
makes the same masks for images on any device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from . import options
from .errors import DejavuError
from .options import Fraction


class Redacted(NamedTuple):
    """A redacted batch."""

    images: Tensor  # (N, C, H, W), of the input's dtype
    mask: Tensor  # (N, 1, H, W), bool: True is removed


class Redaction(ABC):
    """What every redaction can do."""

    @abstractmethod
    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Redacted:
        """Redact images (N, C, H, W) of a floating dtype, each with fresh random numbers."""


class SpatialRedaction(Redaction):
    """Removes pixels. A subclass says which."""

    @abstractmethod
    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a mask (N, 1, H, W) for images (N, C, H, W), bool, on their device."""

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Redacted:
        check_images(images)
        mask = self.mask(images, generator)
        return Redacted(remove(images, mask), mask)


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
        _check_fraction("ratio", self.ratio)
        _check_fraction("block", self.block)

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n, _, height, width = images.shape
        side = block_side(self.block, height, width)
        rows, columns = -(-height // side), -(-width // side)
        scores = _uniform(n, rows * columns, generator)
        chosen = scores.topk(round(self.ratio * rows * columns), sorted=False).indices  # exact, ties or not
        blocks = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, chosen, True).to(images.device)
        pixels = blocks.view(n, 1, rows, 1, columns, 1).expand(n, 1, rows, side, columns, side)
        return pixels.reshape(n, 1, rows * side, columns * side)[..., :height, :width]


@dataclass(frozen=True)
class Checkerboard(SpatialRedaction):
    """Remove every other square of a board that lies at a random place for every image.

    Args:
        block: side of a square as a fraction of the image's short side, at least 1 pixel.
    """

    block: Fraction = 1 / 16

    def __post_init__(self) -> None:
        _check_fraction("block", self.block)

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n, _, height, width = images.shape
        side = block_side(self.block, height, width)
        shift = (_uniform(n, 2, generator) * 2 * side).long().to(images.device)  # pixels, within a period
        pixels = torch.arange(max(height, width), device=images.device)
        odd = (pixels + shift[..., None]) // side % 2 == 1  # (N, 2, max(H, W)): of rows, of columns
        return (odd[:, 0, :height, None] ^ odd[:, 1, None, :width])[:, None]


REGISTRY = {"random_blocks": RandomBlocks, "checkerboard": Checkerboard}


def names() -> list[str]:
    """Every redaction's name."""
    return list(REGISTRY)


def build(name: str, **given: object) -> Redaction:
    """A redaction by name.

    Raises DejavuError for an unknown name, option or value.

    >>> build("random_blocks", ratio=0.25)
    RandomBlocks(ratio=0.25, block=0.0625)
    """
    try:
        options.check("redaction", name, given, "redaction")
    except ValueError as error:
        raise DejavuError(str(error)) from None
    return REGISTRY[name](**given)


def remove(images: Tensor, mask: Tensor) -> Tensor:
    """Set the pixels (N, C, H, W) under the mask (N, 1, H, W) to 0. No gradient passes them."""
    return images.masked_fill(mask, 0)  # not a product: a NaN that is removed must be gone


def block_side(block: float, height: int, width: int) -> int:
    """A block's side in pixels."""
    return max(1, round(block * min(height, width)))


def check_images(images: Tensor) -> None:
    """Raise DejavuError unless images are a floating tensor, (N, C, H, W)."""
    if not isinstance(images, Tensor):
        raise DejavuError(f"images must be a tensor, not {type(images).__name__}")
    if images.ndim != 4:
        raise DejavuError(f"images must be (N, C, H, W), not of shape {tuple(images.shape)}")
    if not images.is_floating_point():
        raise DejavuError(f"images must be normalised to floating point, not {images.dtype}")


def _uniform(n: int, count: int, generator: torch.Generator | None) -> Tensor:
    """(n, count) numbers in [0, 1), a row an image, where the generator lives."""
    return torch.rand(n, count, generator=generator, device=generator.device if generator else "cpu")


def _check_fraction(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise DejavuError(f"{name} must be a number between 0 and 1, not {value!r}")
