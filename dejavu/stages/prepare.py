"""`dejavu prepare DATASET`: check the raw files and write the compact form that training reads."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..datasets import IGNORE, Dataset, Pair, reader
from ..datasets.images import read_image
from ..datasets.store import command
from ..errors import DejavuError
from ..files import read_json, sha256, write_json
from ..lock import locked
from ..paths import Paths
from ..progress import track
from ..schema import Params, Part

_BATCH = 32  # items decoded ahead: bounds the memory


class Item(NamedTuple):
    """One pair, decoded and resized."""

    image: np.ndarray
    """uint8 (H, W, 3)"""
    label: np.ndarray
    """uint8 (H, W), train ids"""
    raw_size: tuple[int, int]


def run(params: Params, name: str, scale: str) -> None:
    """Check and convert dataset `name` at `scale`; `report.json` is written last.

    Raises DejavuError that names the first file that cannot be used and how many there are; all of
    them go to stderr. Then nothing is written, and an earlier result stays.
    """
    part, paths = params.part(name, scale), Paths(scale)
    manifest = _manifest(params, part, paths, name)
    module = reader(name, part.source)
    target = paths.prepared(name)
    partial = target.with_name(f".{name}.partial")
    with locked(target.with_name(f".{name}.lock")):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            pairs = {split: _pairs(module, paths.raw(name), split, part, manifest) for split in module.SPLITS}
            splits = convert(module, pairs, part.size, partial)
            paths.report(name).unlink(missing_ok=True)  # while the arrays change it would lie
            _publish(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        about = {key: manifest[key] for key in ("dataset", "source", "stands_in_for", "licence")}
        write_json(paths.report(name), about | _meaning(module) | {"size": list(part.size), "splits": splits})
    counts = ", ".join(f"{split['count']} {key}" for key, split in splits.items())
    print(f"{name} at scale {scale}: {counts} at {part.size[0]}x{part.size[1]} in {target}, none unreadable")


def _manifest(params: Params, part: Part, paths: Paths, name: str) -> dict[str, Any]:
    """The download's manifest; raises DejavuError when params.yaml has come to say something else."""
    path = paths.raw_manifest(name)
    again = f"run `dejavu download {name} --scale {paths.scale}`"
    manifest = read_json(path, again)
    needed = {"dataset", "source", "stands_in_for", "licence", "splits"}
    if not isinstance(manifest, dict) or needed - manifest.keys() or not isinstance(manifest["splits"], dict):
        raise DejavuError(f"{path} is not a manifest of `dejavu download`: {again}")
    scenes = {"seed": params.datasets[part.source].seed, "size": list(part.size)}
    wanted = {"source": part.source, "scenes": scenes if part.source == "synthetic" else None}
    for key, value in wanted.items():
        if manifest.get(key) != value:
            raise DejavuError(
                f"{path} has {key} {manifest.get(key)}, and params.yaml asks for {value}: {again}"
            )
    return manifest


def _pairs(module: Dataset, raw: Path, split: str, part: Part, manifest: dict[str, Any]) -> list[Pair]:
    """The split's pairs, or the first ones where the scale limits their number."""
    pairs = module.pairs(raw, split)
    if len(pairs) != manifest["splits"][split]:
        raise DejavuError(
            f"{raw} has {len(pairs)} {split} pairs, and its manifest says {manifest['splits'][split]}: "
            f"run {command(raw, 'download')} again"
        )
    limit = part.train if split == "train" else part.val
    if part.source == "synthetic" and len(pairs) < (limit or 0):
        raise DejavuError(
            f"{raw} has {len(pairs)} {split} scenes, and params.yaml asks for {limit}: "
            f"run {command(raw, 'download')} again"
        )
    return pairs[:limit]


def _meaning(module: Dataset) -> dict[str, Any]:
    return {
        "task": module.TASK,
        "classes": list(module.CLASSES),
        "palette": [list(colour) for colour in module.PALETTE],
        "ignore_index": IGNORE,
        "evaluate": module.EVALUATE,
        "unreadable": [],  # a set with unreadable files is refused
    }


