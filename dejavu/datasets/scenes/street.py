"""A random street: its objects and their positions, drawn from one random generator and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import materials as look
from . import objects
from .geometry import Solid, turn
from .objects import Scenery

KERB = 0.13


@dataclass(frozen=True)
class Weather:
    """The light of a scene; colours are linear."""

    sun: np.ndarray
    """(3,) unit vector towards the sun"""
    sunlight: np.ndarray
    skylight: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    clouds: float
    haze: float
    """per metre"""
    overcast: bool


@dataclass(frozen=True)
class Street:
    solids: list[Solid]
    weather: Weather
    position: np.ndarray
    rotation: np.ndarray
    focal: float
    """as a share of the image's width"""


def street(rng: np.random.Generator) -> Street:
    """Draw a street with its light and the camera that looks along it."""
    scene = Scenery()
    road, walk, strip = rng.uniform(3.4, 5.5), rng.uniform(2.0, 4.0), rng.choice([0.0, 1.5, 3.5])
    _ground(scene, rng, road, walk)
    for side in (-1, 1):
        _frontage(scene, rng, side, road + walk + strip)
        _furniture(scene, rng, side, road, walk, strip)
    _backdrop(scene, rng)
    _traffic(scene, rng, road)
    _people(scene, rng, road, walk)
    position = np.array([rng.uniform(0.15, 0.5) * road, -rng.uniform(1.3, 2.0), 0.0])
    rotation = turn(rng.normal(0, 0.09) - 0.03, rng.uniform(-0.02, 0.08), rng.normal(0, 0.012))
    if rng.random() < 0.6:
        _bonnet(scene, position, rotation)
    return Street(scene.solids, _weather(rng), position, rotation, rng.uniform(0.8, 1.05))


def _ground(scene: Scenery, rng: np.random.Generator, road: float, walk: float) -> None:
    grey = rng.uniform(0.07, 0.17)
    tar = look.asphalt((grey, grey, grey * 1.05), road, bool(rng.random() < 0.7))
    scene.add("box", "road", tar, (0, 180), (2 * road, 1, 400), up=-1, casts=False)
    tone = rng.uniform(0.18, 0.36)
    slabs = look.paving(
        (tone, tone * rng.uniform(0.88, 1), tone * rng.uniform(0.75, 1)), rng.uniform(0.5, 1.2)
    )
    green = rng.uniform(0, 1)
    grass = look.rough((0.12 + 0.08 * green, 0.16, 0.05), 0.4, 0.5)
    for side in (-1, 1):
        at = (side * (road + walk / 2), 180)
        scene.add("box", "sidewalk", slabs, at, (walk, 1, 400), up=KERB - 1, casts=False)
        at = (side * (road + walk + 60), 180)
        scene.add("box", "terrain", grass, at, (120, 1, 400), up=KERB - 1.04, casts=False)


def _frontage(scene: Scenery, rng: np.random.Generator, side: int, edge: float) -> None:
    """Houses along one side, and in the gaps gardens behind a wall or a fence."""
    z = rng.uniform(-12, 2)
    while z < 120:
        wide = rng.uniform(7, 20)
        middle = (side * edge, z + wide / 2)
        if rng.random() < 0.6:
            _house(scene, rng, side, middle, wide)
        else:
            _garden(scene, rng, side, middle, wide)
        z += wide + (rng.uniform(0, 3) if rng.random() < 0.3 else 0.0)


def _house(
    scene: Scenery, rng: np.random.Generator, side: int, middle: tuple[float, float], wide: float
) -> None:
    tones = [(0.4, 0.35, 0.28), (0.5, 0.47, 0.42), (0.3, 0.14, 0.09), (0.33, 0.33, 0.34), (0.45, 0.36, 0.2),
             (0.24, 0.19, 0.16), (0.6, 0.58, 0.55), (0.35, 0.4, 0.42)]  # fmt: skip
    tone = tones[int(rng.integers(len(tones)))]
    stone = look.bricks(tone, 0.7, 0.25) if rng.random() < 0.5 else look.rough(tone, 0.2, 0.1)
    tall, deep = rng.uniform(4.5, 19), rng.uniform(8, 14)
    face = look.facade(
        stone, rng.uniform(1.8, 3.2), rng.uniform(2.7, 3.4), tall / 2, int(rng.integers(1 << 20))
    )
    at = (middle[0] + side * deep / 2, middle[1])
    scene.add("box", "building", face, at, (deep, tall, wide), up=0)
    if rng.random() < 0.5:  # a roof that stands out over the front
        tiles = look.rough((0.18, 0.08, 0.06) if rng.random() < 0.5 else (0.12, 0.12, 0.13))
        scene.add("box", "building", tiles, at, (deep + 0.8, 0.5, wide), up=tall)


def _garden(
    scene: Scenery, rng: np.random.Generator, side: int, middle: tuple[float, float], wide: float
) -> None:
    kind = rng.choice(["wall", "fence", "open"], p=[0.4, 0.4, 0.2])
    if kind == "wall":
        grey = rng.uniform(0.2, 0.45)
        stone = look.bricks((grey, grey * 0.9, grey * 0.78), 0.6, 0.3)
        scene.add("box", "wall", stone, middle, (0.3, rng.uniform(1.1, 2.4), wide))
    elif kind == "fence":
        tone = [(0.25, 0.16, 0.09), (0.1, 0.12, 0.1), (0.5, 0.5, 0.48)][int(rng.integers(3))]
        paint = look.rough(tone)
        scene.add("box", "fence", paint, middle, (0.1, 1.4, wide), up=0.1, keep=objects.palings)
    for _ in range(int(rng.integers(1, 4))):
        at = (middle[0] + side * rng.uniform(1.5, 8), middle[1] + rng.uniform(-0.4, 0.4) * wide)
        (objects.tree if rng.random() < 0.7 else objects.bush)(scene, rng, at)


