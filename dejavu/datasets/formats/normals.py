"""Surface normals from a depth map with coarse steps.

NYUD-v2's depth is at hand in steps of 3.9 cm only, and the slopes of such stairs have no meaning. So the
surface between the steps is computed first: of all inverse depths that fall into every pixel's step, one with
small second differences. Inverse depth, because a plane's is linear in the image, so that walls and floors
cost nothing. Neighbours that lie more than a step apart may belong to different things and are not tied
together.

Against the one official map at hand (frame 3, Ladicky's) the mean error is 10.0 degrees and the median 4.9;
differences of the steps are 28.6 and 16.3 degrees off. The numbers below were chosen on that frame and on
rendered scenes, at 320x240 pixels. The official file's depth is finer, and still has the steps of the sensor.

Convention, here and wherever this project has normals: unit vectors in camera coordinates, x right, y down,
z forward, that point towards the camera (z is mostly negative); (0, 0, 0) = none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

LEVELS = 4
"""levels of the pyramid of resolutions; the coarsest has every eighth pixel"""
ITERATIONS = 50
"""a level. More follow the noise of the measurement, and are less like the official normals."""
SMOOTHING = 3.0
"""pixels: sigma of the Gaussian over the normals"""


class Camera(NamedTuple):
    """A pinhole camera, in pixels; pixel centres lie at whole numbers."""

    fx: float
    fy: float
    cx: float
    cy: float


class _Ties(NamedTuple):
    """Neighbouring pixels that lie within a step of each other: probably of one surface."""

    across: np.ndarray
    """bool (H, W - 1): each pixel and the one to its right"""
    down: np.ndarray
    """bool (H - 1, W): each pixel and the one below"""


Step = float | np.ndarray


def from_depth(depth: np.ndarray, camera: Camera, step: Step = 0.0, finer: int = 1) -> np.ndarray:
    """Compute normals, float32 (H, W, 3), of a depth map (H, W) in metres along z; 0 = no depth, no normal.

    Args:
        step: the width in metres of the interval around each depth in which the true one lies, one for all or
            float32 (H, W); 0 takes the depth as exact.
        finer: how many times as many pixels a side has as one of 320x240, a power of 2: what is smoothed
            is then as large a share of the image as there.
    """
    valid = depth > 0
    if not valid.any():
        return np.zeros((*depth.shape, 3), np.float32)
    known = _filled(depth, valid)
    ties = _ties(known, valid, step, unknown=False)
    levels = LEVELS + finer.bit_length() - 1
    inverse = _smoothest(known, valid, step, levels) if np.any(step) else (1 / known).astype(np.float32)
    dx, dy = _slope(inverse, ties.across, axis=1), _slope(inverse, ties.down, axis=0)
    # On the plane normal . point = c the inverse depth is (normal / c) . ray, which is linear in x and y.
    y, x = np.indices(depth.shape, np.float32)
    normal_x, normal_y = camera.fx * dx, camera.fy * dy
    normal_z = inverse - (x - camera.cx) * dx - (y - camera.cy) * dy
    away = _unit(np.stack([normal_x, normal_y, normal_z]))  # from the camera, as normal . ray > 0
    away[:, ~valid] = 0  # then neither do they leak into their neighbours
    sigma = SMOOTHING * finer
    smooth = np.stack([ndimage.gaussian_filter(axis, sigma, mode="nearest") for axis in away])
    return np.ascontiguousarray(np.moveaxis(np.where(valid, -_unit(smooth), 0), 0, -1), np.float32)


def _filled(depth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Fill unknown depth with the nearest known value."""
    if valid.all():
        return depth.astype(np.float32)
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return depth[tuple(nearest)].astype(np.float32)


