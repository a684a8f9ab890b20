"""NYU Depth v2 as PNG files, the mirror's form, in which scenes are rendered, too.

Layout (320x240): `{train,test}.txt` lists names, and of each name there are, in `{train,test}/`,
- `rgb/NAME.jpg` (or .png),
- `label40/NAME.png`: one of 40 classes, 0..39; 254 (other things or unlabelled) and 255 (unlabelled) are
  ignored,
- `depth/NAME.png`: codes v of 8 bits, (v + 0.5) x 9.99547 / 255 metres; 0 = no depth,
- `normals/NAME.png`, of every image of a split or of none: R, G, B = x, y, z as (n + 1) x 127.5 in the
  convention of formats/normals.py; black = no normal. Without them normals are derived from depth.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.folders import difference, files_below
from ..dataset import Pair
from ..formats.images import read_image
from ..formats.lists import Lines, listed, read_list
from ..formats.normals import Camera, from_depth
from ..formats.patterns import find
from ..obtain import mirror
from .codes import STEP, read_normals
from .codes import decode_depth as decode_depth  # of the form's interface
from .codes import decode_label as decode_label

IN_WORDS = "PNG files with train.txt and test.txt"
REMARKS: tuple[str, ...] = (
    "Depth is a mirror's copy in 8 bits, in steps of 3.9 cm; normals are derived from it, those that are "
    "learnt and those that are measured: NYUD-v2 has none of its own.",
    "Each frame's border of 4 of 320 pixels, which has no image and depth that was filled in, counts; "
    "training labels lack 'otherprop', which the test split counts as objects.",
)
SPLITS = ("train", "test")
FOLDERS = ("rgb", "label40", "depth", "normals")
CAMERA = Camera(259.42895, 259.7348, 162.2912, 126.3681)
"""the camera of the images of 320x240, every other pixel of the authors' calibration at 640x480"""
SIZE = (240, 320)


def held(raw: Path) -> bool:
    """Return whether a folder has this form of the data."""
    return any((raw / f"{split}.txt").is_file() or (raw / split / "rgb").is_dir() for split in SPLITS)


def bring(folder: Path, raw: Path) -> list[str]:
    """Copy the mirror's files with their checksums, and remove others of the same folders."""
    result = mirror.copy_all(folder, raw, keep=_is_ours)
    for split in SPLITS:
        for path in [path for kind in FOLDERS for path in (raw / split / kind).glob("*")]:
            if path.relative_to(raw).as_posix() not in result:
                os.unlink(path)
    return sorted(result)


def _is_ours(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    if not folder:
        return file in {f"{split}.txt" for split in SPLITS}
    return folder in {f"{split}/{kind}" for split in SPLITS for kind in FOLDERS}


def files(raw: Path) -> list[str]:
    """Return the paths below `raw` of all its files."""
    result = [raw / f"{split}.txt" for split in SPLITS]
    for pair in (pair for split in SPLITS for pair in find_pairs(raw, split)):
        result += [path for path in (pair.image, pair.label, pair.depth, pair.normals) if path is not None]
    return sorted(path.relative_to(raw).as_posix() for path in result)


def find_pairs(raw: Path, split: str) -> list[Pair]:
    """The images of `split` in the order of its list, with labels, depth and, where there are, normals."""
    listing = raw / f"{split}.txt"
    lines = read_list(listing, f"the images of NYU Depth v2's {split} split")
    images: dict[str, Path] = {}
    for ending in (".png", ".jpg"):
        images |= find(raw, f"{split}/rgb/{{name}}{ending}", f"{split}/rgb/")
    more = {kind: find(raw, f"{split}/{kind}/{{name}}.png", f"{split}/{kind}/") for kind in FOLDERS[1:]}
    if not more["normals"]:  # where one image has them all must have them: no set is half derived
        del more["normals"]
    names = listed(listing, lines, Lines(images, {}, raw), f"as {raw / split}/rgb/{{name}}.jpg (or .png)")
    for name, kind in product(names, more):
        if name not in more[kind]:
            missing = f"{raw / split / kind / name}.png is missing{difference(name, more[kind])}"
            raise DejavuError(f"{missing}: it belongs to an image that {listing} lists")
    return [Pair(name, images[name], *(files[name] for files in more.values())) for name in names]


def candidates(raw: Path) -> list[Path]:
    """Return the files in the folders of both splits."""
    return [path for split in SPLITS for kind in FOLDERS for path in files_below(raw / split / kind)]


def decode_image(path: Path) -> Image.Image:
    """Read an image, RGB."""
    return read_image(path)


def decode_normals(pair: Pair, depth: np.ndarray) -> np.ndarray:
    """Read unit normals, float32 (H, W, 3), 0-vector = none, or derive them from the depth (H, W)."""
    if pair.normals is not None:
        return read_normals(pair.normals)
    if depth.shape != SIZE:
        raise DejavuError(
            f"{pair.depth} is {depth.shape[1]}x{depth.shape[0]} pixels: normals are derived at 320x240 only, "
            "for which the camera is known"
        )
    return from_depth(depth, CAMERA, STEP)