def _furniture(
    scene: Scenery, rng: np.random.Generator, side: int, road: float, walk: float, strip: float
) -> None:
    z = rng.uniform(5, 14)
    while z < 70:
        objects.pole(scene, rng, (side * (road + 0.45), z), KERB)
        z += rng.uniform(7, 20)
    if strip and rng.random() < 0.7:
        for distance in np.arange(rng.uniform(6, 14), 80, rng.uniform(8, 16)):
            objects.tree(scene, rng, (side * (road + walk + strip / 2), distance))
    for _ in range(int(rng.integers(0, 3))):
        objects.bin(scene, rng, (side * (road + walk - 0.5), rng.uniform(6, 30)), KERB)


def _backdrop(scene: Scenery, rng: np.random.Generator) -> None:
    """Add the objects that close the view at the far end."""
    for x in np.arange(-70, 70, 14):
        middle = (x + rng.uniform(-3, 3), rng.uniform(125, 150))
        if rng.random() < 0.5:
            _house(scene, rng, 1, middle, rng.uniform(8, 14))
        else:
            objects.tree(scene, rng, middle)


def _traffic(scene: Scenery, rng: np.random.Generator, road: float) -> None:
    """Cars and buses in both lanes, and cars parked at the kerbs. The camera's own lane is the right one."""
    for x, yaw, near in ((0.5, 0.0, 9.0), (-0.5, np.pi, 5.0)):
        z = near + rng.exponential(9)
        while z < 90:
            swerve = yaw + rng.normal(0, 0.06)
            if rng.random() < 0.22:
                objects.bus(scene, rng, (x * road, z + 6), swerve)
                z += 14
            else:
                objects.car(scene, rng, (x * road + rng.normal(0, 0.2), z + 2.4), swerve)
                z += 5.5
            z += 3 + rng.exponential(14)
    for side in (-1, 1):
        if road < 4.2 or rng.random() < 0.4:
            continue
        for distance in np.arange(rng.uniform(5, 20), 60, 6.2):
            if rng.random() < 0.55:
                objects.car(scene, rng, (side * (road - 0.95), distance), rng.choice([0, np.pi]))


def _people(scene: Scenery, rng: np.random.Generator, road: float, walk: float) -> None:
    for _ in range(int(rng.integers(3, 10))):
        side = rng.choice([-1, 1])
        at = (side * (road + rng.uniform(0.5, walk - 0.4)), 5 + rng.exponential(14))
        objects.person(scene, rng, at, rng.uniform(0, 2 * np.pi), KERB)
    if rng.random() < 0.3:  # crossing the road
        for _ in range(int(rng.integers(1, 4))):
            at = (rng.uniform(-road, road), rng.uniform(8, 16))
            objects.person(scene, rng, at, np.pi / 2 + rng.normal(0, 0.3), 0.0)
    for _ in range(int(rng.integers(0, 4))):
        side = rng.choice([-1, 1])
        at = (side * (road - 0.7), 6 + rng.exponential(9))
        objects.bicycle(scene, rng, at, rng.normal(0, 0.5) + (0 if side > 0 else np.pi), 0.0, True)
    for _ in range(int(rng.integers(0, 3))):
        at = (rng.choice([-1, 1]) * (road + walk - 0.9), rng.uniform(5, 18))
        objects.bicycle(scene, rng, at, rng.normal(np.pi / 2, 0.6), KERB, False)


def _bonnet(scene: Scenery, position: np.ndarray, rotation: np.ndarray) -> None:
    """The camera's own car at the lower edge: 'ego vehicle', which is not evaluated."""
    shell = look.rough((0.05, 0.05, 0.06), 0.05, 0.03)
    centre = position + rotation @ np.array([0.0, 0.97, 1.55])
    half = np.array([1.05, 0.55, 0.9])
    label = objects.LABELS["ego vehicle"]
    scene.solids.append(Solid("ellipsoid", centre, half, label, shell, rotation, casts=False))


def _weather(rng: np.random.Generator) -> Weather:
    overcast = bool(rng.random() < 0.35)
    height, around = rng.uniform(0.35, 1.1), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(height) * np.sin(around), -np.sin(height), np.cos(height) * np.cos(around)])
    warmth = 1.1 - height  # a low sun is warmer
    sunlight = np.array([1.0, 0.95 - 0.2 * warmth, 0.88 - 0.4 * warmth]) * rng.uniform(1.4, 2.4)
    blue = rng.uniform(0.3, 1.0)
    zenith = np.array([0.55 - 0.35 * blue, 0.65 - 0.25 * blue, 0.85])
    horizon = np.array([0.82, 0.86, 0.92]) * rng.uniform(0.8, 1.1)
    skylight = np.array([0.42, 0.46, 0.54]) * rng.uniform(0.7, 1.1)
    if overcast:
        grey = rng.uniform(0.55, 0.9)
        zenith, horizon = np.full(3, grey), np.full(3, grey * rng.uniform(1.0, 1.15))
        sunlight, skylight = sunlight * 0.1, np.array([0.85, 0.87, 0.92]) * rng.uniform(0.6, 1.0)
    clouds = 0.15 if overcast else rng.uniform(0, 0.8)
    return Weather(
        sun, sunlight, skylight, zenith, horizon, clouds, rng.choice([0.001, 0.004, 0.009]), overcast
    )
