"""Rendering a street: its picture and its exact ground truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from .geometry import FAR, Camera, Solid, apply, corners
from .materials import Patch
from .noise import smooth
from .objects import LABELS
from .street import Street, Weather, street

_NAMES = {number: name for name, number in LABELS.items()}


@dataclass(frozen=True)
class Scene:
    """A rendered street.

    In camera coordinates x points right, y DOWN and z forward, so a surface that faces the camera
    has a normal with n . ray < 0. Sky has no surface: there depth is 0 and the normal (0, 0, 0).
    """

    image: np.ndarray
    """uint8 (H, W, 3), sRGB-like"""
    semantic: np.ndarray
    """uint8 (H, W), Cityscapes label ids 0..33"""
    instance: np.ndarray
    """int32 (H, W), 1.. for the scene's countable objects, 0 elsewhere"""
    depth: np.ndarray
    """float32 (H, W), metres along z; 0 = none"""
    normals: np.ndarray
    """float32 (H, W, 3), unit vectors in camera coordinates; 0 = none"""
    caption: str
    camera: Camera


def render(seed: int, index: int, size: tuple[int, int]) -> Scene:
    """Render scene number `index` of the set `seed` as an image of `size` (H, W).

    The street depends on (seed, index) alone: neither on the size nor on other scenes.
    """
    plan, sensor = (np.random.default_rng(child) for child in np.random.SeedSequence([seed, index]).spawn(2))
    scene_plan = street(plan)
    camera = Camera(size, scene_plan.focal * size[1], scene_plan.position, scene_plan.rotation)
    rays = camera.directions()
    depth, nearest = _trace(scene_plan.solids, camera, rays)
    shading = _Shading(scene_plan, camera, rays.reshape(3, -1), depth.ravel(), nearest.ravel())
    labels = np.array([s.label for s in scene_plan.solids] + [LABELS["sky"]], np.uint8)
    things = np.array([s.thing for s in scene_plan.solids] + [0], np.int32)
    semantic, instance = labels[nearest], things[nearest]
    return Scene(
        image=_expose(shading.colours().reshape(3, *size), sensor),
        semantic=semantic,
        instance=instance,
        depth=np.where(nearest < 0, 0, depth).astype(np.float32),
        normals=np.moveaxis(shading.camera_normals().reshape(3, *size), 0, -1).astype(np.float32),
        caption=_caption(semantic, instance, scene_plan.weather),
        camera=camera,
    )