def convert(
    module: Dataset, pairs: dict[str, list[Pair]], size: tuple[int, int], folder: Path
) -> dict[str, Any]:
    """Write the arrays of all splits into `folder`; returns the report's `splits`.

    Raises DejavuError when a file cannot be used, after all have been looked at.
    """
    faults: list[str] = []
    splits = {}
    for split, items in pairs.items():
        writer = _Writer(folder, split, len(items), size)
        for number, item in enumerate(_decoded(module, items, size, f"prepare {split}")):
            if isinstance(item, DejavuError):
                faults.append(str(item))
            else:
                writer.put(number, item)
        splits[split] = writer.close([pair.name for pair in items], module.CLASSES) if not faults else {}
    if faults:
        for fault in faults:
            print(fault, file=sys.stderr)
        more = (
            f" (one of {len(faults)} files that cannot be used, all listed above)" if len(faults) > 1 else ""
        )
        raise DejavuError(faults[0] + more)
    return splits


def load(module: Dataset, pair: Pair, size: tuple[int, int]) -> Item:
    """Decode a pair and bring it to `size` (H, W); raises DejavuError that names the file.

    Images are averaged over the area that becomes a pixel (PIL's bilinear filter, which widens when
    it shrinks), labels take the nearest value.
    """
    image, label = read_image(pair.image), module.decode_label(pair.label)
    raw_size = (image.height, image.width)
    if label.shape != raw_size:
        raise DejavuError(
            f"{pair.label} is {label.shape[1]}x{label.shape[0]} pixels, and its image {pair.image} is "
            f"{image.width}x{image.height}"
        )
    if raw_size != size:
        shape = (size[1], size[0])
        image = image.resize(shape, Image.Resampling.BILINEAR)
        label = np.asarray(Image.fromarray(label).resize(shape, Image.Resampling.NEAREST))
    return Item(np.asarray(image), label, raw_size)


def _decoded(
    module: Dataset, pairs: list[Pair], size: tuple[int, int], description: str
) -> Iterator[Item | DejavuError]:
    """Every pair's item in order, or what is wrong with it; a few threads decode ahead."""
    work: Callable[[Pair], Item | DejavuError] = lambda pair: _attempt(module, pair, size)  # noqa: E731
    with ThreadPoolExecutor(_threads()) as pool:
        batches = (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH))
        items = (item for batch in batches for item in pool.map(work, batch))
        yield from track(items, total=len(pairs), description=description)


def _threads() -> int:
    """As many as the job was given cores (macOS does not say), and no more than help."""
    given = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(8, len(given))


def _attempt(module: Dataset, pair: Pair, size: tuple[int, int]) -> Item | DejavuError:
    try:
        return load(module, pair, size)
    except DejavuError as error:
        return error


class _Writer:
    """Streams one split's items to disk and keeps count of what went by."""

    def __init__(self, folder: Path, split: str, count: int, size: tuple[int, int]) -> None:
        self.paths = {kind: folder / f"{split}_{kind}.npy" for kind in ("images", "labels")}
        self.names = folder / f"{split}.txt"
        shapes = {"images": (count, *size, 3), "labels": (count, *size)}
        self.arrays = {
            kind: np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shapes[kind])
            for kind, path in self.paths.items()
        }
        for path in self.paths.values():
            with open(
                path, "r+b"
            ) as file:  # a disk that is too small is an error here, and a crash in a mapping
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        self.pixels = np.zeros(256, np.int64)
        self.raw_sizes: list[tuple[int, int]] = []

    def put(self, number: int, item: Item) -> None:
        self.arrays["images"][number], self.arrays["labels"][number] = item.image, item.label
        self.pixels += np.bincount(item.label.ravel(), minlength=256)
        self.raw_sizes.append(item.raw_size)

    def close(self, names: list[str], classes: Any) -> dict[str, Any]:
        """Finish the files; returns the split's part of the report."""
        shapes = {kind: list(array.shape) for kind, array in self.arrays.items()}
        for array in self.arrays.values():
            array.flush()
        self.arrays.clear()
        self.names.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        shares = self.pixels / self.pixels.sum()
        sizes = sorted(self.raw_sizes, key=lambda size: (size[0] * size[1], size))
        return {
            "count": len(names),
            "raw_size": {"min": list(sizes[0]), "max": list(sizes[-1])},
            "pixel_shares": {name: round(float(shares[n]), 6) for n, name in enumerate(classes)},
            "ignored_share": round(float(shares[IGNORE]), 6),
        } | {
            kind: {"shape": shapes[kind], "dtype": "uint8", "sha256": sha256(path)}
            for kind, path in self.paths.items()
        }


def _publish(partial: Path, target: Path) -> None:
    """Move the finished files into place, and drop those of an earlier run that are not among them."""
    target.mkdir(parents=True, exist_ok=True)
    new = {path.name for path in partial.iterdir()}
    for path in target.iterdir():
        if path.name not in new:
            path.unlink()
    for name in sorted(new):
        os.replace(partial / name, target / name)
