"""Depth maps and surface normals as pictures, and the keys to their colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UNKNOWN = (128, 128, 128)
"""Grey: no depth has this colour, and no unit vector lies near it."""
COLOURMAP = "viridis_r"  # equal steps look equal, in print and to colour-blind readers; near is bright


def depth_limits(truths: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the smallest and largest known depth (0 = unknown) in metres; (0, 1) if none is known.

    >>> depth_limits([np.array([[0.0, 2.0], [5.5, 3.0]])])
    (2.0, 5.5)
    """
    known = np.concatenate([np.asarray(truth, np.float32)[truth > 0] for truth in truths])
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low, high) if low < high else (low, low + 1.0)


def colour_depth(depth: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Map (H, W) metres to (H, W, 3) uint8 RGB, clipped to the limits; 0 and non-finite values are grey."""
    from matplotlib import colormaps

    low, high = limits
    known = np.isfinite(depth) & (depth != 0)
    share = np.clip((np.where(known, depth, low) - low) / (high - low), 0, 1)
    coloured = colormaps[COLOURMAP](share, bytes=True)[..., :3]
    return np.where(known[..., None], coloured, np.array(UNKNOWN, np.uint8)).astype(np.uint8)


def colour_normals(normals: np.ndarray) -> np.ndarray:
    """Map (H, W, 3) unit vectors (x right, y down, z forward) to (H, W, 3) uint8 RGB; the 0-vector is grey.

    Red grows to the right, green upwards, blue towards the camera, as normals are usually shown.

    >>> colour_normals(np.array([[[0, 0, -1.0], [1.0, 0, 0], [0, -1.0, 0], [0, 0, 0]]])).tolist()
    [[[128, 128, 255], [255, 128, 128], [128, 255, 128], [128, 128, 128]]]
    """
    towards = np.asarray(normals, np.float32) * np.array([1, -1, -1], np.float32)
    return np.rint((np.clip(towards, -1, 1) + 1) * 127.5).astype(np.uint8)


def sphere(side: int) -> np.ndarray:
    """Return the key to normals: a ball that faces the camera, on white, (side, side, 3) uint8."""
    centres = (np.arange(side) * 2 + 1) / side - 1
    x, y = np.meshgrid(centres, centres)
    inside = x**2 + y**2 <= 1
    z = -np.sqrt(np.where(inside, 1 - x**2 - y**2, 0))
    coloured = colour_normals(np.stack([x, y, z], -1))
    return np.where(inside[..., None], coloured, 255).astype(np.uint8)


def has_unknown(truths: Sequence[np.ndarray]) -> bool:
    """Return True if any pixel of depth maps (H, W) or normals (H, W, 3) is unknown: 0, or the 0-vector."""
    return any(
        bool((truth == 0).all(-1).any() if truth.ndim == 3 else (truth == 0).any()) for truth in truths
    )
