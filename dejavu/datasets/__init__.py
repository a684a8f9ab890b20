"""Datasets: one file each, found by its file name, or any folder that params.yaml describes.

A dataset module knows the raw layout of one dataset and exposes what `Dataset` below lists. To add
one, add `dejavu/datasets/<name>.py` and an entry in params.yaml; nothing else changes. An entry with the
key `folder` needs no module: folder.py reads images and labels where it says that they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .. import registry
from ..errors import DejavuError, nearest

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from ..config import Source

IGNORE = 255
"""The train id of pixels that are neither trained on nor evaluated."""


class Pair(NamedTuple):
    """An image with its label, and what else the dataset has of it. `name` is unique in its split."""

    name: str
    image: Path
    label: Path
    depth: Path | None = None
    normals: Path | None = None
    panoptic: Path | None = None


class Dataset(Protocol):
    """What a dataset module exposes. `raw` is the folder of its raw files.

    A module may also define what the functions below give defaults for: TARGETS (`targets`), VALIDATE
    (`validate`), CATEGORIES (`categories`), THINGS (`things`), SYNTHETIC_CLASSES and SYNTHETIC_PALETTE
    (`meaning`), and decode_image (`image_of`). One without classes has none in CLASSES, and labels that are
    ignored.
    """

    TASK: str
    CLASSES: Sequence[str]
    """the classes' names in the order of train ids 0, 1, ..."""
    PALETTE: Sequence[tuple[int, int, int]]
    """the classes' colours, RGB"""
    SPLITS: Sequence[str]
    EVALUATE: str
    """the split that tables report"""

    def download(self, raw: Path, part: Any, source: Any) -> list[str]:
        """Obtain the raw files, whole and verified.

        `part` is the scale's part of params.yaml (source, size, train, val), `source` the entry of
        `datasets` that it names. Returns the paths of all files below `raw`, sorted. Raises
        DejavuError with what is to be done when they cannot be had.
        """

    def pairs(self, raw: Path, split: str) -> list[Pair]:
        """The images of a split with their labels, in a fixed order.

        Raises DejavuError that names the file when one of a pair, or the whole split, is missing.
        """

    def decode_label(self, path: Path) -> np.ndarray:
        """A label file as train ids, uint8 (H, W), 255 = ignored.

        Raises DejavuError with the file and the value when a value is not of this dataset.
        """


class Geometry(Dataset, Protocol):
    """What a dataset module exposes besides when its TARGETS have depth, or depth and normals."""

    def decode_depth(self, path: Path) -> np.ndarray:
        """A depth file in metres along z, float32 (H, W), 0 = none. Raises DejavuError with the file."""

    def decode_normals(self, pair: Pair, depth: np.ndarray) -> np.ndarray:
        """A pair's normals, float32 (H, W, 3), 0-vector = none, in the convention of formats/normals.py.

        They are read where the pair has a file of them, and else derived from its `depth` (H, W).
        """


class Panoptic(Dataset, Protocol):
    """What a dataset module exposes besides when its TARGETS have panoptic maps."""

    THINGS: Sequence[bool]
    """which classes can be counted, in the order of CLASSES; the others are stuff"""

    def decode_panoptic(self, pair: Pair) -> np.ndarray:
        """A pair's codes (tasks/segments.py), uint16 (H, W); `labels_of` makes labels of them.

        Raises DejavuError with the file and the segment when they do not fit each other.
        """


def names() -> list[str]:
    """The datasets there are: the modules here that define `pairs`.

    >>> names()
    ['ade20k', 'camvid', 'cityscapes', 'coco_panoptic', 'kitti', 'nyudv2']
    """
    return registry.modules("datasets")


def find(name: str) -> Dataset:
    """The module of dataset `name`; raises DejavuError with the nearest name when there is none."""
    known = names()
    if name not in known:
        raise DejavuError(f"there is no dataset '{name}' ({nearest(name, known)})")
    return importlib.import_module(f"{__name__}.{name}")


def stands_in_for(dataset: str, source: str) -> str | None:
    """The dataset whose part another source plays; None when it is the dataset itself."""
    return None if source == dataset else dataset


def reader_name(dataset: str, source: str) -> str:
    """The name of the module that reads `source` in the part of `dataset`; see `reader`."""
    return dataset if source == "synthetic" else source


