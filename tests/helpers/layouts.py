"""A few files in the layout of every dataset, with names of the caller's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu import datasets
from dejavu.config import Folder as Settings
from dejavu.datasets import coco_panoptic, folder, kitti
from dejavu.datasets.formats import coco
from dejavu.datasets.nyudv2_forms import mtan
from dejavu.tasks.segments import Segment

SHAPE = (4, 6)
GREY, COLOUR, DEEP = (
    np.zeros(SHAPE, np.uint8),
    np.full((*SHAPE, 3), 90, np.uint8),
    np.full(SHAPE, 256, np.uint16),
)
FLAT = np.zeros((*SHAPE, 3), np.uint8) + np.array([127, 127, 255], np.uint8)
"""normals that look at the camera"""


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def lines(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def cityscapes(raw: Path, split: str, names: list[str]) -> None:
    for name in names:
        save(raw / "leftImg8bit" / split / "ulm" / f"{name}_leftImg8bit.png", COLOUR)
        save(raw / "gtFine" / split / "ulm" / f"{name}_gtFine_labelIds.png", GREY + np.uint8(7))


def cityscapes_panoptic(raw: Path, split: str, names: list[str]) -> None:
    for name in names:
        save(raw / "leftImg8bit" / split / "ulm" / f"{name}_leftImg8bit.png", COLOUR)
        save(raw / "gtFine" / split / "ulm" / f"{name}_gtFine_instanceIds.png", DEEP * 0 + np.uint16(24003))


def ade20k(raw: Path, split: str, names: list[str]) -> None:
    place = {"train": "training", "val": "validation"}[split]
    for name in names:
        save(raw / "images" / place / f"{name}.jpg", COLOUR)
        save(raw / "annotations" / place / f"{name}.png", GREY)


def camvid(raw: Path, split: str, names: list[str]) -> None:
    lines(raw / f"{split}.txt", names)
    for name in names:
        save(raw / split / f"{name}.png", COLOUR)
        save(raw / f"{split}annot" / f"{name}.png", GREY)


def nyudv2(raw: Path, split: str, names: list[str]) -> None:
    lines(raw / f"{split}.txt", names)
    kinds = {"rgb": COLOUR, "label40": GREY, "depth": GREY + np.uint8(9), "normals": FLAT}
    for name in names:
        for kind, array in kinds.items():
            save(raw / split / kind / f"{name}.png", array)


def nyudv2_val(raw: Path, split: str, names: list[str]) -> None:
    nyudv2(raw, split, names)
    lines(raw / "train_sub381.txt", names)


def nyudv2_mtan(raw: Path, split: str, names: list[str]) -> None:
    kinds = {"image": COLOUR / 255, "label": GREY - 1.0, "depth": DEEP / 256, "normal": FLAT / 127.5 - 1}
    for number in range(len(names)):
        for kind, array in kinds.items():
            path = raw / mtan.FOLDERS[split] / kind / f"{number}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)


def kitti_depth(raw: Path, split: str, names: list[str]) -> None:
    drive = "2011_09_26_drive_0002_sync"
    lines(raw / f"{split}.txt", [f"2011_09_26/{drive} {number} l" for number in range(len(names))])
    for number in range(len(names)):
        save(raw / "2011_09_26" / drive / "image_02" / "data" / f"{number:010d}.png", COLOUR)
        save(raw / "train" / drive / "proj_depth" / "groundtruth" / "image_02" / f"{number:010d}.png", DEEP)


def coco_json(raw: Path, split: str, names: list[str]) -> None:
    stem = raw / "annotations" / f"panoptic_{split}2017"
    entries: dict[Any, coco.Entry] = {}
    for number, name in enumerate(names):
        save(raw / f"{split}2017" / f"{name}.jpg", COLOUR)
        save(stem / f"{name}.png", np.full((*SHAPE, 3), (1, 0, 0), np.uint8))
        entries[number] = coco.Entry(number, f"{name}.png", {1: Segment(0, False)})
    images: dict[Any, str] = {number: f"{name}.jpg" for number, name in enumerate(names)}
    coco.write_panoptic(stem.with_suffix(".json"), coco.Panoptic(coco_panoptic.TABLE, entries, images))


def own(raw: Path, split: str, names: list[str]) -> None:
    for name in names:
        save(raw / folder.LINK / "images" / split / f"{name}.jpg", COLOUR)
        save(raw / folder.LINK / "labels" / split / f"{name}.png", GREY)


def own_listed(raw: Path, split: str, names: list[str]) -> None:
    lines(raw / folder.LINK / f"{split}.txt", names)
    for name in names:
        save(raw / folder.LINK / "photos" / f"{name}.jpg", COLOUR)
        save(raw / folder.LINK / "photos" / f"{name}_mask.png", GREY)


def _own(**settings: Any) -> datasets.Dataset:
    return folder.read_folder("mine", Settings(path="mine", classes=["ground", "thing"], **settings))


Layout = tuple[Callable[[Path, str, list[str]], None], datasets.Dataset]
LAYOUTS: dict[str, Layout] = {
    "cityscapes": (cityscapes, datasets.find("cityscapes")),
    "cityscapes_panoptic": (cityscapes_panoptic, datasets.find("cityscapes_panoptic")),
    "ade20k": (ade20k, datasets.find("ade20k")),
    "camvid": (camvid, datasets.find("camvid")),
    "camvid_val": (camvid, datasets.find("camvid_val")),
    "nyudv2": (nyudv2, datasets.find("nyudv2")),
    "nyudv2_large": (nyudv2, datasets.find("nyudv2_large")),
    "nyudv2_val": (nyudv2_val, datasets.find("nyudv2_val")),
    "nyudv2 of MTAN": (nyudv2_mtan, datasets.find("nyudv2")),
    "kitti": (kitti_depth, kitti.DATASET),
    "coco_panoptic": (coco_json, datasets.find("coco_panoptic")),
    "folder": (own, _own(images="images/{split}/{name}.jpg", labels="labels/{split}/{name}.png")),
    "folder with lists": (
        own_listed,
        _own(images="photos/{name}.jpg", labels="photos/{name}_mask.png", lists="{split}.txt"),
    ),
}
NUMBERED = ("kitti", "nyudv2 of MTAN")
"""layouts whose files have numbers for names"""
LISTED = (
    "camvid",
    "camvid_val",
    "nyudv2",
    "nyudv2_large",
    "nyudv2_val",
    "coco_panoptic",
    "folder with lists",
)


def make(name: str, raw: Path, names: list[str]) -> datasets.Dataset:
    """Write the train split of a layout into `raw`; returns its dataset."""
    write, dataset = LAYOUTS[name]
    write(raw, "train", names)
    return dataset


def smaller_release(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let MTAN's release have so few frames that the tests write them in no time."""
    monkeypatch.setattr(mtan, "COUNTS", {"train": count, "test": 0})
    monkeypatch.setattr(mtan, "axes", lambda _: ([0, 1, 2], [1, 1, 1]))
