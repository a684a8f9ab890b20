"""The camera, three convex solids, and their intersections with rays.

Every solid is a unit shape (cube, ball or cylinder) that was stretched, turned and moved. A ray is
brought into the solid's own frame by the inverse; its parameter t is the same in both frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FAR = np.inf
_NEAR = 1e-4  # metres; a surface nearer than this is where the ray started


def turn(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The rotation (3, 3), local to world; radians. Yaw turns forward to the right, pitch turns it down.

    >>> turn(yaw=np.pi / 2)[:, 2].round(6).tolist()
    [1.0, 0.0, 0.0]
    >>> turn(pitch=np.pi / 2)[:, 2].round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    if not pitch and not roll:
        return about_y
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def apply(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Compute `matrix @ vectors` for (3, 3) and (3, N).

    By einsum, since a BLAS may round differently for another number of threads.
    """
    return np.einsum("ij,jn->in", matrix, vectors)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. `size` is (H, W), `focal` in pixels; the principal point is the centre."""

    size: tuple[int, int]
    focal: float
    position: np.ndarray
    """(3,), world"""
    rotation: np.ndarray
    """(3, 3), camera to world"""

    def directions(self) -> np.ndarray:
        """Return camera-frame rays (3, H, W) through the pixels' centres, with z = 1: so t is the depth."""
        height, width = self.size
        v, u = np.mgrid[0:height, 0:width] + 0.5
        return np.stack([(u - width / 2) / self.focal, (v - height / 2) / self.focal, np.ones_like(u)])

    def windows(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels that can see each of `boxes` (K, 3, 8), world corners.

        Returns windows (K, 4), as first row, row after the last, first column, column after the
        last (empty where the box is out of sight), and the boxes' least depths (K,).
        """
        height, width = self.size
        offsets = boxes - self.position[:, None]
        x, y, z = np.moveaxis(np.einsum("ji,kjn->kin", self.rotation, offsets), 1, 0)
        near = z.min(axis=1)
        limits = []
        with np.errstate(divide="ignore", invalid="ignore"):
            for value, middle, limit in ((y, height / 2, height), (x, width / 2, width)):
                pixel = value / z * self.focal + middle - 0.5  # centres lie at whole numbers
                behind = near <= 0.05  # reaches behind the camera: its outline is unbounded
                limits.append(np.where(behind, 0, np.clip(np.ceil(pixel.min(axis=1)), 0, limit)))
                limits.append(np.where(behind, limit, np.clip(np.floor(pixel.max(axis=1)) + 1, 0, limit)))
        window = np.stack(limits, axis=1).astype(int)
        window[z.max(axis=1) <= _NEAR] = 0
        return window, near


@dataclass(frozen=True)
class Solid:
    """A stretched, turned and moved unit shape with a class and a look."""

    form: str
    """'box', 'ellipsoid' or 'cylinder' (upright in its own frame)"""
    centre: np.ndarray
    half: np.ndarray
    """(3,) half extents in metres"""
    label: int
    material: Callable
    """a material of materials.py: (Patch) -> colours (3, N)"""
    axes: np.ndarray
    """(3, 3), local to world"""
    thing: int = 0
    """number of its object in the scene; 0 for stuff"""
    casts: bool = True
    keep: Callable[[np.ndarray], np.ndarray] | None = None
    """the mask of the surface, given local points in metres (3, N); elsewhere are holes"""

    def local(self, points: np.ndarray) -> np.ndarray:
        """Transform world points (3, N) to the solid's frame, in metres."""
        return apply(self.axes.T, points - self.centre[:, None])

    def meet(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """T (N,) at which rays enter the solid, inf where they miss. Origins (3, N) or, common, (3, 1)."""
        half = self.half[:, None]
        shrink = self.axes.T / half
        o = apply(shrink, origins - self.centre[:, None])
        d = apply(shrink, directions)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            enter, leave = _FORMS[self.form](o, d)
            t = np.where((enter <= leave) & (enter > _NEAR), enter, FAR)
            if self.keep is not None:
                hit = np.flatnonzero(np.isfinite(t))
                points = ((o if o.shape[1] == 1 else o[:, hit]) + t[hit] * d[:, hit]) * half
                t[hit[~self.keep(points)]] = FAR
        return t

    def normal(self, local: np.ndarray) -> np.ndarray:
        """Return outward unit normals (3, N) in the solid's frame at surface points (3, N), in metres."""
        p = local / self.half[:, None]
        if self.form == "box":
            axis = np.abs(p).argmax(axis=0)
            flat = np.zeros_like(p)
            columns = np.arange(p.shape[1])
            flat[axis, columns] = np.sign(p[axis, columns])
            return flat
        if self.form == "cylinder":
            cap = np.abs(p[1]) >= np.hypot(p[0], p[2])
            p = np.stack([np.where(cap, 0, p[0]), np.where(cap, np.sign(p[1]), 0), np.where(cap, 0, p[2])])
        n = p / self.half[:, None]
        return n / np.sqrt((n * n).sum(axis=0))


_CORNERS = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8)


def corners(solids: list[Solid]) -> np.ndarray:
    """Return the corners of the solids' boxes, (K, 3, 8), world."""
    half = np.array([s.half for s in solids])
    axes = np.array([s.axes for s in solids])
    centres = np.array([s.centre for s in solids])
    return np.einsum("kij,kjn->kin", axes, half[:, :, None] * _CORNERS) + centres[:, :, None]


Interval = tuple[np.ndarray, np.ndarray]


def _slab(o: np.ndarray, d: np.ndarray) -> Interval:
    """Return the interval in which a ray is between -1 and 1 on one axis."""
    d = np.where(d == 0, 1e-300, d)
    a, b = (-1 - o) / d, (1 - o) / d
    return np.minimum(a, b), np.maximum(a, b)


def _disc(*axes: tuple[np.ndarray, np.ndarray]) -> Interval:
    """Return the interval in which a ray is within distance 1 of the origin, over the given axes (o, d)."""
    a = sum(d * d for _, d in axes)
    b = sum(o * d for o, d in axes)
    c = sum(o * o for o, _ in axes) - 1
    root = np.sqrt(b * b - a * c)  # nan where it misses: every comparison is then false
    return (-b - root) / a, (-b + root) / a


def _both(*intervals: Interval) -> Interval:
    enter, leave = intervals[0]
    for other_enter, other_leave in intervals[1:]:
        enter, leave = np.maximum(enter, other_enter), np.minimum(leave, other_leave)
    return enter, leave


def _box(o: np.ndarray, d: np.ndarray) -> Interval:
    return _both(*(_slab(o[i], d[i]) for i in range(3)))


def _ellipsoid(o: np.ndarray, d: np.ndarray) -> Interval:
    return _disc(*((o[i], d[i]) for i in range(3)))


def _cylinder(o: np.ndarray, d: np.ndarray) -> Interval:
    return _both(_disc((o[0], d[0]), (o[2], d[2])), _slab(o[1], d[1]))


_FORMS = {"box": _box, "ellipsoid": _ellipsoid, "cylinder": _cylinder}
