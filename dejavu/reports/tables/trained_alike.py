"""Checks that the two rows of a pair were trained alike: only then the gain comes from DejaVu alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

from ...config.paths import Paths
from ...system.files import read_json

# Entries of a sidecar that change a training's numbers.
MARKS = (("code",), ("versions", "torch"), ("machine", "gpu"), ("machine", "threads"))


def differences(paths: Paths, ours: str, base: str, seeds: Iterable[int]) -> list[str]:
    """Return differences between the trainings of two experiments, e.g. 'torch of seed 3'.

    They are read from the sidecars. A seed without sidecars (as in downloaded results) is skipped.
    """
    marks = []
    for seed in seeds:
        files = [paths.sidecar(experiment, seed) for experiment in (ours, base)]
        if not all(file.exists() for file in files):
            continue
        first, second = (read_json(file, "delete it").get("train") or {} for file in files)
        for mark in MARKS:
            values = _find(first, mark), _find(second, mark)
            if None not in values and values[0] != values[1]:
                marks.append(f"{mark[-1]} of seed {seed}")
    return marks


def _find(section: Any, keys: tuple[str, ...]) -> Any:
    return reduce(lambda inner, key: inner.get(key) if isinstance(inner, dict) else None, keys, section)
