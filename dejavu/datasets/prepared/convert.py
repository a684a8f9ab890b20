"""Raw files -> arrays: decoded, checked and brought to one size."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.progress import track
from ..dataset import Dataset, Pair, labels_of
from .counts import Counts, known
from .sizes import fitted, is_fixed, nearest
from .writer import Writer

if TYPE_CHECKING:
    from .sizes import Size

Given = TypeVar("Given")
Made = TypeVar("Made")
_BATCH = 32  # items decoded ahead: bounds the memory


class Item(NamedTuple):
    """One pair, decoded and resized."""

    image: np.ndarray
    """uint8 (H, W, 3)"""
    label: np.ndarray
    """uint8 (H, W), train ids; this and what follows may have another size than the image (see `load`)"""
    raw_size: tuple[int, int]
    depth: np.ndarray | None = None
    """float32 (H, W), metres, 0 = none"""
    normals: np.ndarray | None = None
    """float32 (H, W, 3), unit vectors, 0-vector = none"""
    panoptic: np.ndarray | None = None
    """uint16 (H, W), codes of tasks/segments.py"""
    more: Mapping[str, np.ndarray] = MappingProxyType({})
    """(H, W, *item), the arrays of further tasks, by their names"""
    in_file: np.ndarray | None = None
    """bool (256,), the train ids of the label file; None where `label` is the file's own"""
    lost: tuple[str, ...] = ()
    """the arrays whose file has ground truth, of which resizing has left nothing"""

    def arrays(self) -> dict[str, np.ndarray]:
        """By the store's kinds, those that there are."""
        all_ = {"images": self.image, "labels": self.label, "depth": self.depth, "normals": self.normals}
        all_ |= {"panoptic": self.panoptic, **self.more}
        return {kind: array for kind, array in all_.items() if array is not None}


def convert(
    dataset: Dataset, pairs: dict[str, list[Pair]], size: Size, folder: Path, classes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Counts]]:
    """Write the arrays of all splits into `folder`; returns the report's `splits`, and the counts of each.

    Raises DejavuError when a file cannot be used, after all have been looked at.
    """
    faults: list[str] = []
    splits, counts = {}, {}
    for split, items in pairs.items():
        measured = split in (dataset.evaluate, dataset.validate)
        work = partial(load, dataset, size=size, whole_targets=measured and not is_fixed(size))
        fixed = fitted((1, 1), size) if is_fixed(size) else None
        writer = Writer(folder, split, len(items), fixed, dataset.targets)
        for item in decoded(work, items, f"prepare {split}"):
            if isinstance(item, DejavuError):
                faults.append(str(item))
            elif not faults:
                writer.put(item.arrays(), item.raw_size, item.in_file, item.lost)
        if faults:
            writer.abandon()
            continue
        splits[split] = writer.close([pair.name for pair in items], classes)
        counts[split] = writer.counts
        if "normals" in splits[split]:
            splits[split]["normals"]["from"] = "depth" if items[0].normals is None else "files"
    refuse(faults)
    return splits, counts


def refuse(faults: Sequence[str]) -> None:
    """Raise DejavuError with the first fault, if there is one; more of them are printed on stderr."""
    if len(faults) > 1:
        for fault in faults:
            print(fault, file=sys.stderr)
        raise DejavuError(f"{faults[0]} (one of {len(faults)} files that cannot be used, all listed above)")
    if faults:
        raise DejavuError(faults[0])


def load(dataset: Dataset, pair: Pair, size: Size, whole_targets: bool = False) -> Item:
    """Decode a pair and bring it to `size` (see sizes.py); raises DejavuError that names the file.

    Images are averaged over the area that becomes a pixel (PIL's bilinear filter, which widens when
    it shrinks), labels take the nearest value. So do depth and normals: then all values of a pixel
    belong to the same point, and no depth is invented between a thing and what is behind it.
    Of a panoptic map, too, the code of one point is taken: a segment that has none of the points is gone from
    the image, and the others keep their numbers.
    With `whole_targets` labels and the other targets keep their size: metrics are computed there.
    """
    image = dataset.decode_image(pair.image)
    panoptic = None if dataset.decode_panoptic is None else dataset.decode_panoptic(pair)
    label = dataset.decode_label(pair.label) if panoptic is None else labels_of(panoptic)
    raw_size = (image.height, image.width)
    _same_size(pair, pair.label, label, raw_size)
    depth, normals = _geometry(dataset, pair, raw_size)
    more = {kind: decode(pair) for kind, decode in dataset.decode_more.items()}
    for kind, array in more.items():
        _same_size(pair, f"the {kind} of {pair.image}", array, raw_size)
    new_size = fitted(raw_size, size)
    if raw_size == new_size:
        return Item(np.asarray(image), label, raw_size, depth, normals, panoptic, more)
    image = image.resize((new_size[1], new_size[0]), Image.Resampling.BILINEAR)
    whole = Item(np.asarray(image), label, raw_size, depth, normals, panoptic, more)
    return whole if whole_targets else _shrunk(whole, new_size)


def _shrunk(item: Item, size: tuple[int, int]) -> Item:
    """Resize the targets of an item, and note the ground truth that this loses."""
    before = item.arrays()
    del before["images"]
    after = {kind: nearest(array, size) for kind, array in before.items()}
    lost = tuple(kind for kind in after if not known(kind, after[kind]) and known(kind, before[kind]))
    return item._replace(
        label=after["labels"],
        depth=after.get("depth"),
        normals=after.get("normals"),
        panoptic=after.get("panoptic"),
        more={kind: after[kind] for kind in item.more},
        in_file=np.bincount(item.label.ravel(), minlength=256) > 0,
        lost=lost,
    )


def _geometry(
    dataset: Dataset, pair: Pair, raw_size: tuple[int, int]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """A pair's depth and normals, where the dataset has them."""
    depth = None
    if dataset.decode_depth is not None:
        if pair.depth is None:
            raise DejavuError(f"the dataset {dataset.title} has no depth file for its image {pair.image}")
        depth = dataset.decode_depth(pair.depth)
        _same_size(pair, pair.depth, depth, raw_size)
    if dataset.decode_normals is None:
        return depth, None
    normals = dataset.decode_normals(pair, np.zeros(raw_size, np.float32) if depth is None else depth)
    _same_size(pair, pair.normals or pair.depth or "the normals", normals, raw_size)
    return depth, normals


def _same_size(pair: Pair, path: Path | str, array: np.ndarray, raw_size: tuple[int, int]) -> None:
    if array.shape[:2] != raw_size:
        raise DejavuError(
            f"{path} is {array.shape[1]}x{array.shape[0]} pixels, and its image {pair.image} is "
            f"{raw_size[1]}x{raw_size[0]}"
        )


def decoded(
    work: Callable[[Given], Made], pairs: Sequence[Given], description: str
) -> Iterator[Made | DejavuError]:
    """Every pair's item in order, or what is wrong with it; a few threads decode ahead."""
    with ThreadPoolExecutor(_threads()) as pool:
        batches = (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH))
        items = (item for batch in batches for item in pool.map(partial(_attempt, work), batch))
        yield from track(items, total=len(pairs), description=description)


def _threads() -> int:
    """Return as many threads as the job has cores, at most 8: more do not help. macOS tells the machine's."""
    given = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(8, len(given))


def _attempt(work: Callable[[Given], Made], pair: Given) -> Made | DejavuError:
    try:
        return work(pair)
    except DejavuError as error:
        return error