def _trace(solids: list[Solid], camera: Camera, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (H, W) and the number of the nearest solid (H, W), -1 where there is none.

    Each solid is tried only in the window of the image that can see its box; the nearest come
    first, so that what they hide completely need not be tried.
    """
    world = apply(camera.rotation, rays.reshape(3, -1)).reshape(rays.shape)
    depth = np.full(camera.size, FAR)
    nearest = np.full(camera.size, -1)
    origin = camera.position[:, None]
    windows, least = camera.windows(corners(solids))
    for number in np.argsort(least, kind="stable"):
        top, bottom, left, right = windows[number]
        window = (slice(top, bottom), slice(left, right))
        if top >= bottom or left >= right or depth[window].max() <= least[number]:
            continue
        inside = world[:, window[0], window[1]]
        t = solids[number].meet(origin, inside.reshape(3, -1)).reshape(inside.shape[1:])
        closer = t < depth[window]
        depth[window][closer] = t[closer]
        nearest[window][closer] = number
    return depth, nearest


class _Shading:
    """Colours and normals of the visible points (all arrays (3, N) over the pixels)."""

    def __init__(
        self, scene_plan: Street, camera: Camera, rays: np.ndarray, depth: np.ndarray, nearest: np.ndarray
    ) -> None:
        self.scene_plan, self.camera, self.rays, self.nearest = scene_plan, camera, rays, nearest
        self.depth = np.where(nearest < 0, 0, depth)
        self.world_rays = apply(camera.rotation, rays)
        self.points = camera.position[:, None] + self.depth * self.world_rays
        order = np.argsort(nearest, kind="stable")
        numbers, starts = np.unique(nearest[order], return_index=True)
        groups = np.split(order, starts[1:])
        self.groups = [(n, pixels) for n, pixels in zip(numbers, groups, strict=True) if n >= 0]
        self.local = np.zeros_like(rays)
        self.local_normals = np.zeros_like(rays)
        self.normals = np.zeros_like(rays)
        for number, pixels in self.groups:
            solid = scene_plan.solids[number]
            local = solid.local(self.points[:, pixels])
            normal = solid.normal(local)
            self.local[:, pixels], self.local_normals[:, pixels] = local, normal
            self.normals[:, pixels] = apply(solid.axes, normal)

    def camera_normals(self) -> np.ndarray:
        return apply(self.camera.rotation.T, self.normals)

    def colours(self) -> np.ndarray:
        """Compute linear light: material x (sky light + sun, where it reaches) behind haze, or the sky."""
        weather = self.scene_plan.weather
        facing = (self.normals * weather.sun[:, None]).sum(axis=0)
        reached = (facing > 0) & (self.nearest >= 0)
        if not weather.overcast:
            reached[reached] = ~_shadowed(self.scene_plan.solids, self.points[:, reached], weather.sun)
        above = 0.65 - 0.35 * self.normals[1]  # how much of the sky a surface sees
        near_ground = 0.75 + 0.25 * np.clip(-self.points[1] / 1.2, 0, 1)
        light = weather.skylight[:, None] * above * np.where(self.normals[1] > -0.5, near_ground, 1)
        light += weather.sunlight[:, None] * np.where(reached, facing, 0)
        colours = self._materials() * light
        clear = np.exp(-weather.haze * self.depth)
        colours = colours * clear + weather.horizon[:, None] * (1 - clear)
        return np.where(self.nearest < 0, _sky(weather, self.world_rays), colours)

    def _materials(self) -> np.ndarray:
        offset = (self.nearest % 97) * 13.7  # so that equal solids do not carry equal stains
        coarse, fine = smooth(self.local * 1.3 + offset, 11), smooth(self.local * 9.1 + offset, 12)
        base = np.zeros_like(self.local)
        for number, pixels in self.groups:
            at, normal = self.local[:, pixels], self.local_normals[:, pixels]
            patch = Patch(at, normal, coarse[pixels], fine[pixels])
            base[:, pixels] = self.scene_plan.solids[number].material(patch)
        return base


def _shadowed(solids: list[Solid], points: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Return whether something stands between each point (3, N) and the sun.

    Points are sorted on an axis across the sunlight, so that each solid is tried only on those
    that lie in its shadow's bounding rectangle.
    """
    across = np.array([sun[2], 0.0, -sun[0]]) / np.hypot(sun[0], sun[2])
    frame = np.stack([across, np.cross(across, sun), sun])
    a, b, c = apply(frame, points)
    order = np.argsort(a, kind="stable")
    dark = np.zeros(a.size, bool)
    casting = [solid for solid in solids if solid.casts]
    boxes = np.einsum("ij,kjn->kin", frame, corners(casting))
    low, high = boxes.min(axis=2), boxes.max(axis=2)
    spans = np.searchsorted(a[order], np.stack([low[:, 0], high[:, 0]], axis=1))
    for number in np.flatnonzero(spans[:, 0] < spans[:, 1]):
        some = order[slice(*spans[number])]
        beside = (b[some] >= low[number, 1]) & (b[some] <= high[number, 1])
        some = some[beside & (c[some] < high[number, 2]) & ~dark[some]]
        if some.size:
            t = casting[number].meet(points[:, some], np.broadcast_to(sun[:, None], (3, some.size)))
            dark[some] = (t > 0.02) & np.isfinite(t)
    return dark


def _sky(weather: Weather, rays: np.ndarray) -> np.ndarray:
    """The sky's colour (3, N) along world rays: horizon to zenith, clouds, and light around the sun."""
    x, y, z = rays / np.sqrt((rays * rays).sum(axis=0))
    up = np.clip(-y, 0, 1)
    blend = 1 - (1 - up) ** 3
    colour = weather.horizon[:, None] * (1 - blend) + weather.zenith[:, None] * blend
    plane = np.stack([x / (up + 0.15), np.zeros_like(x), z / (up + 0.15)])
    fleece = 0.6 * smooth(plane * 1.7, 21) + 0.4 * smooth(plane * 5.0, 22)
    cover = weather.clouds * np.clip((fleece - 0.4) * 3, 0, 1)
    glow = np.clip(x * weather.sun[0] + y * weather.sun[1] + z * weather.sun[2], 0, 1) ** 24
    glow *= 0.0 if weather.overcast else 0.5
    return colour * (1 - cover) + 0.95 * cover + glow


def _expose(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photograph linear light (3, H, W): a soft lens, exposure, noise, 8 bits (H, W, 3)."""
    for axis in (1, 2):
        side = np.pad(light, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode="edge")
        n = light.shape[axis]
        before, after = (np.take(side, range(k, k + n), axis) for k in (0, 2))
        light = 0.7 * light + 0.15 * (before + after)
    balance = 1 + rng.normal(0, 0.04, 3)
    gain = rng.uniform(0.75, 1.15) * 0.24 / max(float(np.median(light)), 0.12)
    light = np.clip(light * balance[:, None, None] * gain, 0, None)
    light = light + rng.normal(0, 1, light.shape) * np.sqrt(2e-5 + 6e-4 * light)
    light = np.clip(light, 0, None)
    picture = np.clip(light / (1 + 0.25 * light) * 1.15, 0, 1) ** (1 / 2.2)
    return np.ascontiguousarray((np.moveaxis(picture, 0, -1) * 255 + 0.5).astype(np.uint8))


def _caption(semantic: np.ndarray, instance: np.ndarray, weather: Weather) -> str:
    """Describe the visible objects in one sentence: things are counted, stuff is named, specks left out."""
    enough = max(4, semantic.size // 4000)
    pairs, counts = np.unique(semantic.astype(np.int64) << 32 | instance, return_counts=True)
    visible = [(int(p) >> 32, int(p) & 0xFFFFFFFF) for p in pairs[counts >= enough]]
    things = Counter(_NAMES[label] for label, thing in visible if thing)
    stuff = {_NAMES[label] for label, thing in visible if not thing}
    counted = [f"{n} {_plural(name) if n > 1 else name}" for name, n in sorted(things.items())]
    named = sorted(stuff & {"building", "fence", "traffic light", "traffic sign", "vegetation", "wall"})
    light = "an overcast day" if weather.overcast else "a sunny day"
    holds = ", ".join(counted + named) or "nothing in it"
    return f"A street on {light} with {holds}."


def _plural(name: str) -> str:
    return {"person": "people", "bus": "buses"}.get(name, name + "s")
