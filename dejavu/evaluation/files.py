"""Predictions and truths as files of the field's formats, which `dejavu score` and other tools read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from ..datasets.formats.coco import Category, Entry, Extent, Panoptic, extents, write_ids, write_panoptic
from ..system.files import atomic
from ..tasks import load
from ..tasks.segments import CROWD, VOID, Segment


class Files(Protocol):
    """Writer of the arrays of one task."""

    def put(self, name: str, array: np.ndarray) -> None:
        """Write the array of one image."""

    def close(self) -> None:
        """Write the file that lists all images, if there is one."""


class Pngs:
    """`<folder>/<name>.png`: the arrays (H, W, ...) of a task, as its `to_png` codes them."""

    def __init__(self, folder: Path, task: str, predicted: bool) -> None:
        self.folder, self.task, self.predicted = folder, task, predicted

    def put(self, name: str, array: np.ndarray) -> None:
        with atomic(self.folder / f"{name}.png") as temporary:
            pixels = load(self.task).to_png(np.asarray(array), self.predicted)
            Image.fromarray(pixels).save(temporary, compress_level=3)

    def close(self) -> None:
        """Do nothing: each image is complete."""


class PanopticFiles:
    """`<folder>/<name>.png` and `<folder>.json` in COCO's panoptic format, of codes (tasks/segments.py).

    The id of a segment is its code plus one. `names` are the names of all images, see `image_ids`.
    """

    def __init__(self, folder: Path, categories: Sequence[Category], names: Sequence[str]) -> None:
        self.folder, self.categories, self.ids = folder, tuple(categories), image_ids(names)
        self.entries: dict[int | str, Entry] = {}
        self.sizes: dict[int | str, dict[int, Extent]] = {}  # official evaluations read the truth's areas

    def put(self, name: str, array: np.ndarray) -> None:
        codes = np.asarray(array).astype(np.int64)
        ids = np.where(codes == VOID, 0, codes + 1)
        write_ids(self.folder / f"{name}.png", ids)
        present = np.unique(codes[codes != VOID]).tolist()
        segments = {code + 1: Segment(code >> 8, code & 255 == CROWD) for code in present}
        image = self.ids[name]
        self.entries[image] = Entry(image, f"{name}.png", segments)
        self.sizes[image] = extents(ids)

    def close(self) -> None:
        images = {image: f"{name}.jpg" for name, image in self.ids.items()}
        content = Panoptic(self.categories, self.entries, images)
        write_panoptic(self.folder.with_name(f"{self.folder.name}.json"), content, self.sizes)


def image_ids(names: Sequence[str]) -> dict[str, int | str]:
    """Return the id of each image: the number at the end of its name, as in COCO; otherwise the name.

    >>> image_ids(["000000000139", "000000000285"])
    {'000000000139': 139, '000000000285': 285}
    >>> image_ids(["aachen_000019", "bremen_000019"])
    {'aachen_000019': 'aachen_000019', 'bremen_000019': 'bremen_000019'}
    """
    endings = [re.search(r"[0-9]+$", name) for name in names]
    numbers = [int(ending[0]) for ending in endings if ending is not None]
    if len(set(numbers)) == len(names):
        return dict(zip(names, numbers, strict=True))
    return {name: name for name in names}
