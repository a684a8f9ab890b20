"""The compact form of a dataset, which training reads: decoded, resized, memory-mapped.

`<split>_images.npy` uint8 (N, H, W, 3), `<split>_labels.npy` uint8 (N, H, W) of train ids with
255 = ignored, `<split>.txt` the names, and `report.json`, which is written last. Datasets that have
them add `<split>_depth.npy` float32 (N, H, W) in metres with 0 = none and `<split>_normals.npy`
float16 (N, H, W, 3), unit vectors (convention: normals.py) with the 0-vector = none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DejavuError, nearest
from ..files import read_json, sha256
from . import IGNORE

if TYPE_CHECKING:
    from ..schema import Part


class Split(NamedTuple):
    """A split's arrays, mapped read-only, and its items' names, in the same order."""

    images: np.ndarray
    """uint8 (N, H, W, 3), RGB"""
    labels: np.ndarray
    """uint8 (N, H, W), train ids, 255 = ignored"""
    names: list[str]
    depth: np.ndarray | None = None
    """float32 (N, H, W), metres along z, 0 = none; None where the dataset has no depth"""
    normals: np.ndarray | None = None
    """float16 (N, H, W, 3), unit vectors, 0-vector = none; None where the dataset has no normals"""


KINDS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "images": (np.uint8, (3,)),
    "labels": (np.uint8, ()),
    "depth": (np.float32, ()),
    "normals": (np.float16, (3,)),
}
"""The arrays that there may be: their type, and what follows (N, H, W) in their shape."""


def read_report(prepared: Path, part: Part | None = None) -> dict[str, Any]:
    """`report.json` of a prepared dataset, which must be what params.yaml's `part` asks for, if given.

    Keys: dataset, source, stands_in_for, licence, task, classes, palette, ignore_index, evaluate,
    size, unreadable, splits; each split has count, images, labels, raw_size, pixel_shares and
    ignored_share. Where the dataset has more than labels, `targets` names what, and each split has a part for
    each of them; where curves are not drawn on `val`, `validate` is the split (see `validation_split`).
    Raises DejavuError with the command that makes it.
    """
    prepared = Path(prepared)
    path, again = prepared / "report.json", f"run {command(prepared)}"
    report = read_json(path, again)
    if not _whole(report):
        raise DejavuError(f"{path} is not a report of `dejavu prepare`: {again} again")
    if part is not None and (report.get("source"), report.get("size")) != (part.source, list(part.size)):
        made, asked = (
            f"'{source}' at {size}"
            for source, size in ((report.get("source"), report.get("size")), (part.source, list(part.size)))
        )
        raise DejavuError(
            f"{path} was made from {made}, and params.yaml asks for {asked}: "
            f"run {command(prepared, 'download')}, then {command(prepared)}"
        )
    return report


def _whole(report: Any) -> bool:
    """Whether a report has what is read from it later."""

    def holds(section: Any, kinds: Mapping[str, type]) -> bool:
        return isinstance(section, dict) and all(isinstance(section.get(key), kinds[key]) for key in kinds)

    keys = {
        "source": str,
        "size": list,
        "classes": list,
        "palette": list,
        "ignore_index": int,
        "evaluate": str,
    }
    array = {"shape": list, "dtype": str, "sha256": str}
    return holds(report, keys | {"splits": dict}) and all(
        holds(split, {"count": int} | dict.fromkeys(_kinds(report), dict))
        and all(holds(split[kind], array) for kind in _kinds(report))
        for split in report["splits"].values()
    )


def _kinds(report: dict[str, Any]) -> list[str]:
    """The arrays that the splits of a report have."""
    targets = report.get("targets", ["labels"])
    return [kind for kind in KINDS if kind == "images" or kind in targets]


def validation_split(report: dict[str, Any]) -> str:
    """The split of a prepared dataset that learning curves are drawn on."""
    return str(report.get("validate", "val"))


def command(prepared: Path, stage: str = "prepare") -> str:
    """The command that makes a prepared dataset: data/<scale>/prepared/<dataset> says of which scale."""
    return f"`dejavu {stage} {prepared.name} --scale {prepared.absolute().parents[1].name}`"


def open_split(prepared: Path, split: str) -> Split:
    """Map a split's arrays into memory.

    Raises DejavuError when the split is unknown, or an array is missing or not what the report says.
    """
    prepared = Path(prepared)
    report = read_report(prepared)
    splits = report["splits"]
    if split not in splits:
        raise DejavuError(f"{prepared} has no split '{split}' ({nearest(split, splits)})")
    said = splits[split]
    names_file = prepared / f"{split}.txt"
    try:
        names = names_file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DejavuError(f"{names_file} is missing: run {command(prepared)} again") from None
    if len(names) != said["count"]:
        raise DejavuError(
            f"{names_file} has {len(names)} names, and report.json says {said['count']}: "
            f"run {command(prepared)} again"
        )
    arrays = {kind: _map(prepared / f"{split}_{kind}.npy", said[kind]) for kind in _kinds(report)}
    return Split(names=names, **arrays)


def _map(path: Path, said: dict[str, Any]) -> np.ndarray:
    again = f"run {command(path.parent)} again"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: {again}") from None
    except (ValueError, EOFError, OSError):
        raise DejavuError(f"{path} is not a whole array: {again}") from None
    if list(array.shape) != said["shape"] or str(array.dtype) != said["dtype"]:
        stored, expected = f"{array.dtype} {list(array.shape)}", f"{said['dtype']} {said['shape']}"
        raise DejavuError(f"{path} is {stored}, and report.json says {expected}: {again}")
    return array


class Writer:
    """Streams one split's items to disk and keeps count of what went by."""

    def __init__(
        self, folder: Path, split: str, count: int, size: tuple[int, int], targets: Sequence[str]
    ) -> None:
        self.names = folder / f"{split}.txt"
        self.paths = {kind: folder / f"{split}_{kind}.npy" for kind in ("images", *targets)}
        self.arrays = {
            kind: np.lib.format.open_memmap(
                path, mode="w+", dtype=KINDS[kind][0], shape=(count, *size, *KINDS[kind][1])
            )
            for kind, path in self.paths.items()
        }
        for path in self.paths.values():
            with open(path, "r+b") as file:
                # a disk that is too small is an error here, and a crash in a mapping
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        self.pixels = np.zeros(256, np.int64)
        self.known = dict.fromkeys(targets[1:], 0)
        self.depths: list[float] = []
        self.raw_sizes: list[tuple[int, int]] = []

    def put(self, number: int, item: dict[str, np.ndarray], raw_size: tuple[int, int]) -> None:
        """Item `number`: its arrays by kind, and the size (H, W) that its files have."""
        for kind, array in self.arrays.items():
            array[number] = item[kind]
        self.pixels += np.bincount(item["labels"].ravel(), minlength=256)
        self.raw_sizes.append(raw_size)
        for kind in self.known:
            self.known[kind] += int(item[kind].reshape(*item["labels"].shape, -1).any(axis=-1).sum())
        if "depth" in self.known:
            known = item["depth"][item["depth"] > 0]
            self.depths += [float(known.min()), float(known.max())] if known.size else []

    def close(self, names: list[str], classes: Sequence[str]) -> dict[str, Any]:
        """Finish the files; returns the split's part of the report."""
        said: dict[str, Any] = {
            kind: {"shape": list(array.shape), "dtype": str(array.dtype)}
            for kind, array in self.arrays.items()
        }
        for array in self.arrays.values():
            array.flush()
        self.arrays.clear()
        for kind, path in self.paths.items():
            said[kind]["sha256"] = sha256(path)
        for kind, count in self.known.items():
            said[kind]["known_share"] = round(count / int(self.pixels.sum()), 6)
        if self.depths:
            said["depth"]["metres"] = {
                "min": round(min(self.depths), 4),
                "max": round(max(self.depths), 4),
            }
        self.names.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        shares = self.pixels / self.pixels.sum()
        sizes = sorted(self.raw_sizes, key=lambda size: (size[0] * size[1], size))
        return said | {
            "count": len(names),
            "raw_size": {"min": list(sizes[0]), "max": list(sizes[-1])},
            "pixel_shares": {name: round(float(shares[n]), 6) for n, name in enumerate(classes)},
            "ignored_share": round(float(shares[IGNORE]), 6),
        }
