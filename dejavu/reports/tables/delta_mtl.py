"""Delta-MTL score: the gain or loss of learning tasks together, against learning each alone.

Maninis, Radosavovic and Kokkinos, "Attentive Single-Tasking of Multiple Tasks" (CVPR 2019), section 5: the
mean over the tasks of (-1)^l (M_multi - M_single) / M_single, with l = 1 where lower is better; in percent.
M is each task's main metric. Here it is computed seed by seed, so that it has a spread and a paired gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ...config import Params, Table
from ...errors import DejavuError
from ...metrics import DELTA, main_metric
from .names import find
from .results import Result

Values = Mapping[str, float]
"""Main metric -> its value, for one seed."""


def score(ours: Values, single: Values) -> float:
    """Return delta-MTL in percent, over the metrics of `single`; more is better.

    >>> score({"miou": 44.0, "depth_aerr": 0.6}, {"miou": 40.0, "depth_aerr": 0.5})  # +10 % and -20 %
    -5.0
    """
    changes = []
    for metric, reference in single.items():
        sign = 1 if find(metric).higher_is_better else -1
        changes.append(sign * (ours[metric] - reference) / reference)
    return round(100 * math.fsum(changes) / len(changes), 10)  # not -5.000000000000001


def metrics_read(params: Params, name: str) -> tuple[str, ...]:
    """Return the metrics that a table reads: its own, and the inputs of the score.

    Raises DejavuError if the table needs single-task rows and does not name them, or names wrong rows.
    """
    table = params.get_table(name)
    measured = [metric for metric in table.metrics if metric != DELTA]
    if table.epoch == "last" and DELTA not in table.metrics:
        return tuple(measured)
    _check_single(params, name, table)
    tasks = dict.fromkeys(task for one in table.experiments for task in params.experiments[one].tasks)
    return tuple(dict.fromkeys([*measured, *map(main_metric, tasks)]))


def _check_single(params: Params, name: str, table: Table) -> None:
    where = f"tables.{name}.single"
    for task, experiment in table.single.items():
        tasks = params.experiments[experiment].tasks
        if tasks != (task,):
            raise DejavuError(
                f"{where}.{task}: '{experiment}' learns {' and '.join(tasks)}; name an experiment of {task} "
                "alone"
            )
    for experiment in table.experiments:
        tasks = params.experiments[experiment].tasks
        for learnt in tasks if len(tasks) > 1 else ():
            if learnt not in table.single:
                raise DejavuError(
                    f"{where}: '{experiment}' learns {' and '.join(tasks)}, and is compared with experiments "
                    f"of one task each: name that of {learnt}"
                )


def references(
    table: Table, tasks: tuple[str, ...], results: Mapping[str, Result]
) -> dict[int, dict[str, float]]:
    """Return the main metrics of the single-task experiments of these tasks, by seed, at the last epoch.

    Only seeds of all these experiments are included. A seed with a metric of 0, as of a network that has
    learnt nothing, is left out, since no relative change to 0 exists.
    """
    named = {str(task): experiment for task, experiment in table.single.items()}
    single = {main_metric(task): results.get(named[task]) for task in tasks}
    if None in single.values():
        return {}
    by_metric = {metric: result.metrics[metric] for metric, result in single.items() if result is not None}
    seeds = set.intersection(*(set(values) for values in by_metric.values()))
    by_seed = {seed: {metric: values[seed] for metric, values in by_metric.items()} for seed in sorted(seeds)}
    return {seed: values for seed, values in by_seed.items() if all(values.values())}


def with_delta(params: Params, table: Table, results: Mapping[str, Result]) -> dict[str, Result]:
    """Return the results; multi-task results get the score of every seed with single-task results."""
    if DELTA not in table.metrics:
        return dict(results)
    scored = {}
    for experiment, result in results.items():
        tasks = params.experiments[experiment].tasks
        scores = {}
        if len(tasks) > 1:
            for seed, single in references(table, tasks, results).items():
                if seed in result.seeds:
                    ours = {metric: result.metrics[metric][seed] for metric in single}
                    scores[seed] = score(ours, single)
        scored[experiment] = replace(result, metrics=result.metrics | {DELTA: scores})
    return scored
