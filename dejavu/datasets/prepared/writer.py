"""Writing the compact form of a dataset (store.py): one split at a time, one item at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...system.files import sha256
from .counts import Counts
from .ragged import RaggedWriter, sizes_file
from .store import KINDS

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


def opened(folder: Path, split: str, kind: str, count: int, size: Shape | None) -> Fixed | RaggedWriter:
    """Open the file of one kind of arrays; `size` is that of all `count` items, None if each has its own."""
    path, (dtype, rest) = folder / f"{split}_{kind}.npy", KINDS[kind]
    return RaggedWriter(path, dtype, rest) if size is None else Fixed(path, dtype, (count, *size, *rest))


class Writer:
    """The writer of one split's items, in their order; `counts` has their ground truth's pixels."""

    def __init__(
        self, folder: Path, split: str, count: int, size: Shape | None, targets: Sequence[str]
    ) -> None:
        """Open the files: `size` is that of all `count` items; None where each has its own."""
        self.names = folder / f"{split}.txt"
        self.files: dict[str, Fixed | RaggedWriter] = {}
        for kind in ("images", *targets):
            self.files[kind] = opened(folder, split, kind, count, size)
        self.counts = Counts(targets)
        self.raw_sizes: list[Shape] = []

    def put(
        self,
        item: dict[str, np.ndarray],
        raw_size: Shape,
        in_file: np.ndarray | None = None,
        lost: Sequence[str] = (),
    ) -> None:
        """Write the next item: its arrays by kind; `raw_size` (H, W) is that of its files.

        `in_file` and `lost` are for `Counts.add`.
        """
        for kind, file in self.files.items():
            file.append(item[kind])
        self.raw_sizes.append(raw_size)
        self.counts.add(item, in_file, lost)

    def abandon(self) -> None:
        """Close the files without finishing them."""
        for file in self.files.values():
            file.abandon()

    def close(self, names: list[str], classes: Sequence[str]) -> dict[str, Any]:
        """Finish the files; returns the split's entry in the report."""
        entry: dict[str, Any] = {kind: finish(file) for kind, file in self.files.items()}
        counts = self.counts
        for kind in counts.known:
            entry[kind]["known_share"] = round(counts.known_share(kind), 6)
        if counts.depths:
            entry["depth"]["metres"] = {
                "min": round(min(counts.depths), 4),
                "max": round(max(counts.depths), 4),
            }
        if "panoptic" in counts.known:
            entry["panoptic"]["segments"] = counts.segments
        self.names.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        about = {"count": len(names), "raw_size": extremes(self.raw_sizes)}
        return entry | about | counts.in_report(classes)


def finish(file: Fixed | RaggedWriter) -> dict[str, Any]:
    """Close a file; returns its entry in the report."""
    if isinstance(file, Fixed):
        shape, dtype = list(file.array.shape), str(file.array.dtype)
        file.close()
        return {"shape": shape, "dtype": dtype, "sha256": sha256(file.path)}
    file.close()
    sizes = extremes(file.sizes) | {"sha256": sha256(sizes_file(file.path))}
    return {
        "shape": [file.values],
        "dtype": str(file.dtype),
        "sha256": sha256(file.path),
        "sizes": sizes,
    }


def extremes(sizes: list[Shape]) -> dict[str, Any]:
    """Return the smallest and the largest of some sizes (H, W), by area."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {"min": list(ordered[0]), "max": list(ordered[-1])}
