"""Redaction of frequencies, in the orthonormal 2-D DCT-II of each channel.

A frequency (u, v) of an image H x W has the radius r = sqrt((u/H)^2 + (v/W)^2) / sqrt(2): 0 is the mean,
1/sqrt(2) the finest stripe along a side, and just below 1 the finest checkerboard. A band is what lies in
low <= r < high; a band up to 1 is closed. Removed coefficients become 0.

The coefficient at r = 0 is the channel's mean, which is context. It belongs to the band that begins at 0: a
low pass or a band stop above 0 keeps it, while a high pass removes it, and with it all large-scale colour.

Masks are (N or 1, 1, H, W), bool, **over frequencies, not pixels**: 1 for all images where the bands are
fixed, N where they are drawn.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...errors import DejavuError, check_number
from ...registry import BandList, Fraction, PositiveInt, Share, band_fault
from . import dct
from .base import Redaction, check_mask, choose


class SpectralRedaction(Redaction):
    """Removes frequencies. A subclass makes the mask over them."""

    def part(self, images: Tensor, mask: Tensor) -> Tensor:
        """Return the images of the removed frequencies of images (N, C, H, W)."""
        check_mask(images, mask)
        return dct.project(images, mask)

    def rest(self, images: Tensor, mask: Tensor) -> Tensor:
        """Return the images of the kept frequencies of images (N, C, H, W)."""
        check_mask(images, mask)
        return dct.project(images, ~mask)


class FixedBands(SpectralRedaction):
    """Removes the same bands of every image, which a subclass names."""

    @abstractmethod
    def bands(self) -> tuple[tuple[float, float], ...]:
        """The removed bands, each (low, high)."""

    def __post_init__(self) -> None:
        fault = band_fault(self.bands())
        if fault:
            raise DejavuError(f"the bands of {self!r} {fault}")

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the fixed mask (1, 1, H, W); nothing is drawn."""
        height, width = images.shape[-2:]
        return _within(
            self.bands(), height, width, images.device
        ).clone()  # a copy, since the cached mask must not change


@dataclass(frozen=True)
class LowPass(FixedBands):
    """Remove all frequencies from `cutoff` on: edges and texture go, colours and large shapes stay blurred.

    Args:
        cutoff: radius from which on frequencies are removed. At 0.1 street scenes (CamVid at 96x128) lose
            94 % of the squared differences of neighbouring pixels, that is outlines, and 7 % of the
            variance; at 0.2, cars and houses can still be recognised by their outlines, at 0.05 not at all.

    >>> LowPass(cutoff=0.5)(torch.rand(2, 3, 8, 8)).mask.shape
    torch.Size([1, 1, 8, 8])
    """

    cutoff: Fraction = 0.1

    def bands(self) -> tuple[tuple[float, float], ...]:
        return ((self.cutoff, 1.0),)

    def __post_init__(self) -> None:
        check_number("cutoff", self.cutoff, 0, 1, "()")


@dataclass(frozen=True)
class HighPass(FixedBands):
    """Remove all frequencies below `cutoff`, the mean included: context goes, structure stays. A control.

    Args:
        cutoff: radius below which frequencies are removed.
    """

    cutoff: Fraction = 0.1

    def bands(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, self.cutoff),)

    def __post_init__(self) -> None:
        check_number("cutoff", self.cutoff, 0, 1, "()")


@dataclass(frozen=True)
class BandPass(FixedBands):
    """Keep low <= r < high only. The mean stays for low = 0 alone.

    Args:
        low, high: edges of the kept band.
    """

    low: Share = 0.05
    high: Share = 0.3

    def bands(self) -> tuple[tuple[float, float], ...]:
        return tuple(band for band in ((0.0, self.low), (self.high, 1.0)) if band[0] != band[1])

    def __post_init__(self) -> None:
        _check_band(self.low, self.high)


@dataclass(frozen=True)
class BandStop(FixedBands):
    """Remove low <= r < high. The mean goes for low = 0 alone.

    Args:
        low, high: edges of the removed band. The default takes the frequencies that carry the outlines of
            street scenes (CamVid): their objects become stains with a faint fine texture. From 0.1 to 0.4
            their outlines stay visible.
    """

    low: Share = 0.05
    high: Share = 0.3

    def bands(self) -> tuple[tuple[float, float], ...]:
        return ((self.low, self.high),)

    def __post_init__(self) -> None:
        _check_band(self.low, self.high)


@dataclass(frozen=True)
class Bands(FixedBands):
    """Remove any bands.

    Args:
        remove: [low, high] of each, which may touch or overlap.

    >>> Bands(remove=[[0.1, 0.2], [0.5, 1]])
    Bands(remove=((0.1, 0.2), (0.5, 1)))
    """

    remove: BandList = ((0.05, 0.3),)

    def bands(self) -> tuple[tuple[float, float], ...]:
        return tuple((low, high) for low, high in self.remove)

    def __post_init__(self) -> None:
        fault = band_fault(self.remove)
        if fault:
            raise DejavuError(f"remove {fault}, not {self.remove!r}")
        object.__setattr__(self, "remove", self.bands())  # lists of YAML: tuples can be compared and hashed


@dataclass(frozen=True)
class RandomBands(SpectralRedaction):
    """Remove some of `count` bands of equal width, drawn afresh for every image.

    The first band holds the mean: where it is drawn, the mean goes too.

    Args:
        count: number of bands.
        removed: how many of them go.
    """

    count: PositiveInt = 8
    removed: PositiveInt = 4

    def __post_init__(self) -> None:
        for name in ("count", "removed"):
            check_number(name, getattr(self, name), 1, whole=True)
        if self.removed >= self.count:
            raise DejavuError(f"removed must be below count, which is {self.count}, not {self.removed}")

    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n, _, height, width = images.shape
        removed = choose(n, self.count, self.removed, generator).to(images.device)
        numbers = _band_numbers(self.count, height, width, images.device)
        return removed.index_select(1, numbers).view(n, 1, height, width)


def radius(height: int, width: int) -> Tensor:
    """Return the radius of every frequency, (H, W), float64, from 0 at the mean to just below 1.

    >>> radius(1, 4)
    tensor([[0.0000, 0.1768, 0.3536, 0.5303]], dtype=torch.float64)
    """
    rows = torch.arange(height, dtype=torch.float64)[:, None] / height
    columns = torch.arange(width, dtype=torch.float64) / width
    return ((rows.square() + columns.square()) / 2).sqrt()


@lru_cache(maxsize=16)
def _within(
    bands: tuple[tuple[float, float], ...], height: int, width: int, device: torch.device
) -> Tensor:  # (1, 1, H, W)
    r = radius(height, width)
    inside = torch.zeros(1, 1, height, width, dtype=torch.bool)
    for low, high in bands:
        inside |= (r >= low) & (r < (high if high < 1 else math.inf))
    return inside.to(device)


@lru_cache(maxsize=16)
def _band_numbers(count: int, height: int, width: int, device: torch.device) -> Tensor:  # (H * W,)
    edges = torch.tensor([number / count for number in range(1, count)], dtype=torch.float64)
    return torch.bucketize(radius(height, width).flatten(), edges, right=True, out_int32=True).to(device)


def _check_band(low: float, high: float) -> None:
    fault = band_fault([(low, high)])
    if fault:
        raise DejavuError(f"low and high must be numbers with 0 <= low < high <= 1, not {low!r} and {high!r}")
