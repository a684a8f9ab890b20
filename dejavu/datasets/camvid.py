"""CamVid in the split and layout of the SegNet tutorial: 367 / 101 / 233 images of 480x360, 11 classes.

Layout: `{train,val,test}/NAME.png` (or .jpg), `{train,val,test}annot/NAME.png` with values 0..10 and
11 = void, `{train,val,test}.txt`. A line of a list is a bare name or, in the original, the image's
path and the label's. Brostow, Fauqueur, Cipolla: Semantic object classes in video (2009).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DejavuError
from ..system.files import sha256
from .dataset import IGNORE, Classes, Dataset, Pair
from .formats.images import read_indices, relabel
from .obtain import mirror
from .obtain.fetch import fetch_all

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

VOID = 11
CHECKSUMS = Path(__file__).parent / "checksums" / "camvid.sha256"
"""checksums of the original files, from the repository that params.yaml names"""


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Copy the files from `$DEJAVU_MIRROR/camvid`, or fetch them one by one; each is verified."""
    if requested.source == "synthetic":
        raise DejavuError(
            "synthetic scenes are not written in CamVid's layout: let them stand in for cityscapes"
        )
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
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DejavuError(f"{listing} is missing: it lists the images of CamVid's split {split}") from None
    except UnicodeDecodeError:
        raise DejavuError(f"{listing} is not a text file of image names") from None
    names = [Path(line.split()[0]).stem for line in lines if line.strip()]
    if not names:
        raise DejavuError(f"{listing} is empty, and should list the images of CamVid's split {split}")
    return [Pair(name, _image(raw / split, name), _label(raw, split, name)) for name in names]


def _image(folder: Path, name: str) -> Path:
    for suffix in (".png", ".jpg"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise DejavuError(f"{folder / name}.png (or .jpg) is missing, though {folder}.txt lists it")


def _label(raw: Path, split: str, name: str) -> Path:
    path = raw / f"{split}annot" / f"{name}.png"
    if not path.is_file():
        raise DejavuError(f"{path} is missing: it is the label of an image that {raw / split}.txt lists")
    return path


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
    decode_label=decode_label,
)
