"""KITTI depth: images of streets with the distances that a laser scanner measured; no classes, no normals.

Layout, that of the official archives, and lists as monodepth2 has them:
- `{train,val,test}.txt`: a line for each image, as `2011_09_26/2011_09_26_drive_0002_sync 0000000069 l`, with
  l or r for the left or the right camera; leading zeros may be missing,
- `DATE/DRIVE/image_02/data/FRAME.png` (or .jpg), and image_03 of the right camera: the raw data,
- `{train,val}/DRIVE/proj_depth/groundtruth/image_02/FRAME.png`: annotated depth, 16 bits, metres = v / 256,
  0 = not measured, which is most of the image.

Of the Eigen split's 697 test images 652 have annotated depth (the "benchmark" list). What papers measure all
697 against are single sweeps of the scanner, stored in the same way by whoever projects them.
Geiger et al., IJRR 2013; Uhrig et al., 3DV 2017; Eigen et al., NIPS 2014; Godard et al., ICCV 2019.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DejavuError
from ..system.folders import Listing, entries, files_below
from .dataset import IGNORE, Dataset, Pair
from .formats.images import GREY, check_png, read_indices, read_size
from .formats.lists import read_list
from .obtain import mirror

SPLITS = {"train": None, "val": None, "test": None}  # as many images as the lists in use have
PER_METRE = 256
CAMERAS = {"l": "image_02", "r": "image_03"}
ANNOTATED = ("train", "val")
"""folders of the annotated depth; which one a drive is in has nothing to do with the lists"""

_FRAME = re.compile(r"\d{10}\.(png|jpg)", re.IGNORECASE)
_LINE = re.compile(r"(\d{4}_\d{2}_\d{2})/(\1_drive_\d{4}_sync)\s+(\d{1,10})\s+([lr])")


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Make links to the folders of `$DEJAVU_MIRROR/kitti` and its lists, or use the files in `raw`."""
    if requested.source == "synthetic":
        raise DejavuError("KITTI has no synthetic scenes that stand in for it")
    folder = mirror.find("kitti")
    if folder is not None:
        for entry in entries(folder):
            if entry.is_dir() or entry.name in {f"{split}.txt" for split in SPLITS}:
                target = raw / entry.name
                if not target.exists() or target.is_symlink():
                    mirror.link(folder / entry.name, target)
    elif not any((raw / f"{split}.txt").is_file() for split in SPLITS):
        how = f" ({source.manual})" if source.manual else ""
        raise DejavuError(
            "KITTI is not fetched from the internet: set DEJAVU_MIRROR to a folder whose kitti/ has it, or "
            f"put it into {raw.resolve()}{how}"
        )
    result = [raw / f"{split}.txt" for split in SPLITS]
    for pair in (pair for split in SPLITS for pair in pairs(raw, split)):
        result += [pair.image, pair.label]
    return sorted({path.relative_to(raw).as_posix() for path in result})


def pairs(raw: Path, split: str) -> list[Pair]:
    """Return the images of `split` in the order of its list, with depth.

    Raises DejavuError for a line of another form, and names the first file that is missing.
    """
    listing = raw / f"{split}.txt"
    lines = read_list(listing, f"the images of KITTI's {split} split")
    inside = cache(Listing)  # a folder is listed once
    return [_pair(raw, listing, number, line.strip(), inside) for number, line in lines]


def _pair(raw: Path, listing: Path, number: int, line: str, inside: Callable[[Path], Listing]) -> Pair:
    match = _LINE.fullmatch(line)
    if match is None:
        raise DejavuError(
            f"{listing}, line {number}: '{line}' is not DATE/DRIVE FRAME SIDE, as "
            "'2011_09_26/2011_09_26_drive_0002_sync 0000000069 l' is"
        )
    date, drive, frame, side = match.groups()
    frame, camera = frame.zfill(10), CAMERAS[side]
    folder = raw / date / drive / camera / "data"
    image = inside(folder).get(f"{frame}.png") or inside(folder).get(f"{frame}.jpg")
    if image is None:
        raise DejavuError(f"{folder / frame}.png (or .jpg) is missing, though {listing.name} lists it")
    depths = [raw / name / drive / "proj_depth" / "groundtruth" / camera for name in ANNOTATED]
    for depth in depths:
        if path := inside(depth).get(f"{frame}.png"):
            return Pair(f"{drive}/{camera}/{frame}", image, path, path)
    missing = depths[0] / f"{frame}.png"
    raise DejavuError(f"{missing} is missing, though {listing.name} lists it, and neither is it in val/")


def candidates(raw: Path) -> list[Path]:
    """Return the files beside frames and depth that are neither; lists choose among frames by design."""
    days = [raw / day.name for day in entries(raw) if re.fullmatch(r"\d{4}_\d{2}_\d{2}", day.name)]
    drives = [(day / drive.name, "data") for day in days for drive in entries(day)]
    truths = [raw / name / drive.name for name in ANNOTATED for drive in entries(raw / name)]
    drives += [(drive / "proj_depth" / "groundtruth", "") for drive in truths]
    folders = [folder / camera / below for folder, below in drives for camera in CAMERAS.values()]
    return [path for folder in folders for path in files_below(folder) if not _FRAME.fullmatch(path.name)]


def decode_label(path: Path) -> np.ndarray:
    """Return 255, uint8 (H, W), of the depth file's size: no pixel has a class."""
    return np.full(read_size(path), IGNORE, np.uint8)


def decode_depth(path: Path) -> np.ndarray:
    """Read depth in metres, float32 (H, W), 0 = not measured; exact, as v / 256 is."""
    check_png(path, 16, GREY)
    values = read_indices(path, (16,))
    if not values.any():
        raise DejavuError(f"{path} has no depth at all: every value is 0")
    return values.astype(np.float32) / PER_METRE


DATASET = Dataset(
    title="KITTI",
    task="depth",
    splits=SPLITS,
    evaluate="test",
    download=download,
    pairs=pairs,
    candidates=candidates,
    decode_label=decode_label,
    decode_depth=decode_depth,
)
