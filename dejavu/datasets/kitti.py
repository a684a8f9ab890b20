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
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import DejavuError
from .dataset import IGNORE, Dataset, Pair
from .formats.images import read_indices
from .obtain import mirror

SPLITS = {"train": None, "val": None, "test": None}  # as many images as the lists in use have
PER_METRE = 256
CAMERAS = {"l": "image_02", "r": "image_03"}
ANNOTATED = ("train", "val")
"""folders of the annotated depth; which one a drive is in has nothing to do with the lists"""

_LINE = re.compile(r"(\d{4}_\d{2}_\d{2})/(\1_drive_\d{4}_sync)\s+(\d{1,10})\s+([lr])")


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Make links to the folders of `$DEJAVU_MIRROR/kitti` and its lists, or use the files in `raw`."""
    if requested.source == "synthetic":
        raise DejavuError("KITTI has no synthetic scenes that stand in for it")
    folder = mirror.find("kitti")
    if folder is not None:
        for path in sorted(folder.iterdir()):
            if path.is_dir() or path.name in {f"{split}.txt" for split in SPLITS}:
                target = raw / path.name
                if not target.exists() or target.is_symlink():
                    mirror.link(path, target)
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
    try:
        lines = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise DejavuError(f"{listing} is missing: it lists the images of KITTI's {split} split") from None
    except UnicodeDecodeError:
        raise DejavuError(f"{listing} is not a text file of images") from None
    result = [_pair(raw, listing, number, line) for number, line in enumerate(lines, 1) if line]
    if not result:
        raise DejavuError(f"{listing} is empty, and should list the images of KITTI's {split} split")
    return result


def _pair(raw: Path, listing: Path, number: int, line: str) -> Pair:
    match = _LINE.fullmatch(line)
    if match is None:
        raise DejavuError(
            f"{listing}, line {number}: '{line}' is not DATE/DRIVE FRAME SIDE, as "
            "'2011_09_26/2011_09_26_drive_0002_sync 0000000069 l' is"
        )
    date, drive, frame, side = match.groups()
    frame, camera = frame.zfill(10), CAMERAS[side]
    folder = raw / date / drive / camera / "data"
    images = [path for end in (".png", ".jpg") if (path := folder / f"{frame}{end}").is_file()]
    if not images:
        raise DejavuError(f"{folder / frame}.png (or .jpg) is missing, though {listing.name} lists it")
    below = Path(drive, "proj_depth", "groundtruth", camera, f"{frame}.png")
    depths = [raw / folder / below for folder in ANNOTATED]
    for depth in depths:
        if depth.is_file():
            return Pair(f"{drive}/{camera}/{frame}", images[0], depth, depth)
    raise DejavuError(f"{depths[0]} is missing, though {listing.name} lists it, and neither is it in val/")


def decode_label(path: Path) -> np.ndarray:
    """Return 255, uint8 (H, W), of the depth file's size: no pixel has a class."""
    try:
        with Image.open(path) as image:
            size = image.height, image.width
    except (OSError, SyntaxError, ValueError):
        raise DejavuError(f"{path} cannot be read (not an image)") from None
    return np.full(size, IGNORE, np.uint8)


def decode_depth(path: Path) -> np.ndarray:
    """Read depth in metres, float32 (H, W), 0 = not measured; exact, as v / 256 is."""
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
    decode_label=decode_label,
    decode_depth=decode_depth,
)
