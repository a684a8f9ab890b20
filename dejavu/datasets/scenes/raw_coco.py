"""Synthetic scenes in COCO's panoptic layout: the segments of a street and their categories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ...tasks.segments import Segment
from ..formats import coco
from ..formats.coco import Category, Entry, Panoptic
from . import raw_files
from .objects import LABELS
from .raw_files import MARK, Scene

if TYPE_CHECKING:
    from ..prepared.sizes import Size

CATEGORY_IDS = {
    "person": 1, "rider": 1, "bicycle": 2, "car": 3, "bus": 6, "traffic light": 10, "traffic sign": 13,
    "road": 149, "vegetation": 184, "fence": 185, "sky": 187, "sidewalk": 191, "terrain": 193,
    "building": 197, "wall": 199,
}  # fmt: skip
"""COCO's category of what scenes hold: signs are 'stop sign', pavements 'pavement-merged', lawns
'grass-merged'. Poles, litter bins and the camera's own car have none: they are void."""

_FOLK = ("person", "rider")
_UNCOUNTED = ("traffic light", "traffic sign")
"""things that scenes do not number: each region is one, the pixels of which touch, also at corners"""
FAR = 6
"""People below this share of the image's height who touch one another there are a crowd."""
_STEP = 1_000_003
"""Segment k has the id k times this, modulo 2^24: ids that use all three bytes, none of them twice"""
_TOUCH = np.ones((3, 3))


def scene_segments(scene: Scene, indices: Mapping[int, int]) -> tuple[np.ndarray, dict[int, Segment]]:
    """Return a scene's segment ids, int32 (H, W), 0 = void, and its segments by id.

    `indices` maps category ids to their indices in the list of categories. Each counted thing is a segment,
    of what cannot be counted all there is; but people far away (see `FAR`) who touch one another are one
    crowd.
    """
    ids = np.zeros(scene.semantic.shape, np.int32)
    segments: dict[int, Segment] = {}

    def add(label: str, mask: np.ndarray, crowd: bool = False) -> None:
        id_ = (len(segments) + 1) * _STEP % 2**24
        ids[mask] = id_
        segments[id_] = Segment(indices[CATEGORY_IDS[label]], crowd)

    crowd = crowded(scene)
    for label in CATEGORY_IDS:
        mask = scene.semantic == LABELS[label]
        if label in _FOLK:
            mask &= ~crowd
        for segment in _segments(label, mask, scene.instance):
            add(label, segment)
    if crowd.any():
        add("person", crowd, crowd=True)
    return ids, segments


def _segments(label: str, mask: np.ndarray, instance: np.ndarray) -> list[np.ndarray]:
    """Return the segments of a label's pixels, as masks (H, W)."""
    if label in _UNCOUNTED:
        regions, count = ndimage.label(mask, _TOUCH)
        return [regions == number for number in range(1, count + 1)]
    return [mask & (instance == thing) for thing in np.unique(instance[mask])]


def crowded(scene: Scene) -> np.ndarray:
    """Return the pixels of people in a crowd, bool (H, W): all pixels of each person who touches others."""
    folk = np.where(np.isin(scene.semantic, [LABELS[name] for name in _FOLK]), scene.instance, 0)
    far = np.zeros(folk.shape, bool)
    for someone in np.unique(folk[folk > 0]):
        mask = folk == someone
        rows = np.flatnonzero(mask.any(axis=1))
        if (rows[-1] + 1 - rows[0]) * FAR < len(mask):
            far |= mask
    regions, count = ndimage.label(far, _TOUCH)
    groups = [np.unique(folk[regions == number]) for number in range(1, count + 1)]
    return np.isin(folk, [someone for group in groups if len(group) > 1 for someone in group])


def write(
    raw: Path,
    seed: int | None,
    size: Size,
    counts: Mapping[str, int | None],
    categories: tuple[Category, ...],
) -> list[str]:
    """Render `counts[split]` scenes of `size` (see `scene_size`) into `raw` in COCO's panoptic layout.

    Returns the paths of the files below `raw`, sorted. Raises DejavuError rather than write into a folder
    that holds the real data.
    """
    raw_files.check(seed, counts)
    remove(raw)
    raw_files.refuse_what_is_real(raw, [*(f"{split}2017" for split in counts), "annotations"])
    indices = {category.id: index for index, category in enumerate(categories)}
    result = {split: Panoptic(categories, {}, {}) for split in counts}
    extents: dict[str, dict[int | str, Mapping[int, coco.Extent]]] = {split: {} for split in counts}

    def files(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
        number = int(name.removeprefix(f"{MARK}_"))
        ids, segments = scene_segments(scene, indices)
        result[split].entries[number] = Entry(number, f"{name}.png", segments)
        result[split].images[number] = f"{name}.jpg"
        extents[split][number] = coco.extents(ids)
        png = f"annotations/panoptic_{split}2017/{name}.png"
        return {f"{split}2017/{name}.jpg": scene.image, png: coco.as_colours(ids)}

    written = raw_files.render_all(raw, seed, size, counts, files)
    for split, panoptic in result.items():
        written.append(f"annotations/panoptic_{split}2017.json")
        coco.write_panoptic(raw / written[-1], panoptic, extents[split])
    return sorted(written)


def remove(raw: Path) -> None:
    """Delete the scenes that `write` made in `raw`; anything else stays."""
    annotations = raw / "annotations"
    for split in ("train2017", "val2017"):
        for folder in (raw / split, annotations / f"panoptic_{split}"):
            if not folder.is_symlink() and not folder.parent.is_symlink():
                for path in [*folder.glob(f"{MARK}_*")]:
                    path.unlink()
                raw_files.drop_empty(folder)
        listing = annotations / f"panoptic_{split}.json"
        if not annotations.is_symlink() and listing.is_file() and _is_of_scenes(listing):
            listing.unlink()
    if not annotations.is_symlink():
        raw_files.drop_empty(annotations)


def _is_of_scenes(listing: Path) -> bool:
    """Return whether a JSON file begins as ours do: with the name of a rendered scene."""
    with listing.open("rb") as file:
        return file.read(200).startswith(f'{{"annotations": [{{"file_name": "{MARK}_'.encode())
