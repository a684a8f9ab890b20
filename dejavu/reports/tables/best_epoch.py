"""Numbers of the best epoch, chosen on the test split, as in much public code.

The rule is that of MTPSL (nyu_mtl_xtc.py): for a multi-task network the epoch with the highest delta-MTL
on the test split, against single-task networks; for one task the epoch with its best metric. The first of two
equal epochs counts. The single-task networks here are ours, with the same seed, at their last epoch.

This choice uses the test split, so it is optimistic, and more so with more measured epochs. It is only for a
comparison with numbers that were chosen in the same way, in a separate table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...config import Params
from ...config.cross_checks_tables import not_logged
from ...config.paths import Paths
from ...errors import DejavuError
from ...metrics import DELTA, main_metric
from ..training_log import log_lines
from .delta_mtl import references, score
from .names import find
from .results import Result

Epochs = dict[int, dict[str, float]]
"""Epoch -> main metric -> its value on the validation split, for the epochs with values of all metrics."""


@dataclass(frozen=True)
class Best:
    """Results of the best epochs, and the numbers of (measured, trained) epochs to choose from."""

    results: dict[str, Result]
    epochs: tuple[tuple[int, int], ...]


def best(params: Params, name: str, scale: str, results: Mapping[str, Result], validate: str) -> Best:
    """Return the results of a table's rows at the best epoch of each seed instead of the last epoch.

    `validate` is the split of the numbers in the logs. A multi-task row keeps the seeds with single-task
    results, and is left out without any. Raises DejavuError if the logs and the rows have different splits,
    or if the table shows a metric that the logs do not have.
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
    """Return the values of the best epoch by delta-MTL, which is then included, or by the only metric.

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
    """Read the epochs of a training log with values of all these metrics, and the number of all epochs.

    Raises DejavuError that names the file, and the command that makes it.
    """
    with log_lines(path, command) as lines:
        fields = [(int(line["epoch"]), [line[f"val_{metric}"] for metric in metrics]) for line in lines]
        measured = {
            epoch: {metric: float(value) for metric, value in zip(metrics, values, strict=True)}
            for epoch, values in fields
            if "" not in values
        }
    numbers = [value for values in measured.values() for value in values.values()]
    if not measured or not all(map(math.isfinite, numbers)):
        fault = (
            "holds a value that is no finite number"
            if measured
            else f"has no epoch with {' and '.join(metrics)}"
        )
        raise DejavuError(f"{path} {fault}: make it with `{command}`")
    return measured, max(epoch for epoch, _ in fields)
