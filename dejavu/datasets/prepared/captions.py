"""Captions of a prepared split: `<split>_captions.json`, a list of texts for each image in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DejavuError
from ...system.files import read_json, sha256, write_text
from ..dataset import Dataset, Pair
from .store import command


def write_captions(
    dataset: Dataset, raw: Path, pairs: Mapping[str, Sequence[Pair]], folder: Path
) -> dict[str, Any]:
    """Write the captions of all splits into `folder`, where the dataset has some.

    Returns their entries in the report, by split; empty without captions. Raises DejavuError for captions
    that do not fit the images.
    """
    if dataset.captions is None:
        return {}
    read = {split: dataset.captions(raw, split) for split in pairs}
    entries = {}
    for split, by_name in read.items():
        if by_name is None:
            continue
        texts = [list(by_name[pair.name]) for pair in pairs[split]]
        path = _file(folder, split)
        write_text(path, json.dumps(texts, indent=0, ensure_ascii=False) + "\n")
        entries[split] = {"captions": {"count": sum(map(len, texts)), "sha256": sha256(path)}}
    return entries


def has_captions(report: Mapping[str, Any], split: str = "train") -> bool:
    """Return whether a prepared dataset has captions of a split; `report` is its report."""
    return "captions" in report["splits"][split]


def open_captions(prepared: Path, report: Mapping[str, Any], split: str = "train") -> list[list[str]] | None:
    """Read the captions of a split's images; None where it has none.

    Raises DejavuError for a file that is missing, or not what the report says.
    """
    if not has_captions(report, split):
        return None
    path, again = _file(prepared, split), f"run {command(prepared)} again"
    texts = read_json(path, again)
    if sha256(path) != report["splits"][split]["captions"]["sha256"]:
        raise DejavuError(f"{path} is not what report.json says: {again}")
    result: list[list[str]] = texts
    return result


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}_captions.json"
