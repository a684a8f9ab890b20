"""CamVid in the split and layout of the SegNet tutorial: 367 / 101 / 233 images of 480x360, 11 classes.

Layout: `{train,val,test}/NAME.png` (or .jpg), `{train,val,test}annot/NAME.png` with values 0..10 and
11 = void, `{train,val,test}.txt`. A line of a list is a bare name or, in the original, the image's
path and the label's. Brostow, Fauqueur, Cipolla: Semantic object classes in video (2009).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DejavuError
from ..system.files import sha256
from ..system.folders import files_below
from .dataset import IGNORE, Classes, Dataset, Pair
from .formats.images import read_indices, relabel
from .formats.lists import Lines, listed, read_list
from .formats.patterns import check_labels, find
from .obtain import mirror
from .obtain.fetch import fetch_all
from .scenes import raw_camvid

CLASSES = Classes(
    names=(
        "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    # Cityscapes' seven groups where possible: CamVid has one class for a bicyclist's rider and bicycle.
    categories=(
        "sky", "construction", "object", "flat", "flat", "nature", "object", "construction", "vehicle",
        "human", "human",
    ),
)  # fmt: skip
SPLITS = {"train": 367, "val": 101, "test": 233}

VOID = raw_camvid.VOID
CHECKSUMS = Path(__file__).parent / "checksums" / "camvid.sha256"
"""checksums of the original files, from the repository that params.yaml names"""


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Copy the files from `$DEJAVU_MIRROR/camvid`, or fetch them one by one; each is verified.

    Render scenes instead where the source is synthetic.
    """
    if requested.source == "synthetic":
        return raw_camvid.write_camvid(raw, source.seed, requested.size, requested.train, requested.val)
    raw_camvid.remove_camvid(raw)  # rendered scenes must not be mistaken for the real images
    folder = mirror.find("camvid")
    if folder is not None:
        files = mirror.copy_all(folder, raw, keep=_is_ours)
    else:
        if not source.url:
            raise DejavuError("datasets.camvid.url is not set, and DEJAVU_MIRROR has no folder camvid")
        files = _originals(source.sha256)
        fetch_all(source.url, files, raw)
    _remove_others(raw, set(files))
    return sorted(files)


def _originals(expected: str | None) -> dict[str, str]:
    """Return the original files with their checksums, relative to the folder that the URL names."""
    actual = sha256(CHECKSUMS)
    if actual != expected:
        raise DejavuError(f"{CHECKSUMS} has sha256 {actual}, but datasets.camvid.sha256 is {expected}")
    listed = mirror.read_checksums(CHECKSUMS)
    return {name.removeprefix("CamVid/"): digest for name, digest in listed.items()}


def _is_ours(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    if not folder:
        return file in {f"{split}.txt" for split in SPLITS}
    return folder in {split + end for split in SPLITS for end in ("", "annot")}


def _remove_others(raw: Path, files: set[str]) -> None:
    """Remove files of another source: NAME.jpg of a mirror beside NAME.png of the original."""
    for split in SPLITS:
        for folder in (raw / split, raw / f"{split}annot"):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.relative_to(raw).as_posix() not in files:
                    os.unlink(path)


def pairs(raw: Path, split: str) -> list[Pair]:
    """Return the pairs of `split` in the order of its list."""
    listing = raw / f"{split}.txt"
    lines = read_list(listing, f"the images of CamVid's split {split}")
    images: dict[str, Path] = {}
    for ending in (".jpg", ".png"):
        images |= find(raw, f"{split}/{{name}}{ending}", f"{split}/")
    labels = find(raw, f"{split}annot/{{name}}.png", f"{split}annot/")
    entries = Lines(images, labels, raw, (".png", ".jpg"))  # the original's lists name PNGs
    names = listed(listing, lines, entries, f"as {raw / split}/{{name}}.png (or .jpg)")
    check_labels(names, images, labels, str(raw / f"{split}annot" / "{name}.png"))
    return [Pair(name, images[name], labels[name]) for name in names]


def candidates(raw: Path, splits: Iterable[str] = tuple(SPLITS)) -> list[Path]:
    """Return the files in the folders of images and of labels."""
    return [path for split in splits for end in ("", "annot") for path in files_below(raw / f"{split}{end}")]


_TRAIN_IDS = {**{value: value for value in range(len(CLASSES))}, VOID: IGNORE}


def decode_label(path: Path) -> np.ndarray:
    """Read train ids, uint8 (H, W): 0..10 as stored, void as 255."""
    return relabel(path, read_indices(path), _TRAIN_IDS)


DATASET = Dataset(
    title="CamVid",
    classes=CLASSES,
    splits=SPLITS,
    evaluate="test",
    download=download,
    pairs=pairs,
    candidates=candidates,
    decode_label=decode_label,
)
