"""Numbers of the best epoch, chosen on the test split, as much public code reports them.

The rule is that of MTPSL (nyu_mtl_xtc.py): for a multi-task network the epoch with the highest delta-MTL
on the test split, against single-task networks; of one task that of its best metric. The first one counts
where two are the same. Here the single-task networks are ours, of the same seed, at their last epoch.

This looks at the test split to choose, so it is optimistic, the more so the more epochs were measured. It is
for comparing with numbers that were made like that, in a table of its own.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...config import Params
from ...config.cross_checks_tables import not_logged
from ...config.paths import Paths
from ...errors import DejavuError
from ...metrics import DELTA, main_metric
from .delta_mtl import references, score
from .names import find
from .results import Result

Epochs = dict[int, dict[str, float]]
"""Epoch -> main metric -> its value on the validation split, of the epochs in which all were measured."""


@dataclass(frozen=True)
class Best:
    """Results of the best epochs, and how many there were to choose from: (measured, trained)."""

    results: dict[str, Result]
    epochs: tuple[tuple[int, int], ...]


def best(params: Params, name: str, scale: str, results: Mapping[str, Result], validate: str) -> Best:
    """The results of a table's rows with the numbers of each seed's best epoch instead of the last one's.

    `validate` is the split that the logs' numbers are of. A multi-task row keeps those seeds for which
    there is something to compare with, and is left out where there is none. Raises DejavuError where the
    numbers in the logs are of another split than the rows', or the table shows what the logs do not have.
    """
    table, paths = params.get_table(name), Paths(scale)
    splits = {result.split for result in results.values()} - {validate}
    if splits:
        raise DejavuError(
            f"tables.{name}.epoch: 'best' takes what the logs have of the split '{validate}', and the rows "
            f"are measured on '{min(splits)}': write 'last'"
        )
    if fault := not_logged(table):
        raise DejavuError(f"tables.{name}.metrics: {fault}")
    chosen_results, counts = {}, set()
    for experiment, result in results.items():
        tasks = params.experiments[experiment].tasks
        single = references(table, tasks, results) if len(tasks) > 1 else {}
        columns = tuple(map(main_metric, tasks))
        chosen: dict[int, dict[str, float]] = {}
        for seed in result.seeds:
            if len(tasks) > 1 and seed not in single:
                continue
            command = f"dejavu train {experiment} --scale {scale}"
            epochs, trained = read_epochs(paths.log(experiment, seed), columns, command)
            chosen[seed] = choose(epochs, single.get(seed))
            counts.add((len(epochs), trained))
        if chosen:
            metrics = {
                metric: {seed: values[metric] for seed, values in chosen.items() if metric in values}
                for metric in (*columns, DELTA)
            }
            chosen_results[experiment] = replace(result, metrics=metrics, seeds=tuple(chosen))
    return Best(chosen_results, tuple(sorted(counts)))


def choose(epochs: Epochs, single: Mapping[str, float] | None = None) -> dict[str, float]:
    """The values of the best epoch: by delta-MTL, which is then one of them, or by the only metric.

    >>> choose({1: {"depth_aerr": 0.7}, 2: {"depth_aerr": 0.6}, 3: {"depth_aerr": 0.65}})
    {'depth_aerr': 0.6}
    """
    if single is not None:
        scored = [values | {DELTA: score(values, single)} for _, values in sorted(epochs.items())]
        return max(scored, key=lambda values: values[DELTA])  # the first of equal ones
    ((metric,),) = {tuple(values) for values in epochs.values()}
    sign = 1 if find(metric).higher_is_better else -1
    return max((values for _, values in sorted(epochs.items())), key=lambda values: sign * values[metric])


def read_epochs(path: Path, metrics: tuple[str, ...], command: str) -> tuple[Epochs, int]:
    """Epochs of a training log in which all of these metrics were measured, and the number of all epochs.

    Raises DejavuError that names the file, and the command that makes it.
    """
    again = f"make it with `{command}`"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        fields = [(int(line["epoch"]), [line[f"val_{metric}"] for metric in metrics]) for line in lines]
        measured = {
            epoch: {metric: float(value) for metric, value in zip(metrics, values, strict=True)}
            for epoch, values in fields
            if "" not in values
        }
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: {again}") from None
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DejavuError(
            f"{path} is not a training log ({type(error).__name__}: {error}): {again}"
        ) from None
    numbers = [value for values in measured.values() for value in values.values()]
    if not measured or not all(map(math.isfinite, numbers)):
        fault = (
            "holds a value that is no finite number"
            if measured
            else f"has no epoch with {' and '.join(metrics)}"
        )
        raise DejavuError(f"{path} {fault}: {again}")
    return measured, max(epoch for epoch, _ in fields)
