"""Cityscapes: 2975 / 500 images of 2048x1024, 34 label ids of which 19 are evaluated.

Layout: `leftImg8bit/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png` and, likewise named,
`gtFine/<split>/<city>/..._gtFine_labelIds.png`. The ids, colours and categories are those of the
official scripts (github.com/mcordts/cityscapesScripts, helpers/labels.py). Cordts et al., CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import DejavuError
from ..system.folders import files_below
from .dataset import IGNORE, Classes, Dataset, Pair
from .formats.images import read_indices, relabel, stored_values
from .formats.patterns import check_images, check_labels, find
from .obtain import mirror
from .scenes import raw_files

# train id -> name, label id, colour, category
_EVALUATED = (
    ("road", 7, (128, 64, 128), "flat"),
    ("sidewalk", 8, (244, 35, 232), "flat"),
    ("building", 11, (70, 70, 70), "construction"),
    ("wall", 12, (102, 102, 156), "construction"),
    ("fence", 13, (190, 153, 153), "construction"),
    ("pole", 17, (153, 153, 153), "object"),
    ("traffic light", 19, (250, 170, 30), "object"),
    ("traffic sign", 20, (220, 220, 0), "object"),
    ("vegetation", 21, (107, 142, 35), "nature"),
    ("terrain", 22, (152, 251, 152), "nature"),
    ("sky", 23, (70, 130, 180), "sky"),
    ("person", 24, (220, 20, 60), "human"),
    ("rider", 25, (255, 0, 0), "human"),
    ("car", 26, (0, 0, 142), "vehicle"),
    ("truck", 27, (0, 0, 70), "vehicle"),
    ("bus", 28, (0, 60, 100), "vehicle"),
    ("train", 31, (0, 80, 100), "vehicle"),
    ("motorcycle", 32, (0, 0, 230), "vehicle"),
    ("bicycle", 33, (119, 11, 32), "vehicle"),
)
CLASSES = Classes(
    names=tuple(row[0] for row in _EVALUATED),
    palette=tuple(row[2] for row in _EVALUATED),
    categories=tuple(row[3] for row in _EVALUATED),
)
SPLITS = {"train": 2975, "val": 500}

LABEL_IDS = 34
"""0..33; the licence plate's -1 does not occur in 8-bit label images"""
TRAIN_IDS = dict.fromkeys(range(LABEL_IDS), IGNORE) | {row[1]: n for n, row in enumerate(_EVALUATED)}
_NEEDED = "labelIds are needed, *_gtFine_labelIds.png as gtFine_trainvaltest.zip has them, and no trainIds"
FOLDERS = ("leftImg8bit", "gtFine")
LABELS, INSTANCES = "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
_IMAGE = "_leftImg8bit.png"
_UNREAD = ("color.png", "instanceIds.png", "labelIds.png", "labelTrainIds.png", "polygons.json")
"""files of the official archive and scripts, of which one kind is read"""


def download(raw: Path, requested: Any, source: Any, ending: str = LABELS) -> list[str]:
    """Render scenes where the source is synthetic; else use the data that the user has unpacked.

    The data may be in `$DEJAVU_MIRROR/cityscapes`, to which links are made, and in `raw` itself. `ending` is
    that of the label files, `LABELS` or `INSTANCES`.
    """
    if requested.source == "synthetic":
        counts = {"train": requested.train, "val": requested.val}
        return raw_files.write_cityscapes(raw, source.seed, requested.size, counts)
    raw_files.remove(raw)  # rendered scenes must not be mistaken for the real ones
    folder = mirror.find("cityscapes")
    for name in FOLDERS:
        if folder is not None and (folder / name).is_dir():
            mirror.link(folder / name, raw / name)
    if not all((raw / name).is_dir() for name in FOLDERS):
        raise DejavuError(
            f"Cityscapes cannot be fetched without an account: {source.manual}, into {raw.resolve()}, so "
            "that it holds leftImg8bit/ and gtFine/ (or set DEJAVU_MIRROR to a folder whose cityscapes/ does)"
        )
    return sorted(
        path.relative_to(raw).as_posix()
        for split in SPLITS
        for pair in pairs(raw, split, ending)
        for path in (pair.image, pair.label)
    )


def pairs(raw: Path, split: str, ending: str = LABELS) -> list[Pair]:
    """Return the pairs of `split`, sorted by city and name; labels are the files of this ending."""
    forms = [f"{folder}/{split}/{{name}}{end}" for folder, end in zip(FOLDERS, (_IMAGE, ending), strict=True)]
    images, labels = (find(raw, form, str(raw / form)) for form in forms)
    if not images:
        folder = raw / FOLDERS[0] / split
        raise DejavuError(
            f"{folder} has no <city>/*_leftImg8bit.png: unpack leftImg8bit_trainvaltest.zip there"
        )
    check_labels(images, images, labels, str(raw / forms[1]))
    check_images(images, labels, str(raw / forms[0]))
    ordered = sorted(images.items(), key=lambda item: item[1])
    return [Pair(PurePosixPath(name).name, image, labels[name]) for name, image in ordered]


def candidates(raw: Path, ending: str = LABELS) -> list[Path]:
    """Return the images, the labels, and the files beside them that the official archives do not have."""
    below = (files_below(raw / folder / split) for folder in FOLDERS for split in SPLITS)
    return [
        path
        for files in below
        for path in files
        if path.name.endswith(ending) or not path.name.endswith(_UNREAD)
    ]


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..18, uint8 (H, W), from a labelIds image; ids that are not evaluated become 255."""
    return relabel(path, read_indices(path), TRAIN_IDS, f": {_NEEDED}")


def doubt(present: Sequence[int], labels: Sequence[Path]) -> str | None:
    """Notice trainIds that are stored as labelIds: no id beyond 18, and those of buildings or sky.

    Read as labelIds, 2 and 10 are a border of the rectification and rails, and the split would show neither
    plants nor sky nor people nor vehicles.
    """
    values = stored_values(labels)
    if max(values) >= len(_EVALUATED) or {2, 10}.isdisjoint(values):
        return None
    return f"label files hold {values[0]} to {values[-1]} alone, as trainIds do: {_NEEDED}"


DATASET = Dataset(
    title="Cityscapes",
    classes=CLASSES,
    splits=SPLITS,
    evaluate="val",
    download=download,
    pairs=pairs,
    candidates=candidates,
    decode_label=decode_label,
    doubt=doubt,
)
