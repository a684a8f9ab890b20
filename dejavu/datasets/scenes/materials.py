"""Materials: each function makes one, which gives a patch of surface its colours.

Colours are linear-light reflectances in [0, 1]. All patterns lie in the solid's own frame, in metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .noise import cell

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Patch:
    """The visible pixels of one solid."""

    at: np.ndarray
    """(3, N) local points in metres"""
    normal: np.ndarray
    """(3, N) local unit normals"""
    coarse: np.ndarray
    """(N,) noise in [0, 1) with features of about a metre"""
    fine: np.ndarray
    """(N,) noise in [0, 1) with features of some centimetres"""

    @property
    def along(self) -> np.ndarray:
        """(N,) the horizontal coordinate on an upright face: local x on front and back, z on the sides."""
        return np.where(np.abs(self.normal[0]) > np.abs(self.normal[2]), self.at[2], self.at[0])

    @property
    def upright(self) -> np.ndarray:
        return np.abs(self.normal[1]) < 0.5


Material = Callable[[Patch], np.ndarray]


def _paint(base: np.ndarray, where: np.ndarray, colour: Colour) -> np.ndarray:
    return np.where(where, np.reshape(colour, (3, 1)), base)


def rough(colour: Colour, coarse: float = 0.25, fine: float = 0.2) -> Material:
    """One colour with stains and grain."""

    def look(patch: Patch) -> np.ndarray:
        shade = 1 + coarse * (patch.coarse - 0.5) * 2 + fine * (patch.fine - 0.5) * 2
        return np.reshape(colour, (3, 1)) * shade

    return look


def asphalt(colour: Colour, half_width: float, dashed: bool) -> Material:
    """A road along z with edge lines and a dashed or solid centre line."""
    ground = rough(colour, 0.2, 0.25)

    def look(patch: Patch) -> np.ndarray:
        x, _, z = patch.at
        line = np.abs(np.abs(x) - half_width + 0.35) < 0.07
        line |= (np.abs(x) < 0.08) & ((np.mod(z, 6.0) < 3.0) | (not dashed))
        worn = patch.fine > 0.25
        seam = np.abs(np.mod(x + 2 * patch.coarse, half_width) - half_width / 2) < 0.05
        base = ground(patch) * np.where(seam, 0.75, 1.0)
        return _paint(base, line & worn, (0.62, 0.62, 0.58))

    return look


def paving(colour: Colour, tile: float) -> Material:
    """Square slabs with joints, each slab of its own shade."""
    stone = rough(colour, 0.12, 0.15)

    def look(patch: Patch) -> np.ndarray:
        x, _, z = patch.at / tile
        shade = 0.85 + 0.3 * cell(np.floor(x), np.floor(z), 0, 1)
        joint = (np.mod(x, 1) < 0.06) | (np.mod(z, 1) < 0.06)
        return stone(patch) * np.where(joint, 0.6, shade)

    return look


def bricks(colour: Colour, length: float, height: float) -> Material:
    """Courses of bricks or blocks."""
    stone = rough(colour, 0.15, 0.15)

    def look(patch: Patch) -> np.ndarray:
        row = np.floor(patch.at[1] / height)
        along = patch.along / length + 0.5 * np.mod(row, 2)
        shade = 0.8 + 0.4 * cell(np.floor(along), row, 0, 2)
        joint = (np.mod(along, 1) < 0.05) | (np.mod(patch.at[1] / height, 1) < 0.1)
        return stone(patch) * np.where(patch.upright, np.where(joint, 0.75, shade), 0.8)

    return look


def facade(wall: Material, bay: float, storey: float, foot: float, seed: int) -> Material:
    """A wall with rows of windows; some are lit or have curtains. `foot`: the ground's local y."""

    def look(patch: Patch) -> np.ndarray:
        i, j = patch.along / bay, (foot - patch.at[1]) / storey
        u, v = np.mod(i, 1), np.mod(j, 1)
        pick = cell(np.floor(i), np.floor(j), 0, seed)
        glass = patch.upright & (np.abs(u - 0.5) < 0.27) & (np.abs(v - 0.52) < 0.27) & (j > 0)
        frame = patch.upright & (np.abs(u - 0.5) < 0.31) & (np.abs(v - 0.52) < 0.31) & (j > 0)
        pane = np.stack([0.05 + 0.25 * pick, 0.06 + 0.25 * pick, 0.09 + 0.24 * pick])
        colours = _paint(wall(patch), frame, (0.55, 0.54, 0.52) if seed % 3 else (0.16, 0.13, 0.11))
        colours = np.where(glass, pane * (0.7 + 0.5 * v), colours)
        ledge = patch.upright & (v > 0.95) & (seed % 2 == 0)
        return colours * np.where(ledge, 0.7, 1.0)

    return look


