"""The compact form of a dataset, which training reads: decoded, resized, memory-mapped.

`<split>_images.npy` uint8 (N, H, W, 3), `<split>_labels.npy` uint8 (N, H, W) of train ids with
255 = ignored, `<split>.txt` the names, and `report.json`, which is written last.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DejavuError, nearest
from ..files import read_json

if TYPE_CHECKING:
    from ..schema import Part


class Split(NamedTuple):
    """A split's arrays, mapped read-only, and its items' names, in the same order."""

    images: np.ndarray
    """uint8 (N, H, W, 3), RGB"""
    labels: np.ndarray
    """uint8 (N, H, W), train ids, 255 = ignored"""
    names: list[str]


def read_report(prepared: Path, part: Part | None = None) -> dict[str, Any]:
    """`report.json` of a prepared dataset, which must be what params.yaml's `part` asks for, if given.

    Keys: dataset, source, stands_in_for, licence, task, classes, palette, ignore_index, evaluate,
    size, unreadable, splits; each split has count, images, labels, raw_size, pixel_shares and
    ignored_share. Raises DejavuError with the command that makes it.
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
    return (
        holds(report, keys | {"splits": dict})
        and all(
            holds(split, {"count": int, "images": dict, "labels": dict})
            for split in report["splits"].values()
        )
        and all(
            holds(split[kind], array) for split in report["splits"].values() for kind in ("images", "labels")
        )
    )


def command(prepared: Path, stage: str = "prepare") -> str:
    """The command that makes a prepared dataset: data/<scale>/prepared/<dataset> says of which scale."""
    return f"`dejavu {stage} {prepared.name} --scale {prepared.absolute().parents[1].name}`"


def open_split(prepared: Path, split: str) -> Split:
    """Map a split's arrays into memory.

    Raises DejavuError when the split is unknown, or an array is missing or not what the report says.
    """
    prepared = Path(prepared)
    splits = read_report(prepared)["splits"]
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
    images, labels = (_map(prepared / f"{split}_{kind}.npy", said[kind]) for kind in ("images", "labels"))
    return Split(images, labels, names)


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
