"""The window of each image that a crop shows: random numbers and geometry, before any pixel is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...compute.random import rows
from ...errors import DejavuError


@dataclass(frozen=True)
class Windows:
    """One window for each of N images; all are float64 on the CPU, rows before columns."""

    scale: Tensor
    """(N,), the magnification of the image."""
    share: Tensor
    """(N, 2), the window's share of the image's height and width; above 1 there is padding."""
    position: Tensor
    """(N, 2), from 0 (the first possible position of the window) to 1 (the last one)."""
    mirrored: Tensor
    """(N,), bool."""
    anchor: Tensor | None = None
    """(N, 2), a point that must lie in the window, as shares of height and width; NaN where there is none."""

    def __getitem__(self, number: int) -> Windows:
        """The window of one image, as N = 1."""
        one = slice(number, number + 1)
        anchor = None if self.anchor is None else self.anchor[one]
        return Windows(self.scale[one], self.share[one], self.position[one], self.mirrored[one], anchor)

    def at(self, position: Tensor) -> Windows:
        """Return the same windows at other positions (N, 2)."""
        return replace(self, position=position)

    def around(self, anchor: Tensor) -> Windows:
        """Return the same windows, moved so that these points (N, 2) lie in them."""
        return replace(self, anchor=anchor)

    def start(self) -> Tensor:
        """Return the upper left corner (N, 2) as shares of height and width; below 0 there is padding."""
        free = 1 - self.share  # negative where the image is smaller than the window, and stays inside it
        start = self.position * free
        if self.anchor is None:
            return start
        around = self.anchor - self.share * (1 - self.position)
        around = around.clamp(free.clamp(max=0), free.clamp(min=0))
        return torch.where(self.anchor.isnan(), start, around)

    def theta(self) -> Tensor:
        """Return affine maps (N, 2, 3), float32, from crop to image coordinates, both in [-1, 1]."""
        theta = torch.zeros(len(self.scale), 2, 3, dtype=torch.float64)
        start = self.start()
        for axis in (0, 1):  # of the affine map: columns, then rows
            share = self.share[:, 1 - axis]
            theta[:, axis, axis] = share
            theta[:, axis, 2] = share + 2 * start[:, 1 - axis] - 1
        theta[:, 0, 0] *= torch.where(self.mirrored, -1.0, 1.0)
        return theta.float()


def draw_windows(
    sizes: Sequence[tuple[int, int]],
    crop: tuple[int, int],
    scale_range: tuple[float, float],
    flip: bool,
    generator: torch.Generator,
    scale_choices: Sequence[float] | None = None,
) -> Windows:
    """Draw windows of the size `crop` in images of the given heights and widths: four draws for each image.

    Their scale is one of `scale_choices`, all equally likely, or else a uniform draw from `scale_range`.
    """
    draw = rows(len(sizes), 4, generator=generator, dtype=torch.float64)
    if scale_choices is None:
        low, high = scale_range
        scale = low + (high - low) * draw[:, 0]
    else:
        choices = torch.tensor(scale_choices, dtype=torch.float64)
        scale = choices[(draw[:, 0] * len(choices)).long()]
    full = torch.tensor(sizes, dtype=torch.float64)  # (N, 2)
    share = torch.tensor(crop, dtype=torch.float64) / (scale[:, None] * full)
    return Windows(scale, share, draw[:, 1:3], (draw[:, 3] < 0.5) & flip)


def anchors(
    labels: Tensor | Sequence[Tensor], classes: Sequence[int] | np.ndarray, generator: torch.Generator
) -> Tensor:
    """Draw a random pixel of a class in each of N label maps (h, w), in the form of Windows.anchor (N, 2).

    `classes` (N,): -1 is none. Raises DejavuError where a label map lacks its class.
    """
    draw = rows(len(labels), generator=generator, dtype=torch.float64)
    points = torch.full((len(labels), 2), torch.nan, dtype=torch.float64)
    for number, (label, wanted) in enumerate(zip(labels, classes, strict=True)):
        if wanted < 0:
            continue
        pixels = (label == wanted).nonzero()  # (P, 2), rows and columns
        if len(pixels) == 0:
            raise DejavuError(
                f"image {number} of the batch was drawn for class {wanted}, of which its labels have no pixel"
            )
        pixel = pixels[int(draw[number] * len(pixels))].cpu()
        points[number] = (pixel + 0.5) / torch.tensor(label.shape)
    return points
