"""Raw files of every reader, made of train ids: a few small images, to prepare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dejavu import datasets
from dejavu.config import DataSource, Folder, KeepAspect, Source
from dejavu.datasets import ade20k, camvid, cityscapes, cityscapes_panoptic, coco_panoptic, kitti
from dejavu.datasets.formats.coco import write_ids
from dejavu.datasets.nyudv2_forms import codes
from dejavu.datasets.nyudv2_val import LISTS
from dejavu.datasets.obtain.manifest import RawFiles
from dejavu.system.files import write_json

Labels = dict[str, list[np.ndarray]]
"""split -> train ids (H, W) of each image, 255 is ignored"""
DEPTH = 2.0
"""metres, where there is some"""


@dataclass
class Tiny:
    """A dataset of a few images in raw/, and what the stages read of params.yaml to prepare it."""

    name: str
    size: tuple[int, int] | KeepAspect = (16, 16)
    settings: dict[str, Any] = field(default_factory=dict)
    """keys of `folder`"""
    crowds: bool = False
    """whether all segments are crowds"""
    no_normals: bool = False

    @property
    def datasets(self) -> dict[str, Source]:
        entry = Source(licence="none")
        if self.name == "folder":
            given = {
                "images": "{split}/{name}.jpg",
                "labels": "{split}/{name}.png",
                "classes": ["a", "b", "c"],
            }
            entry = Source(licence="mine", folder=Folder(**given | self.settings))
        return {self.name: entry}

    def data_source(self, name: str, scale: str) -> DataSource:
        return DataSource(source=self.name, size=self.size)

    @property
    def dataset(self) -> datasets.Dataset:
        return datasets.reader(self.name, self.name, self.datasets[self.name])

    @property
    def measured(self) -> list[str]:
        """The split that is learnt from, and the one that tables report."""
        return ["train", self.dataset.evaluate]

    def write(self, labels: Labels) -> None:
        """Write data/smoke/raw/NAME and its manifest, here; splits without labels get those of train."""
        raw = Path("data/smoke/raw", self.name)
        shutil.rmtree(raw, ignore_errors=True)
        labels = {split: labels.get(split, labels["train"]) for split in self.dataset.splits}
        for split, maps in labels.items():
            WRITERS[self.name](self, raw, split, maps)
        about = {"dataset": self.name, "stands_in_for": None, "licence": "none"}
        counts = {"splits": {split: len(maps) for split, maps in labels.items()}}
        part = self.data_source(self.name, "smoke")
        described = RawFiles(self.name, raw, part, self.datasets[self.name])
        write_json(described.manifest, about | counts | described.origin)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def photograph(label: np.ndarray) -> np.ndarray:
    return np.full((*label.shape[:2], 3), 90, np.uint8)


def stored(label: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Encode train ids as the first value that a reader's table maps to each."""
    values = {train_id: value for value, train_id in reversed(table.items())}
    return np.vectorize(values.__getitem__, otypes=[np.uint8])(label)


