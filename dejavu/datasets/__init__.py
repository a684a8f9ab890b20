"""Datasets: one module for each name, or any folder that params.yaml describes.

A file knows the raw layout of one dataset and ends with `DATASET = Dataset(...)` (dataset.py). To add one,
add `dejavu/datasets/<name>.py` and an entry in params.yaml; nothing else changes. An entry with the key
`folder` needs no file: folder.py reads the images and labels that the entry names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import DejavuError, nearest
from .dataset import IGNORE, UNLABELLED, Classes, Dataset, Pair, labels_of

if TYPE_CHECKING:
    from ..config import Source

__all__ = [
    "IGNORE",
    "UNLABELLED",
    "Classes",
    "Dataset",
    "Pair",
    "class_names",
    "find",
    "folder_settings",
    "labels_of",
    "names",
    "reader",
    "reader_name",
    "stands_in_for",
    "title",
]


def names() -> list[str]:
    """List the datasets that have a file here.

    >>> "cityscapes" in names()
    True
    """
    return registry.modules("datasets")


def find(name: str) -> Dataset:
    """Return the dataset called `name`; raises DejavuError with the nearest name when there is none."""
    known = names()
    if name not in known:
        raise DejavuError(f"there is no dataset '{name}' ({nearest(name, known)})")
    dataset: Dataset = importlib.import_module(f"{__name__}.{name}").DATASET
    return dataset


def title(name: str) -> str:
    """Return a dataset's name for tables; that of a folder is its key in params.yaml.

    >>> title("camvid"), title("my_scans")
    ('CamVid', 'my_scans')
    """
    if name == "synthetic":
        return "synthetic scenes"
    return find(name).title if name in names() else name


def stands_in_for(dataset: str, source: str) -> str | None:
    """Return the dataset that another source stands in for; None when it is the dataset itself."""
    return None if source == dataset else dataset


def reader_name(dataset: str, source: str) -> str:
    """The name of the dataset whose file reads `source` where params.yaml says `dataset`; see `reader`."""
    return dataset if source == "synthetic" else source


def folder_settings(entry: Source | None) -> Any:
    """Return the `folder` of an entry of params.yaml's datasets; None where there is none."""
    return getattr(entry, "folder", None)


def reader(dataset: str, source: str, entry: Source | None = None) -> Dataset:
    """Return what reads `source` where it stands in for `dataset`: a dataset of a file, or of a folder.

    `entry` is what params.yaml's `datasets.<source>` says. Synthetic scenes are written in the layout of the
    dataset that they stand in for; any other source has a layout of its own.

    >>> reader("cityscapes", "synthetic").evaluate, reader("cityscapes", "camvid").evaluate
    ('val', 'test')
    """
    settings = folder_settings(entry)
    if settings is not None:
        from .folder import read_folder

        return read_folder(source, settings)
    return find(reader_name(dataset, source))


def class_names(dataset: str, entries: Mapping[str, Source] | None = None) -> list[str]:
    """Return the classes of the dataset itself, not of a stand-in; `entries` are params.yaml's datasets.

    >>> class_names("cityscapes")[:2]
    ['road', 'sidewalk']
    """
    return list(reader(dataset, dataset, (entries or {}).get(dataset)).classes.names)
