"""Checks of the tables in params.yaml: their rows, metrics and figures must fit their experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import known
from ..metrics import DELTA, METRICS, main_metric

if TYPE_CHECKING:
    from . import Experiment, Params, Table


def check(params: Params, where: str, table: Table) -> None:
    """Raise ValueError, one sentence, for the first fault of a table."""
    for scale in params.scales.values():
        known(table.dataset, scale.data, f"{where}.dataset", f"dataset at scale {scale.name}")
    for name in table.scales or ():
        known(name, params.scales, f"{where}.scales", "scale")
    source = params.datasets.get(table.dataset)
    if source is None or source.cost_input is None:
        raise ValueError(f"datasets.{table.dataset}.cost_input is missing: {where} shows costs at that size")
    for metric in table.metrics:
        known(metric, METRICS, f"{where}.metrics", "metric")
    _single(params, where, table)
    if table.epoch == "best" and (fault := not_logged(table)):
        raise ValueError(f"{where}.metrics: {fault}")
    for row in table.rows:
        dataset = params.experiments[row.experiment].dataset if row.experiment else table.dataset
        if dataset != table.dataset:
            raise ValueError(
                f"{where}.rows.{row.id}: '{row.experiment}' is on {dataset}, not on {table.dataset}"
            )


def _single(params: Params, where: str, table: Table) -> None:
    """Check `single`: one task each, trained like the table's multi-task rows (for delta_mtl)."""
    multitask = [params.experiments[name] for name in table.experiments if name in params.experiments]
    multitask = [row for row in multitask if len(row.tasks) > 1]
    for task, name in table.single.items():
        at = f"{where}.single.{task}"
        known(name, params.experiments, at, "experiment")
        alone = params.experiments[name]
        if alone.tasks != (task,) or alone.dataset != table.dataset:
            raise ValueError(
                f"{at}: '{name}' does {' and '.join(alone.tasks)} on {alone.dataset}: name an experiment of "
                f"{task} alone on {table.dataset}"
            )
        if alone.dejavu is not None:
            raise ValueError(f"{at}: '{name}' is a DejaVu row: name the plain one")
        if multitask and not any(_alike(alone, row) for row in multitask):
            raise ValueError(
                f"{at}: '{name}' has another network or recipe than all rows of several tasks, "
                f"'{multitask[0].network}' and '{multitask[0].recipe}' for one"
            )
    if DELTA not in table.metrics:
        return
    needed = dict.fromkeys(task for row in multitask for task in row.tasks)
    for other in needed:
        if other not in table.single:
            raise ValueError(f"{where}.single.{other} is missing: {DELTA} compares with learning it alone")
    if not needed:
        raise ValueError(f"{where}.metrics: {DELTA} is of rows of several tasks, and there is none")


def _alike(alone: Experiment, row: Experiment) -> bool:
    return (alone.network, alone.recipe, alone.train) == (row.network, row.recipe, row.train)


def not_logged(table: Table) -> str | None:
    """Return why the logs lack a metric of a table of the best epoch, or None if they have all."""
    for metric in table.metrics:
        if metric != DELTA and metric != main_metric(METRICS[metric].task):
            return (
                f"the logs, which 'epoch: best' reads, have no {metric}, but "
                f"{main_metric(METRICS[metric].task)} of that task"
            )
    return None