def _ties(depth: np.ndarray, valid: np.ndarray, step: Step, unknown: bool) -> _Ties:
    """Return which neighbours are tied; `unknown` is the answer for pairs with an unknown depth."""
    right = below = 1.5 * step if np.any(step) else np.inf  # depths are whole steps apart
    if isinstance(step, np.ndarray):
        right, below = 1.5 * np.maximum(step[:, 1:], step[:, :-1]), 1.5 * np.maximum(step[1:], step[:-1])
    across = np.abs(np.diff(depth, axis=1)) < right
    down = np.abs(np.diff(depth, axis=0)) < below
    return _Ties(
        np.where(valid[:, 1:] & valid[:, :-1], across, unknown),
        np.where(valid[1:] & valid[:-1], down, unknown),
    )


def _smoothest(depth: np.ndarray, valid: np.ndarray, step: Step, levels: int) -> np.ndarray:
    """Compute inverse depth, float32 (H, W), within every pixel's interval and with small second differences.

    From coarse to fine: a coarser level has every other pixel of the finer one, with the same intervals.
    """
    solution: np.ndarray | None = None
    for level in reversed(range(levels)):
        some = (slice(None, None, 2**level),) * 2
        coarse, known = depth[some], valid[some]
        width = step[some] if isinstance(step, np.ndarray) else step
        low = np.where(known, 1 / (coarse + width / 2), 0).astype(np.float32)  # an unknown depth may be any
        high = np.where(known, 1 / np.maximum(coarse - width / 2, coarse / 2), np.inf).astype(np.float32)
        start = 1 / coarse if solution is None else _doubled(solution, coarse.shape)
        solution = _descend(low, high, np.clip(start, low, high), _ties(coarse, known, width, unknown=True))
    assert solution is not None
    return solution


def _doubled(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`coarse` at twice the resolution: its pixels are every other one of the result, linear between them."""
    coordinates = np.meshgrid(*(np.arange(length) / 2 for length in shape), indexing="ij")
    return ndimage.map_coordinates(coarse, coordinates, order=1, mode="nearest", output=np.float32)


def _descend(low: np.ndarray, high: np.ndarray, start: np.ndarray, ties: _Ties) -> np.ndarray:
    """Minimise half the sum of squared second differences by accelerated projected gradient descent."""
    step = np.float32(1 / 32)  # 1 / the largest curvature: 16 along each axis
    weight_x = (ties.across[:, 1:] & ties.across[:, :-1]) * step
    weight_y = (ties.down[1:] & ties.down[:-1]) * step
    current, ahead, following = start.astype(np.float32), start.astype(np.float32), np.empty_like(low)
    momentum = 1.0
    for _ in range(ITERATIONS):
        bend_x = (ahead[:, :-2] + ahead[:, 2:] - 2 * ahead[:, 1:-1]) * weight_x
        bend_y = (ahead[:-2] + ahead[2:] - 2 * ahead[1:-1]) * weight_y
        following[:] = ahead
        following[:, :-2] -= bend_x
        following[:, 2:] -= bend_x
        following[:, 1:-1] += 2 * bend_x
        following[:-2] -= bend_y
        following[2:] -= bend_y
        following[1:-1] += 2 * bend_y
        np.clip(following, low, high, out=following)
        before, momentum = momentum, (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + np.float32((before - 1) / momentum) * (following - current)
        current, following = following, current
    return current


def _slope(values: np.ndarray, tied: np.ndarray, axis: int) -> np.ndarray:
    """The slope at each pixel: the mean of those to its two sides, without a side that it is not tied to.

    Where it is tied to none (or a surface is so steep that all look torn) both count.
    """
    ends = [(0, 0), (0, 0)]
    total, count = np.zeros_like(values), np.zeros_like(values)
    plain, sides = np.zeros_like(values), np.zeros_like(values)
    change = np.diff(values, axis=axis)
    for side in ((1, 0), (0, 1)):
        ends[axis] = side
        both, weight = np.pad(change, ends), np.pad(tied.astype(np.float32), ends)
        total += both * weight
        count += weight
        plain += both
        sides += np.pad(np.ones_like(change), ends)
    return np.where(count > 0, total / np.maximum(count, 1), plain / np.maximum(sides, 1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (3, H, W) to length 1; the 0-vector stays."""
    length = np.sqrt((vectors * vectors).sum(axis=0))
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
