"""Synthetic scenes in COCO's panoptic layout: the segments of a street, their categories, and captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ...tasks.segments import Segment
from ..formats import coco
from ..formats.coco import Category, Entry, Panoptic
from . import captions, raw_files
from .crowds import FOLK, TOUCH, crowded
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

_UNCOUNTED = ("traffic light", "traffic sign")
"""things that scenes do not number: each region is one, the pixels of which touch, also at corners"""
_STEP = 1_000_003
"""Segment k has the id k times this, modulo 2^24: ids that use all three bytes, none of them twice"""


def scene_segments(scene: Scene, indices: Mapping[int, int]) -> tuple[np.ndarray, dict[int, Segment]]:
    """Return a scene's segment ids, int32 (H, W), 0 = void, and its segments by id.

    `indices` maps category ids to their indices in the list of categories. Each counted thing is a segment,
    of what cannot be counted all there is; but people far away (crowds.py) who touch one another are one
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
        if label in FOLK:
            mask &= ~crowd
        for segment in _segments(label, mask, scene.instance):
            add(label, segment)
    if crowd.any():
        add("person", crowd, crowd=True)
    return ids, segments


def _segments(label: str, mask: np.ndarray, instance: np.ndarray) -> list[np.ndarray]:
    """Return the segments of a label's pixels, as masks (H, W)."""
    if label in _UNCOUNTED:
        regions, count = ndimage.label(mask, TOUCH)
        return [regions == number for number in range(1, count + 1)]
    return [mask & (instance == thing) for thing in np.unique(instance[mask])]


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
    texts: dict[str, dict[int, list[str]]] = {split: {} for split in counts}

    def files(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
        number = int(name.removeprefix(f"{MARK}_"))
        ids, segments = scene_segments(scene, indices)
        result[split].entries[number] = Entry(number, f"{name}.png", segments)
        result[split].images[number] = f"{name}.jpg"
        extents[split][number] = coco.extents(ids)
        texts[split][number] = captions.described(scene.caption)
        png = f"annotations/panoptic_{split}2017/{name}.png"
        return {f"{split}2017/{name}.jpg": scene.image, png: coco.as_colours(ids)}

    written = raw_files.render_all(raw, seed, size, counts, files)
    for split, panoptic in result.items():
        written.append(f"annotations/panoptic_{split}2017.json")
        coco.write_panoptic(raw / written[-1], panoptic, extents[split])
        written.append(f"annotations/captions_{split}2017.json")
        captions.write(raw / written[-1], texts[split])
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
        texts = annotations / f"captions_{split}.json"
        if not annotations.is_symlink() and texts.is_file() and captions.is_rendered(texts):
            texts.unlink()
    if not annotations.is_symlink():
        raw_files.drop_empty(annotations)


def _is_of_scenes(listing: Path) -> bool:
    """Return whether a JSON file begins as ours do: with the name of a rendered scene."""
    with listing.open("rb") as file:
        return file.read(200).startswith(f'{{"annotations": [{{"file_name": "{MARK}_'.encode())