def _folder(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    for n, label in enumerate(maps):  # stored as they are
        save(raw / "folder" / split / f"{n}.jpg", photograph(label))
        save(raw / "folder" / split / f"{n}.png", label)


def _camvid(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    for n, label in enumerate(maps):
        save(raw / split / f"{n}.png", photograph(label))
        save(raw / f"{split}annot" / f"{n}.png", stored(label, camvid._TRAIN_IDS))
    (raw / f"{split}.txt").write_text("".join(f"{n}\n" for n in range(len(maps))))


def _cityscapes(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    for n, label in enumerate(maps):
        name = f"aachen/aachen_{n:06d}_000019"
        save(raw / "leftImg8bit" / split / f"{name}_leftImg8bit.png", photograph(label))
        path = raw / "gtFine" / split / f"{name}_gtFine_labelIds.png"
        save(path, stored(label, cityscapes.TRAIN_IDS))


def _cityscapes_panoptic(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    """Things are number 3 of their class, or a crowd."""
    values = {train_id: value for value, train_id in reversed(cityscapes.TRAIN_IDS.items())}
    things = cityscapes_panoptic.CLASSES.things or ()
    table = np.zeros(256, np.uint16)
    for train_id, value in values.items():
        single = train_id != 255 and things[train_id] and not tiny.crowds
        table[train_id] = value * 1000 + 3 if single else value
    for n, label in enumerate(maps):
        name = f"aachen/aachen_{n:06d}_000019"
        save(raw / "leftImg8bit" / split / f"{name}_leftImg8bit.png", photograph(label))
        save(raw / "gtFine" / split / f"{name}_gtFine_instanceIds.png", table[label])


def _ade20k(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    for n, label in enumerate(maps):
        save(raw / "images" / ade20k.FOLDERS[split] / f"{n}.jpg", photograph(label))
        save(raw / "annotations" / ade20k.FOLDERS[split] / f"{n}.png", stored(label, ade20k._TRAIN_IDS))


def _coco_panoptic(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    folder, annotations, images = raw / "annotations" / f"panoptic_{split}2017", [], []
    for n, label in enumerate(maps):
        save(raw / f"{split}2017" / f"{n}.jpg", photograph(label))
        folder.mkdir(parents=True, exist_ok=True)
        write_ids(folder / f"{n}.png", np.where(label == 255, 0, label.astype(int) + 1))
        present = np.unique(label[label != 255]).tolist()
        segments = [
            {"id": c + 1, "category_id": coco_panoptic.TABLE[c].id, "iscrowd": int(tiny.crowds)}
            for c in present
        ]
        annotations.append({"image_id": n, "file_name": f"{n}.png", "segments_info": segments})
        images.append({"id": n, "file_name": f"{n}.jpg"})
    folder.with_suffix(".json").write_text(json.dumps({"annotations": annotations, "images": images}))


def _kitti(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    """Depth where the label is not ignored."""
    drive = "2011_09_26_drive_0002_sync"
    first = 100 * list(kitti.SPLITS).index(split)
    for n, label in enumerate(maps, first):
        save(raw / "2011_09_26" / drive / "image_02" / "data" / f"{n:010d}.png", photograph(label))
        depth = raw / "train" / drive / "proj_depth" / "groundtruth" / "image_02" / f"{n:010d}.png"
        save(depth, np.where(label == 255, 0, DEPTH * kitti.PER_METRE).astype(np.uint16))
    lines = [f"2011_09_26/{drive} {n} l\n" for n in range(first, first + len(maps))]
    (raw / f"{split}.txt").write_text("".join(lines))


def _nyudv2(tiny: Tiny, raw: Path, split: str, maps: list[np.ndarray]) -> None:
    """Depth and normals where the label is not ignored; with `no_normals` depth alone, and everywhere."""
    inside, names = "test" if split == "test" else "train", []
    for n, label in enumerate(maps):
        names.append(f"{split}{n}")
        known = (label != 255) | tiny.no_normals
        save(raw / inside / "rgb" / f"{names[-1]}.png", photograph(label))
        save(raw / inside / "label40" / f"{names[-1]}.png", codes.encode_label(label))
        save(raw / inside / "depth" / f"{names[-1]}.png", codes.encode_depth(np.where(known, DEPTH, 0)))
        normals = np.where(known[..., None] & (not tiny.no_normals), [0.0, 0.0, -1.0], 0)
        save(raw / inside / "normals" / f"{names[-1]}.png", codes.encode_normals(normals))
    if tiny.name == "nyudv2_val":
        (raw / LISTS[split]).write_text("\n".join(names))
        with (raw / "train.txt").open("a") as listing:
            listing.write("".join(f"{name}\n" for name in names))
    else:
        (raw / f"{split}.txt").write_text("\n".join(names))


WRITERS: dict[str, Callable[[Tiny, Path, str, list[np.ndarray]], None]] = {
    "folder": _folder, "camvid": _camvid, "camvid_val": _camvid, "cityscapes": _cityscapes, "ade20k": _ade20k,
    "cityscapes_panoptic": _cityscapes_panoptic,
    "coco_panoptic": _coco_panoptic, "kitti": _kitti, "nyudv2": _nyudv2, "nyudv2_val": _nyudv2,
}  # fmt: skip
"""reader -> what writes a split"""
