"""Things and furniture of the street, each put together from a few solids.

Labels are Cityscapes' label ids. Sizes are in metres; `up` is the height of a solid's lower end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import materials as look
from .geometry import Solid, turn
from .materials import Colour, Material
from .noise import grain

LABELS = {
    "ego vehicle": 1, "static": 4, "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13,
    "pole": 17, "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "bus": 28, "bicycle": 33,
}  # fmt: skip
"""Cityscapes' ids of what a scene can hold (the first two are not evaluated)."""

_RUBBER = look.rough((0.03, 0.03, 0.03))
_METAL = look.rough((0.22, 0.23, 0.24), 0.3, 0.1)


@dataclass
class Scenery:
    """A collection of solids; `new_thing` begins another countable object."""

    solids: list[Solid] = field(default_factory=list)
    things: int = 0

    def new_thing(self) -> int:
        self.things += 1
        return self.things

    def add(
        self,
        form: str,
        label: str,
        material: Material,
        at: tuple[float, float],
        size: tuple[float, float, float],
        up: float = 0.0,
        yaw: float = 0.0,
        offset: tuple[float, float] = (0.0, 0.0),
        **options: Any,
    ) -> None:
        """Put a solid of full `size` (x, height, z) at `at` (x, z), shifted by the turned `offset`."""
        axes = options.pop("axes", None)
        shift = turn(yaw) @ np.array([offset[0], 0.0, offset[1]])
        centre = np.array([at[0] + shift[0], -(up + size[1] / 2), at[1] + shift[2]])
        half = np.array(size) / 2
        axes = turn(yaw) if axes is None else axes
        self.solids.append(Solid(form, centre, half, LABELS[label], material, axes, **options))