def folder_settings(entry: Source | None) -> Any:
    """The `folder` of an entry of params.yaml's datasets; None where there is none."""
    return getattr(entry, "folder", None)


def reader(dataset: str, source: str, entry: Source | None = None) -> Dataset:
    """What reads that which plays the part of `dataset`: a module, or a folder's reader.

    `entry` is what params.yaml's `datasets.<source>` says. Synthetic scenes are written in the layout of the
    dataset that they stand in for; any other source has a layout of its own.

    >>> reader("cityscapes", "synthetic").EVALUATE, reader("cityscapes", "camvid").EVALUATE
    ('val', 'test')
    """
    settings = folder_settings(entry)
    if settings is not None:
        from .folder import Folder

        return Folder(source, settings)
    return find(reader_name(dataset, source))


def class_names(dataset: str, entries: Mapping[str, Source] | None = None) -> list[str]:
    """The classes of the dataset itself, whatever stands in for it; `entries` are params.yaml's datasets.

    >>> class_names("cityscapes")[:2]
    ['road', 'sidewalk']
    """
    return list(reader(dataset, dataset, (entries or {}).get(dataset)).CLASSES)


def image_of(module: Dataset, pair: Pair) -> Image:
    """A pair's image, RGB in 8 bits: by the module's `decode_image`, or out of an image file."""
    from .formats.images import read_image

    decode = getattr(module, "decode_image", None)
    # A published dataset's labels were drawn on its files as they are.
    image: Image = read_image(pair.image, upright=False) if decode is None else decode(pair.image)
    return image


def targets(module: Dataset) -> tuple[str, ...]:
    """The arrays that the dataset has beside its images.

    >>> targets(find("cityscapes")), targets(find("nyudv2"))
    (('labels',), ('labels', 'depth', 'normals'))
    """
    return tuple(getattr(module, "TARGETS", ("labels",)))


def labels_of(codes: np.ndarray) -> np.ndarray:
    """Train ids, uint8 (H, W), of a panoptic map's codes (H, W): 255 where it is void or a crowd.

    >>> import numpy as np
    >>> labels_of(np.array([[512, 513, 767, 65535]], np.uint16)).tolist()
    [[2, 2, 255, 255]]
    """
    from ..tasks.segments import classes_of, is_crowd

    labels = classes_of(codes)
    labels[is_crowd(codes)] = IGNORE
    return labels


def validate(module: Dataset) -> str:
    """The split that learning curves are drawn on. No checkpoint is chosen by it.

    >>> validate(find("camvid")), validate(find("nyudv2"))
    ('val', 'test')
    """
    return str(getattr(module, "VALIDATE", "val"))


def meaning(module: Dataset, source: str) -> tuple[list[str], list[list[int]]]:
    """Names and colours of the train ids of what `source` holds in this dataset's layout.

    Scenes that cannot have the dataset's own classes have others, as many of them.

    >>> meaning(find("nyudv2"), "nyudv2")[0][:2], meaning(find("nyudv2"), "synthetic")[0][:2]
    (['bed', 'books'], ['road', 'sidewalk'])
    """
    prefix = "SYNTHETIC_" if source == "synthetic" and hasattr(module, "SYNTHETIC_CLASSES") else ""
    palette = getattr(module, f"{prefix}PALETTE")
    return list(getattr(module, f"{prefix}CLASSES")), [list(colour) for colour in palette]


def categories(module: Dataset, source: str) -> list[str] | None:
    """The category of each class of what `source` holds in this dataset's layout; None where it has none.

    >>> (categories(find("cityscapes"), "synthetic") or [])[:3], categories(find("nyudv2"), "nyudv2")
    (['flat', 'flat', 'construction'], None)
    """
    if source == "synthetic" and hasattr(module, "SYNTHETIC_CLASSES"):
        return None
    found = getattr(module, "CATEGORIES", None)
    return None if found is None else list(found)


def things(module: Dataset) -> list[bool] | None:
    """Which classes can be counted; None where the dataset does not say it.

    >>> (things(find("coco_panoptic")) or []).count(True), things(find("camvid"))
    (80, None)
    """
    found = getattr(module, "THINGS", None)
    return None if found is None else list(found)
