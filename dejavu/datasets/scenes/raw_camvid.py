"""Synthetic scenes in CamVid's layout: its eleven classes, its three splits and their lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import raw_files
from .objects import LABELS
from .raw_files import MARK, Scene

if TYPE_CHECKING:
    from ..prepared.sizes import Size

VOID = 11
VALUES = {
    "sky": 0, "building": 1, "wall": 1, "pole": 2, "road": 3, "sidewalk": 4, "vegetation": 5, "terrain": 5,
    "traffic light": 6, "traffic sign": 6, "fence": 7, "car": 8, "bus": 8, "person": 9, "rider": 10,
    "bicycle": 10,
}  # fmt: skip
"""CamVid's values of what scenes hold: buses are 'car', lawns 'tree'. Litter bins and the camera's own car
are void."""
SPLITS = ("train", "val", "test")


def write_camvid(raw: Path, seed: int | None, size: Size, train: int | None, test: int | None) -> list[str]:
    """Render scenes of `size` into `raw` in CamVid's layout; the same scenes are its val and its test.

    Returns the paths of the files below `raw`, sorted. Raises DejavuError rather than write into a folder
    that holds the real data.
    """
    counts: Mapping[str, int | None] = {"train": train, "test": test}
    raw_files.check(seed, counts)
    remove_camvid(raw)
    ours = [f"{split}{end}" for split in SPLITS for end in ("", "annot", ".txt")]
    raw_files.refuse_what_is_real(raw, ours)
    files = raw_files.render_all(raw, seed, size, counts, _files)
    for split in SPLITS:
        names = sorted(Path(file).stem for file in files if file.startswith(f"{split}/"))
        (raw / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        files.append(f"{split}.txt")
    return sorted(files)


def remove_camvid(raw: Path) -> None:
    """Delete the scenes that `write_camvid` made in `raw`; anything else stays."""
    for split in SPLITS:
        for folder in (raw / split, raw / f"{split}annot"):
            for path in [*folder.glob(f"{MARK}_*.png")]:
                path.unlink()
            raw_files.drop_empty(folder)
        listing = raw / f"{split}.txt"
        if listing.is_file() and listing.read_bytes().startswith(MARK.encode()):
            listing.unlink()


def _files(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
    table = np.full(256, VOID, np.uint8)
    for label, value in VALUES.items():
        table[LABELS[label]] = value
    folders = ("train",) if split == "train" else ("val", "test")
    images = {f"{folder}/{name}.png": scene.image for folder in folders}
    return images | {f"{folder}annot/{name}.png": table[scene.semantic] for folder in folders}