def _pick(rng: np.random.Generator, colours: list[Colour]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


_PAINTS: list[Colour] = [
    (0.55, 0.55, 0.56), (0.8, 0.8, 0.8), (0.03, 0.03, 0.035), (0.12, 0.12, 0.13), (0.45, 0.04, 0.04),
    (0.04, 0.1, 0.35), (0.25, 0.27, 0.3), (0.08, 0.2, 0.12), (0.5, 0.42, 0.28),
]  # fmt: skip


def car(scene: Scenery, rng: np.random.Generator, at: tuple[float, float], yaw: float) -> None:
    """A saloon, estate or van: body, cabin with glass, four wheels."""
    thing, paint = scene.new_thing(), _pick(rng, _PAINTS)
    width, length = rng.uniform(1.65, 1.9), rng.uniform(3.8, 4.8)
    tall = rng.choice([0.52, 0.6, 0.95])
    body = look.bodywork(paint, width / 2)
    scene.add("box", "car", body, at, (width, 0.58, length), up=0.28, yaw=yaw, thing=thing)
    cabin = (width * 0.86, tall, length * (0.52 if tall < 0.9 else 0.75))
    glass = look.panes(paint, -0.5 * tall, 0.32 * tall, 1.05)
    scene.add("box", "car", glass, at, cabin, up=0.86, yaw=yaw, offset=(0, -0.25), thing=thing)
    bonnet = (width * 0.9, 0.36, length * 0.94)  # rounds off the edges
    scene.add("ellipsoid", "car", look.rough(paint, 0.05, 0.04), at, bonnet, 0.68, yaw, thing=thing)
    for side in (-1, 1):
        for end in (-1, 1):
            offset = (side * (width / 2 - 0.08), end * length * 0.31)
            scene.add("ellipsoid", "car", _RUBBER, at, (0.24, 0.64, 0.64), 0, yaw, offset, thing=thing)


def bus(scene: Scenery, rng: np.random.Generator, at: tuple[float, float], yaw: float) -> None:
    """A city bus: a tall box with a long band of windows."""
    thing = scene.new_thing()
    paint = _pick(rng, [(0.6, 0.35, 0.03), (0.5, 0.03, 0.03), (0.75, 0.75, 0.72), (0.05, 0.25, 0.45)])
    length, height = rng.uniform(9, 12), rng.uniform(2.6, 2.9)
    skin = look.panes(paint, -0.12 * height, 0.3 * height, 1.5)
    scene.add("box", "bus", skin, at, (2.5, height, length), up=0.35, yaw=yaw, thing=thing)
    roof = look.rough((0.5, 0.5, 0.5))
    scene.add("box", "bus", roof, at, (1.6, 0.25, length * 0.4), height + 0.35, yaw, thing=thing)
    for side in (-1, 1):
        for end in (-0.32, 0.3):
            offset = (side * 1.16, end * length)
            scene.add("ellipsoid", "bus", _RUBBER, at, (0.3, 0.95, 0.95), 0, yaw, offset, thing=thing)


def _figure(
    scene: Scenery,
    rng: np.random.Generator,
    label: str,
    at: tuple[float, float],
    yaw: float,
    up: float,
    stride: float,
) -> None:
    """Legs, torso, arms and head. `stride`: half the angle between the legs, radians."""
    thing, height = scene.new_thing(), rng.uniform(0.88, 1.08)
    cloth = [(0.5, 0.05, 0.06), (0.05, 0.1, 0.3), (0.04, 0.04, 0.05), (0.6, 0.58, 0.5), (0.08, 0.25, 0.1),
             (0.45, 0.3, 0.05), (0.3, 0.3, 0.32), (0.3, 0.1, 0.3)]  # fmt: skip
    coat, trousers = look.rough(_pick(rng, cloth)), look.rough(_pick(rng, cloth))
    skin = look.rough(_pick(rng, [(0.55, 0.36, 0.27), (0.35, 0.2, 0.13), (0.12, 0.07, 0.05)]))
    leg, torso = 0.84 * height, 0.66 * height
    for side in (-1, 1):
        swing = turn(yaw, pitch=side * stride)
        offset = (side * 0.1, -side * np.sin(stride) * leg / 2)
        scene.add(
            "cylinder", label, trousers, at, (0.18, leg, 0.18), up, yaw, offset, axes=swing, thing=thing
        )
        swing = turn(yaw, pitch=-side * stride)
        offset = (side * 0.27, side * np.sin(stride) * 0.3)
        scene.add(
            "ellipsoid", label, coat, at, (0.14, 0.66 * height, 0.16), up + leg - 0.08, yaw, offset,
            axes=swing, thing=thing,
        )  # fmt: skip
    scene.add("ellipsoid", label, coat, at, (0.46, torso * 1.2, 0.32), up + leg - 0.1, yaw, thing=thing)
    scene.add("ellipsoid", label, skin, at, (0.2, 0.27, 0.23), up + leg + torso, yaw, thing=thing)


def person(scene: Scenery, rng: np.random.Generator, at: tuple[float, float], yaw: float, up: float) -> None:
    """Someone standing or walking."""
    _figure(scene, rng, "person", at, yaw, up, stride=rng.uniform(0, 0.4))


def _spokes(points: np.ndarray) -> np.ndarray:
    """A ring: what is left of a disc of 0.7 m that looks along local x."""
    radius = np.hypot(points[1], points[2])
    angle = np.arctan2(points[1], points[2])
    return (radius > 0.24) | (np.mod(angle, 0.785) < 0.18)


def bicycle(
    scene: Scenery, rng: np.random.Generator, at: tuple[float, float], yaw: float, up: float, ridden: bool
) -> None:
    """Two wheels, frame and handlebar; with a rider on it where `ridden`."""
    thing = scene.new_thing()
    frame = look.rough(_pick(rng, [(0.5, 0.04, 0.04), (0.04, 0.04, 0.05), (0.05, 0.2, 0.4), (0.5, 0.5, 0.5)]))
    for end in (-0.52, 0.52):
        scene.add("ellipsoid", "bicycle", _RUBBER, at, (0.09, 0.7, 0.7), up, yaw, (0, end),
                  thing=thing, keep=_spokes)  # fmt: skip
    scene.add("box", "bicycle", frame, at, (0.07, 0.08, 0.95), up + 0.55, yaw, thing=thing)
    scene.add("box", "bicycle", frame, at, (0.07, 0.6, 0.07), up + 0.3, yaw, (0, -0.2), thing=thing)
    scene.add("box", "bicycle", frame, at, (0.07, 0.7, 0.07), up + 0.35, yaw, (0, 0.45), thing=thing)
    scene.add("box", "bicycle", _METAL, at, (0.55, 0.06, 0.06), up + 1.02, yaw, (0, 0.42), thing=thing)
    if ridden:
        _figure(scene, rng, "rider", at, yaw, up + 0.25, stride=0.45)


def _leaves(seed: int, share: float) -> Any:
    """Holes in a crown, so that its outline is ragged and what is behind shows through."""

    def keep(points: np.ndarray) -> np.ndarray:
        twigs, leaves = (grain(points * scale, seed) for scale in (3.7, 9.0))
        return 0.5 * twigs + 0.5 * leaves > share

    return keep


_GREENS: list[Colour] = [(0.08, 0.17, 0.05), (0.12, 0.2, 0.05), (0.06, 0.12, 0.05), (0.2, 0.19, 0.05)]


def tree(scene: Scenery, rng: np.random.Generator, at: tuple[float, float]) -> None:
    """A trunk and a crown of balls of leaves."""
    tall, wide = rng.uniform(4.5, 10.0), rng.uniform(2.2, 4.5)
    bark = look.rough((0.1, 0.08, 0.06), 0.3, 0.4)
    stem = rng.uniform(0.2, 0.4)
    scene.add("cylinder", "vegetation", bark, at, (stem, tall * 0.6, stem))
    leaves, seed = look.foliage(_pick(rng, _GREENS)), int(rng.integers(1 << 30))
    for _ in range(int(rng.integers(4, 7))):
        size = wide * rng.uniform(0.55, 1.0)
        offset = (rng.uniform(-0.35, 0.35) * wide, rng.uniform(-0.35, 0.35) * wide)
        up = tall * rng.uniform(0.45, 0.75)
        scene.add("ellipsoid", "vegetation", leaves, at, (size, size * 0.85, size), up, offset=offset,
                  keep=_leaves(seed, 0.36))  # fmt: skip


def bush(scene: Scenery, rng: np.random.Generator, at: tuple[float, float]) -> None:
    leaves, seed = look.foliage(_pick(rng, _GREENS)), int(rng.integers(1 << 30))
    size = (rng.uniform(1, 2.5), rng.uniform(0.8, 1.8), rng.uniform(1, 3))
    scene.add("ellipsoid", "vegetation", leaves, at, size, up=-0.2, keep=_leaves(seed, 0.25))


def pole(scene: Scenery, rng: np.random.Generator, at: tuple[float, float], up: float) -> None:
    """A post that carries a lamp, a sign, a traffic light, or a sign above a light."""
    kind = rng.choice(["lamp", "sign", "light", "both"], p=[0.22, 0.36, 0.25, 0.17])
    tall = rng.uniform(5, 8) if kind == "lamp" else rng.uniform(3.0, 3.9)
    thick = rng.uniform(0.13, 0.24)
    scene.add("cylinder", "pole", _METAL, at, (thick, tall, thick), up)
    if kind == "lamp":
        inwards = -np.sign(at[0])
        scene.add("box", "pole", _METAL, at, (1.8, 0.12, 0.14), up + tall - 0.1, offset=(inwards * 0.9, 0))
    yaw = rng.uniform(-0.3, 0.3)
    if kind in ("light", "both"):
        case = look.lamps(0.5, int(rng.integers(3)))
        scene.add("box", "traffic light", case, at, (0.42, 1.0, 0.3), up + tall - 1.4, yaw, (0, -0.3))
    if kind in ("sign", "both"):
        _sign(scene, rng, at, up + tall - (0.4 if kind == "both" else 0.9), yaw)


def _sign(scene: Scenery, rng: np.random.Generator, at: tuple[float, float], up: float, yaw: float) -> None:
    white, red, blue, yellow = (0.8, 0.8, 0.8), (0.6, 0.02, 0.03), (0.02, 0.1, 0.5), (0.75, 0.5, 0.02)
    ground, border = [(white, red), (blue, white), (yellow, white), (red, white)][int(rng.integers(4))]
    size = rng.uniform(0.65, 0.95)
    face, offset = look.board(ground, border, size / 2), (0, -0.16)
    if rng.random() < 0.5:
        scene.add("box", "traffic sign", face, at, (size, size, 0.05), up, yaw, offset)
    else:  # a disc
        scene.add("ellipsoid", "traffic sign", face, at, (size, size, 0.08), up, yaw, offset)


def bin(scene: Scenery, rng: np.random.Generator, at: tuple[float, float], up: float) -> None:
    """A litter bin: 'static', which Cityscapes does not evaluate."""
    coat = look.rough(_pick(rng, [(0.05, 0.15, 0.08), (0.12, 0.12, 0.13), (0.4, 0.25, 0.03)]))
    scene.add("cylinder", "static", coat, at, (0.55, rng.uniform(0.8, 1.1), 0.55), up)


def palings(points: np.ndarray) -> np.ndarray:
    """A fence's pales and its two rails; between them are holes. Along local z, foot at y = 0.7."""
    return (np.mod(points[2], 0.28) < 0.13) | (np.abs(np.abs(points[1]) - 0.42) < 0.08)
