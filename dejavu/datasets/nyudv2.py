"""NYU Depth v2, the labelled set: 795 / 654 indoor images with 13 classes, depth and surface normals.

Layout, that of the mirror's copy (320x240): `{train,test}.txt` lists names, and of each name there are, in
`{train,test}/`,
- `rgb/NAME.jpg` (or .png),
- `label40/NAME.png`: one of 40 classes, 0..39; 254 (other things or unlabelled) and 255 (unlabelled) are
  ignored,
- `depth/NAME.png`: codes v of 8 bits, (v + 0.5) x 9.99547 / 255 metres; 0 = no depth,
- `normals/NAME.png`, of every image of a split or of none: R, G, B = x, y, z as (n + 1) x 127.5 in the
  convention of normals.py; black = no normal. Without them normals are derived from depth.

Every frame of the real set has a border of 4 pixels with neither image nor label, and with depth that its
authors filled in. Silberman et al., ECCV 2012; the 40 classes are Gupta et al.'s (CVPR 2013), the 13 Couprie
et al.'s (ICLR 2013), with the numbers and colours of SceneNet RGB-D (McCormac et al., ICCV 2017).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DejavuError
from . import Pair, mirror, synthetic
from .normals import Camera, from_depth
from .nyudv2_codes import STEP, read_normals
from .nyudv2_codes import decode_depth as decode_depth  # of the dataset protocol
from .nyudv2_codes import decode_label as decode_label

TASK = "semantic"
TARGETS = ("labels", "depth", "normals")
CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv",
    "wall", "window",
)  # fmt: skip
PALETTE = (
    (0, 0, 255), (232, 88, 47), (0, 217, 0), (148, 0, 240), (222, 241, 23), (255, 205, 205), (0, 223, 228),
    (106, 135, 204), (116, 28, 41), (240, 35, 235), (0, 166, 156), (249, 139, 0), (225, 228, 194),
)  # fmt: skip
SPLITS = ("train", "test")
EVALUATE = "test"
VALIDATE = "test"
"""There is no third split, and the protocol trains on all 795 images. Nothing is chosen by these curves."""
# What the same 13 numbers mean in rendered scenes, which are streets.
SYNTHETIC_CLASSES = tuple(name for name, _, _ in synthetic.STREET_13)
SYNTHETIC_PALETTE = tuple(colour for _, colour, _ in synthetic.STREET_13)

CAMERA = Camera(259.42895, 259.7348, 162.2912, 126.3681)
"""of the images of 320x240: the authors' calibration at 640x480, of which every other pixel is taken"""
SIZE = (240, 320)
FOLDERS = ("rgb", "label40", "depth", "normals")


def download(raw: Path, part: Any, source: Any) -> list[str]:
    """Render scenes where the source is synthetic; else copy the files of `$DEJAVU_MIRROR/nyudv2`."""
    if part.source == "synthetic":
        counts = {"train": part.train, "test": part.val}
        return synthetic.write_nyudv2(raw, source.seed, part.size, counts)
    folder = mirror.find("nyudv2")
    if folder is None:
        how = f" ({source.manual})" if source.manual else ""
        raise DejavuError(
            "NYU Depth v2 is not fetched from the internet: set DEJAVU_MIRROR to a folder whose nyudv2/ has "
            f"it as PNG files with their SHA256SUMS{how}"
        )
    synthetic.remove_nyudv2(raw)  # rendered scenes must never pass for the real ones
    files = mirror.copy_all(folder, raw, keep=_is_ours)
    for split in SPLITS:
        for path in [path for kind in FOLDERS for path in (raw / split / kind).glob("*")]:
            if path.relative_to(raw).as_posix() not in files:
                os.unlink(path)
    return sorted(files)


def _is_ours(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    if not folder:
        return file in {f"{split}.txt" for split in SPLITS}
    return folder in {f"{split}/{kind}" for split in SPLITS for kind in FOLDERS}


def pairs(raw: Path, split: str) -> list[Pair]:
    """The images of `split` in the order of its list, with labels, depth and, where there are, normals."""
    listing = raw / f"{split}.txt"
    try:
        names = listing.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        raise DejavuError(
            f"{listing} is missing: it lists the images of NYU Depth v2's {split} split"
        ) from None
    except UnicodeDecodeError:
        raise DejavuError(f"{listing} is not a text file of image names") from None
    if not names:
        raise DejavuError(f"{listing} is empty, and should list the images of NYU Depth v2's {split} split")
    given = any((raw / split / "normals").glob("*.png"))  # then all must be: no set is half derived
    return [_pair(raw / split, name, given) for name in names]


def _pair(folder: Path, name: str, given: bool) -> Pair:
    found = [path for end in (".jpg", ".png") if (path := folder / "rgb" / f"{name}{end}").is_file()]
    if not found:
        raise DejavuError(f"{folder / 'rgb' / name}.jpg (or .png) is missing, though {folder}.txt lists it")
    label, depth, normals = (folder / kind / f"{name}.png" for kind in FOLDERS[1:])
    for path in (label, depth, normals) if given else (label, depth):
        if not path.is_file():
            raise DejavuError(f"{path} is missing: it belongs to an image that {folder}.txt lists")
    return Pair(name, found[0], label, depth, normals if given else None)


def decode_normals(pair: Pair, depth: np.ndarray) -> np.ndarray:
    """Unit normals, float32 (H, W, 3), 0-vector = none: the pair's own, or those of its depth (H, W)."""
    if pair.normals is not None:
        return read_normals(pair.normals)
    if depth.shape != SIZE:
        raise DejavuError(
            f"{pair.depth} is {depth.shape[1]}x{depth.shape[0]} pixels: normals are derived at 320x240 only, "
            "for which the camera is known"
        )
    return from_depth(depth, CAMERA, STEP)
