"""The compact form of a dataset, which training reads: decoded, resized, memory-mapped.

`<split>_images.npy` uint8 (N, H, W, 3), `<split>_labels.npy` uint8 (N, H, W) of train ids with
255 = ignored, `<split>.txt` the names, and `report.json`, which is written last. Datasets that have
them add `<split>_depth.npy` float32 (N, H, W) in metres with 0 = none, `<split>_normals.npy`
float16 (N, H, W, 3), unit vectors (convention: normals.py) with the 0-vector = none, and
`<split>_panoptic.npy` uint16 (N, H, W), codes of classes and segments (convention: dejavu/tasks/segments.py).
The split `unlabelled` has images alone.

Where images keep their aspect ratio (params.yaml's `size` is {short, long}), each of these arrays is flat,
with the items' sizes beside it (ragged.py). Labels and other targets of the splits that are measured then
keep their files' size; those of other splits have their image's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import DejavuError, nearest
from ...system.files import read_json
from ...tasks import describe, names
from ..dataset import IGNORE, UNLABELLED
from .ragged import Ragged, sizes_file
from .sizes import as_plain, in_words

if TYPE_CHECKING:
    from ...config import DataSource

__all__ = [
    "KINDS",
    "Ragged",
    "Split",
    "class_presence",
    "command",
    "open_split",
    "open_unlabelled",
    "read_report",
    "validation_split",
]

Array = np.ndarray | Ragged
"""An array where all items have one size, a sequence of arrays where they have not."""


class Split(NamedTuple):
    """A split's arrays, mapped read-only, and its items' names, in the same order."""

    images: Array
    """uint8 (N, H, W, 3), RGB"""
    labels: Array
    """uint8 (N, H, W), train ids, 255 = ignored"""
    names: list[str]
    depth: Array | None = None
    """float32 (N, H, W), metres along z, 0 = none; None where the dataset has no depth"""
    normals: Array | None = None
    """float16 (N, H, W, 3), unit vectors, 0-vector = none; None where the dataset has no normals"""
    panoptic: Array | None = None
    """uint16 (N, H, W), codes of tasks/segments.py; None where the dataset has no segments"""
    more: Mapping[str, Array] = MappingProxyType({})
    """the arrays of further tasks, by their names"""

    def array(self, kind: str) -> Array | None:
        """Return the array of that name in `KINDS`; None where the dataset has none."""
        array: Array | None = getattr(self, kind) if kind in self._fields else self.more.get(kind)
        return array


_TARGETS = {task.array: (np.dtype(task.dtype).type, task.item) for task in map(describe, names())}
KINDS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "images": (np.uint8, (3,)),
    "labels": (np.uint8, ()),  # which every dataset has
    **dict(sorted(_TARGETS.items())),
}
"""The possible arrays: their type, and the dimensions after (N, H, W)."""
UNKNOWN = {task.array: IGNORE if task.unknown is None else task.unknown for task in map(describe, names())}
"""The value of pixels without ground truth, by array."""


def read_report(prepared: Path, requested: DataSource | None = None) -> dict[str, Any]:
    """Read `report.json` of a prepared dataset, which must match `requested` of params.yaml, if given.

    Keys: dataset, source, stands_in_for, licence, task, classes, palette, ignore_index, evaluate, size,
    unreadable, splits; each split has count, images, labels, raw_size, pixel_shares and ignored_share. Where
    the dataset has more than labels, `targets` lists them, and each split has an entry for each; where curves
    are not drawn on `val`, `validate` is the split (see `validation_split`); where classes have categories,
    `categories` has that of each class, in the order of `classes`; where there are panoptic maps, `things`
    has for each class whether it can be counted; where files belong to no pair, `left_out` has their
    number and the first names; `remarks` are sentences for readers of tables, where there are any
    (checks.py). Raises DejavuError with the command that makes it.
    """
    prepared = Path(prepared)
    path, again = prepared / "report.json", f"run {command(prepared)}"
    report = read_json(path, again)
    if not _whole(report):
        raise DejavuError(f"{path} is not a report of `dejavu prepare`: {again} again")
    made = report["source"], report["size"]
    expected = made if requested is None else (requested.source, as_plain(requested.size))
    if made != expected:
        was, wanted = (f"'{source}' at {in_words(size)}" for source, size in (made, expected))
        raise DejavuError(
            f"{path} was made from {was}, and params.yaml asks for {wanted}: "
            f"run {command(prepared, 'download')}, then {command(prepared)}"
        )
    return report


def _whole(report: Any) -> bool:
    """Return whether a report has all keys that are read from it later."""

    def holds(section: Any, kinds: Mapping[str, Any]) -> bool:
        return isinstance(section, dict) and all(isinstance(section.get(key), kinds[key]) for key in kinds)

    keys = {
        "source": str,
        "size": list | dict,
        "classes": list,
        "palette": list,
        "ignore_index": int,
        "evaluate": str,
    }
    if "panoptic" in _kinds(report):
        keys["things"] = list
    if not holds(report, keys | {"splits": dict}):
        return False
    array: dict[str, Any] = {"shape": list, "dtype": str, "sha256": str}
    kinds = {name: ["images"] if name == UNLABELLED else _kinds(report) for name in report["splits"]}
    if isinstance(report["size"], dict):
        if not holds(report["size"], {"short": int, "long": int}):
            return False
        array["sizes"] = dict
    elif len(report["size"]) != 2:
        return False
    return all(
        holds(split, {"count": int} | dict.fromkeys(kinds[name], dict))
        and all(holds(split[kind], array) for kind in kinds[name])
        for name, split in report["splits"].items()
    )


def _kinds(report: Any) -> list[str]:
    """Return the arrays that the splits of a report have."""
    targets = report.get("targets", ["labels"]) if isinstance(report, dict) else ()
    return [kind for kind in KINDS if kind == "images" or kind in targets]


def validation_split(report: dict[str, Any]) -> str:
    """Return the split of a prepared dataset for learning curves."""
    return str(report.get("validate", "val"))


def command(prepared: Path, stage: str = "prepare") -> str:
    """Return the command that makes a prepared dataset: the scale is in data/<scale>/prepared/<dataset>."""
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
    entry = splits[split]
    names_file = prepared / f"{split}.txt"
    try:
        names = names_file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DejavuError(f"{names_file} is missing: run {command(prepared)} again") from None
    except UnicodeDecodeError:
        raise DejavuError(f"{names_file} is not text: run {command(prepared)} again") from None
    if len(names) != entry["count"]:
        raise DejavuError(
            f"{names_file} has {len(names)} names, and report.json says {entry['count']}: "
            f"run {command(prepared)} again"
        )
    arrays = {kind: _open(prepared / f"{split}_{kind}.npy", kind, entry) for kind in _kinds(report)}
    more = {kind: array for kind, array in arrays.items() if kind not in Split._fields}
    return Split(names=names, **{kind: arrays[kind] for kind in arrays if kind not in more}, more=more)


def open_unlabelled(prepared: Path, report: dict[str, Any]) -> Array | None:
    """Map the images of the split without labels, uint8 (N, H, W, 3); None where there is no such split.

    Raises DejavuError when the array is missing or not what the report says.
    """
    entry = report["splits"].get(UNLABELLED)
    return None if entry is None else _open(prepared / f"{UNLABELLED}_images.npy", "images", entry)


def _open(path: Path, kind: str, entry: dict[str, Any]) -> Array:
    """Open one of a split's arrays; `entry` is the split's entry in the report."""
    if "sizes" not in entry[kind]:
        return _map(path, entry[kind])
    again = f"run {command(path.parent)} again"
    flat = _map(path, entry[kind])
    sizes = _map(sizes_file(path), {"shape": [entry["count"], 2], "dtype": "int32"})
    try:
        return Ragged(path, sizes, KINDS[kind][1])
    except ValueError:
        raise DejavuError(
            f"{sizes_file(path)} does not add up to the {flat.size} values of {path.name}: {again}"
        ) from None


def _map(path: Path, entry: dict[str, Any]) -> np.ndarray:
    again = f"run {command(path.parent)} again"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: {again}") from None
    except (ValueError, EOFError, OSError):
        raise DejavuError(f"{path} is not a whole array: {again}") from None
    if not isinstance(array, np.ndarray):  # an archive of several arrays
        raise DejavuError(f"{path} is not a whole array: {again}")
    if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
        stored, expected = f"{array.dtype} {list(array.shape)}", f"{entry['dtype']} {entry['shape']}"
        raise DejavuError(f"{path} is {stored}, and report.json says {expected}: {again}")
    return array


def class_presence(split: Split, num_classes: int) -> np.ndarray:
    """Return the classes in each image: bool (N, num_classes), True where a pixel of item n is of class k.

    Reads the split's labels once, item by item: about 1 ns a pixel. Raises DejavuError for a value that is
    neither below `num_classes` nor ignored.
    """
    present = np.zeros((len(split.names), num_classes), bool)
    for number, label in enumerate(split.labels):
        occurs = np.zeros(256, bool)
        values = label.reshape(-1)
        occurs[values[:1]] = True
        occurs[values[1:][values[1:] != values[:-1]]] = True  # where a run begins: labels have few of them
        stray = np.flatnonzero(occurs[num_classes:IGNORE])
        if stray.size:
            raise DejavuError(
                f"the label of '{split.names[number]}' has class {num_classes + int(stray[0])}, and the "
                f"classes are 0 to {num_classes - 1}"
            )
        present[number] = occurs[:num_classes]
    return present


def checksums(splits: dict[str, Any]) -> dict[str, list[str]]:
    """Return checksums of the arrays of each split, and of the sizes of images where these differ."""
    result = {}
    for name, split in splits.items():
        arrays = [split[kind] for kind in KINDS if kind in split]
        result[name] = [array["sha256"] for array in arrays]
        result[name] += [array["sizes"]["sha256"] for array in arrays if "sizes" in array]
    return result