def foliage(colour: Colour) -> Material:
    """Leaves: patches of light and dark."""

    def look(patch: Patch) -> np.ndarray:
        shade = 0.45 + 0.5 * patch.coarse + 0.8 * patch.fine**2
        warm = np.stack([1 + 0.3 * patch.coarse, np.ones_like(shade), 1 - 0.3 * patch.coarse])
        return np.reshape(colour, (3, 1)) * shade * warm

    return look


def panes(colour: Colour, low: float, high: float, post: float) -> Material:
    """Painted metal with a band of dark glass between heights `low` and `high` (local, upwards)."""
    metal = rough(colour, 0.05, 0.04)

    def look(patch: Patch) -> np.ndarray:
        up = -patch.at[1]
        glass = patch.upright & (up > low) & (up < high) & (np.mod(patch.along, post) > 0.09)
        tint = 0.04 + 0.12 * (up - low) / (high - low)
        return np.where(glass, np.stack([tint, tint * 1.1, tint * 1.3]), metal(patch))

    return look


def bodywork(colour: Colour, half_width: float) -> Material:
    """A car's body: lamps at both ends, white to the front (local +z) and red to the rear, and a sill."""
    metal = rough(colour, 0.05, 0.04)

    def look(patch: Patch) -> np.ndarray:
        x, y, _ = patch.at
        lamp = (np.abs(np.abs(x) - half_width + 0.22) < 0.16) & (np.abs(y + 0.08) < 0.09)
        end = np.abs(patch.normal[2]) > 0.9
        colours = _paint(metal(patch), lamp & end & (patch.normal[2] > 0), (0.9, 0.88, 0.8))
        colours = _paint(colours, lamp & end & (patch.normal[2] < 0), (0.6, 0.03, 0.03))
        plate = end & (np.abs(x) < 0.26) & (np.abs(y - 0.08) < 0.06)
        colours = _paint(colours, plate, (0.75, 0.75, 0.7))
        return _paint(colours, patch.upright & (y > 0.2), (0.03, 0.03, 0.03))

    return look


def board(ground: Colour, border: Colour, half: float) -> Material:
    """A sign's face: a border and a bar."""

    def look(patch: Patch) -> np.ndarray:
        x, y, _ = patch.at
        face = np.abs(patch.normal[2]) > 0.9
        edge = np.maximum(np.abs(x), np.abs(y)) > 0.75 * half
        bar = (np.abs(y) < 0.15 * half) & (np.abs(x) < 0.5 * half)
        colours = np.where(edge | bar, np.reshape(border, (3, 1)), np.reshape(ground, (3, 1)))
        return _paint(colours, ~face, (0.3, 0.3, 0.3))

    return look


def lamps(half: float, lit: int) -> Material:
    """A traffic light: a dark case with three lamps, of which number `lit` (0 red, 1, 2 green) shines."""
    shine: list[Colour] = [(1.0, 0.08, 0.05), (1.0, 0.6, 0.05), (0.1, 0.9, 0.4)]

    def look(patch: Patch) -> np.ndarray:
        x, y, _ = patch.at
        colours = np.full((3, x.size), 0.035)
        for number, colour in enumerate(shine):
            spot = np.hypot(x, y - (number - 1) * 0.6 * half) < 0.26 * half
            spot &= np.abs(patch.normal[2]) > 0.9
            level = 1.0 if number == lit else 0.1
            colours = _paint(colours, spot, tuple(level * c for c in colour))  # type: ignore[arg-type]
        return colours

    return look
