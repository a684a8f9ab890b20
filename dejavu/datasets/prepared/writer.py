"""Writing the compact form of a dataset (store.py): one split at a time, one item at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...system.files import sha256
from ...tasks.segments import CROWD, VOID
from ..dataset import IGNORE
from .ragged import RaggedWriter, sizes_file
from .store import KINDS, UNKNOWN

Shape = tuple[int, int]


class Fixed:
    """The writer of items of one size to an array (N, H, W, *rest)."""

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
        self.path = path
        self.array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        self.written = 0
        with open(path, "r+b") as file:
            # a disk that is too small is an error here, and a crash in a mapping
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def append(self, item: np.ndarray) -> None:
        self.array[self.written] = item
        self.written += 1

    def close(self) -> None:
        self.array.flush()
        del self.array

    def abandon(self) -> None:
        del self.array


class Writer:
    """The writer of one split's items, in their order; it counts their pixels."""

    def __init__(
        self, folder: Path, split: str, count: int, size: Shape | None, targets: Sequence[str]
    ) -> None:
        """Open the files: `size` is that of all `count` items; None where each has its own."""
        self.names = folder / f"{split}.txt"
        self.files: dict[str, Fixed | RaggedWriter] = {}
        for kind in ("images", *targets):
            path, (dtype, rest) = folder / f"{split}_{kind}.npy", KINDS[kind]
            self.files[kind] = (
                RaggedWriter(path, dtype, rest) if size is None else Fixed(path, dtype, (count, *size, *rest))
            )
        self.pixels = np.zeros(256, np.int64)
        self.known = dict.fromkeys(targets[1:], 0)
        self.depths: list[float] = []
        self.segments = {"count": 0, "crowds": 0}
        self.raw_sizes: list[Shape] = []

    def put(self, item: dict[str, np.ndarray], raw_size: Shape) -> None:
        """Write the next item: its arrays by kind, and the size (H, W) that its files have."""
        for kind, file in self.files.items():
            file.append(item[kind])
        self.pixels += np.bincount(item["labels"].ravel(), minlength=256)
        self.raw_sizes.append(raw_size)
        for kind in self.known:
            self.known[kind] += _known(kind, item[kind])
        if "depth" in self.known:
            known = item["depth"][item["depth"] > 0]
            self.depths += [float(known.min()), float(known.max())] if known.size else []
        if "panoptic" in self.known:
            row = item["panoptic"].ravel()
            codes = np.unique(row[np.flatnonzero(np.diff(row, prepend=~row[:1]))])  # where runs begin: few
            codes = codes[codes != VOID]
            self.segments["count"] += len(codes)
            self.segments["crowds"] += int((codes & 255 == CROWD).sum())

    def abandon(self) -> None:
        """Close the files without finishing them."""
        for file in self.files.values():
            file.abandon()

    def close(self, names: list[str], classes: Sequence[str]) -> dict[str, Any]:
        """Finish the files; returns the split's entry in the report."""
        entry: dict[str, Any] = {kind: _finish(file) for kind, file in self.files.items()}
        for kind, count in self.known.items():
            entry[kind]["known_share"] = round(count / int(self.pixels.sum()), 6)
        if self.depths:
            entry["depth"]["metres"] = {
                "min": round(min(self.depths), 4),
                "max": round(max(self.depths), 4),
            }
        if "panoptic" in self.known:
            entry["panoptic"]["segments"] = self.segments
        self.names.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        shares = self.pixels / self.pixels.sum()
        return entry | {
            "count": len(names),
            "raw_size": _extremes(self.raw_sizes),
            "pixel_shares": {name: round(float(shares[n]), 6) for n, name in enumerate(classes)},
            "ignored_share": round(float(shares[IGNORE]), 6),
        }


def _known(kind: str, array: np.ndarray) -> int:
    """Count the pixels (H, W) with ground truth."""
    return int((array.reshape(*array.shape[:2], -1) != UNKNOWN[kind]).any(axis=-1).sum())


def _finish(file: Fixed | RaggedWriter) -> dict[str, Any]:
    """Close a file; returns its entry in the report."""
    if isinstance(file, Fixed):
        shape, dtype = list(file.array.shape), str(file.array.dtype)
        file.close()
        return {"shape": shape, "dtype": dtype, "sha256": sha256(file.path)}
    file.close()
    sizes = _extremes(file.sizes) | {"sha256": sha256(sizes_file(file.path))}
    return {
        "shape": [file.values],
        "dtype": str(file.dtype),
        "sha256": sha256(file.path),
        "sizes": sizes,
    }


def _extremes(sizes: list[Shape]) -> dict[str, Any]:
    """Return the smallest and the largest of some sizes (H, W), by area."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {"min": list(ordered[0]), "max": list(ordered[-1])}
