"""The number of images of a dataset, and its size on disk when it is prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config import Params
from ..config.paths import Paths
from ..datasets import find, names, reader
from ..datasets.prepared.sizes import fitted
from ..datasets.prepared.store import KINDS
from ..errors import DejavuError
from ..system.files import read_json
from .step_cost import Meaning

if TYPE_CHECKING:
    from ..config import DataSource

LIKELY = (3000, 4000)  # assumed height and width of photographs before the download


def meaning_of(params: Params, dataset: str, scale: str) -> Meaning:
    """Return the meaning of the labels of the data used for a dataset at a scale."""
    source = params.data_source(dataset, scale).source
    classes = reader(dataset, source, params.datasets.get(source)).classes_of(source)
    return Meaning(list(classes.names), categories=classes.categories and list(classes.categories))


def counts(params: Params, dataset: str, scale: str) -> dict[str, int]:
    """Return the number of images of each split, from the prepared data or else as published.

    The result is empty if neither is known, as for an image folder before its preparation.
    """
    part = params.data_source(dataset, scale)
    report = _report(dataset, scale, part)
    if report is not None:
        return {name: int(split["count"]) for name, split in report["splits"].items()}
    published = find(part.source).splits if part.source in names() else {}
    known = {split: count for split, count in published.items() if count is not None}
    if part.train is not None:
        known["train"] = min(part.train, known.get("train", part.train))
    if part.val is not None:
        known["val"] = min(part.val, known.get("val", part.val))
    return known


def disk(params: Params, dataset: str, scale: str) -> int | None:
    """Return the bytes of the prepared data; None if the number of images is not known."""
    part, folder = params.data_source(dataset, scale), Paths(scale).prepared(dataset)
    if _report(dataset, scale, part) is not None:
        return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
    images = counts(params, dataset, scale)
    if "train" not in images:
        return None
    targets = reader(dataset, part.source, params.datasets.get(part.source)).targets
    each = 0
    for kind in ("images", *targets):
        dtype, rest = KINDS[kind]
        values = 1
        for length in rest:
            values *= length
        each += dtype().itemsize * values
    return sum(images.values()) * each * _pixels(part)


def _pixels(part: DataSource) -> int:
    """Return the number of pixels of one prepared image."""
    height, width = fitted(LIKELY, part.size)
    return height * width


def _report(dataset: str, scale: str, part: DataSource) -> dict[str, Any] | None:
    """Return the report of the prepared data of this source; None if there is none."""
    try:
        report = read_json(Paths(scale).report(dataset))
        return report if report["source"] == part.source and report["splits"] else None
    except (DejavuError, OSError, KeyError, TypeError):
        return None
