"""The split of images without labels: none of them may be an image that is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.files import sha256
from ...system.folders import alike, name_fault, shown
from ..dataset import UNLABELLED, Dataset, Pair
from .convert import decoded, refuse
from .sizes import fitted, is_fixed
from .writer import extremes, finish, opened

if TYPE_CHECKING:
    from .sizes import Size


def check_overlap(dataset: Dataset, images: Sequence[Path], pairs: Mapping[str, Sequence[Pair]]) -> None:
    """Raise DejavuError for an image that has the file name, or the bytes, of one that is measured.

    Neither an ending nor case makes another name: copies are often stored in another format.
    """
    measured = {split: pairs[split] for split in dict.fromkeys((dataset.evaluate, dataset.validate))}
    named = {_plain(pair.image): (split, pair.image) for split, its in measured.items() for pair in its}
    sized: dict[int, list[tuple[str, Path]]] = {}
    for split, image in named.values():
        if image.is_file():  # else an array within a larger file
            sized.setdefault(image.stat().st_size, []).append((split, image))
    digest_of = cache(sha256)  # files of formats without compression are all of one size
    for path in images:
        same = named.get(_plain(path))
        what = "the name"
        if same is None:
            what = "the bytes"
            of_size = sized.get(path.stat().st_size, [])
            same = next((one for one in of_size if digest_of(one[1]) == digest_of(path)), None)
        if same is not None:
            split, image = same
            raise DejavuError(
                f"{shown(path)}, an image without labels, has {what} of {shown(image)} of the split {split}, "
                "which is measured: take it out"
            )


def _plain(path: Path) -> str:
    return alike(path.stem).lower()


def write_unlabelled(dataset: Dataset, images: Sequence[Path], size: Size, folder: Path) -> dict[str, Any]:
    """Write the images, resized as those of the other splits, into `folder`; returns the report's entry.

    Raises DejavuError when a file cannot be used, after all have been looked at.
    """
    for path in images:
        if fault := name_fault(path.name):
            raise DejavuError(f"{shown(path)} {fault}")
    fixed = fitted((1, 1), size) if is_fixed(size) else None
    writer = opened(folder, UNLABELLED, "images", len(images), fixed)
    faults: list[str] = []
    raw_sizes: list[tuple[int, int]] = []
    for item in decoded(partial(_load, dataset, size), images, f"prepare {UNLABELLED}"):
        if isinstance(item, DejavuError):
            faults.append(str(item))
        elif not faults:
            writer.append(item[0])
            raw_sizes.append(item[1])
    if faults:
        writer.abandon()
    refuse(faults)
    (folder / f"{UNLABELLED}.txt").write_text("".join(f"{path.name}\n" for path in images), encoding="utf-8")
    return {"images": finish(writer), "count": len(images), "raw_size": extremes(raw_sizes)}


def _load(dataset: Dataset, size: Size, path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an image, uint8 (H, W, 3), and the height and width of its file."""
    image = dataset.decode_image(path)
    raw = image.height, image.width
    height, width = fitted(raw, size)
    if raw != (height, width):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image), raw
