"""NYUD-v2 to choose settings on: its 795 training images, 381 of them learnt from and 414 measured.

The division is by scenes, that of Gupta et al. (CVPR 2013). Two lists of names beside the PNG files have it:
train_sub381.txt and val_sub414.txt. The test images are never read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DejavuError
from . import nyudv2
from .dataset import Pair
from .obtain import mirror

LISTS = {"train": "train_sub381.txt", "val": "val_sub414.txt"}
"""split -> file of names of training images"""


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Obtain NYUD-v2 as nyudv2.py does, and the two lists.

    Raises DejavuError for rendered scenes, which have no such division, and where a list is missing.
    """
    if requested.source == "synthetic":
        raise DejavuError(
            "synthetic scenes stand in for nyudv2, and not for nyudv2_val, which divides its images"
        )
    files = nyudv2.download(raw, requested, source)
    folder = mirror.find("nyudv2")
    lists = set(LISTS.values())
    if folder is not None:
        mirror.copy_all(folder, raw, keep=lists.__contains__)
    return sorted({*files, *lists})


def pairs(raw: Path, split: str) -> list[Pair]:
    """Return the pairs of `split` in the order of its list."""
    listing = raw / LISTS[split]
    try:
        names = listing.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        raise DejavuError(
            f"{listing} is missing: it lists the images of NYUD-v2's division for choosing"
        ) from None
    except UnicodeDecodeError:
        raise DejavuError(f"{listing} is not a text file of image names") from None
    known = {pair.name: pair for pair in nyudv2.pairs(raw, "train")}
    if unknown := [name for name in names if name not in known]:
        raise DejavuError(f"{listing} lists '{unknown[0]}', which is no training image of {raw}")
    if not names:
        raise DejavuError(f"{listing} is empty, and should list training images of NYU Depth v2")
    return [known[name] for name in names]


DATASET = replace(
    nyudv2.DATASET,
    title="NYUD-v2 (validation)",
    splits={"train": 381, "val": 414},
    evaluate="val",
    validate="val",
    download=download,
    pairs=pairs,
)
