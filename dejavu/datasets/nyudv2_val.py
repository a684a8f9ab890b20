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
from .formats.lists import Lines, listed, read_list
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
    lines = read_list(listing, "the images of NYUD-v2's division for choosing")
    known = {pair.name: pair for pair in nyudv2.pairs(raw, "train")}
    images = Lines({name: pair.image for name, pair in known.items()}, {}, raw)
    return [known[name] for name in listed(listing, lines, images, f"of the training images in {raw}")]


def candidates(raw: Path) -> list[Path]:
    """Return the files among which the training images are."""
    return [path for path in nyudv2.candidates(raw) if path.is_relative_to(raw / "train")]


DATASET = replace(
    nyudv2.DATASET,
    title="NYUD-v2 (validation)",
    splits={"train": 381, "val": 414},
    evaluate="val",
    validate="val",
    download=download,
    pairs=pairs,
    candidates=candidates,
)
