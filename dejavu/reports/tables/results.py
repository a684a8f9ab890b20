"""Metrics of one experiment over the seeds of one scale, read from the files of `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config import FORMAT, Run
from ...config.paths import Paths
from ...errors import DejavuError, is_number, nearest, number_fault
from ...system.files import read_json
from .names import of_tasks


@dataclass(frozen=True)
class Result:
    """Numbers of one experiment.

    `metrics[metric][seed]` is in the metric's own unit, for metrics of the experiment's tasks only. `gmacs`
    and `params_m` (millions) are those of the deployed network at full size. `split` is the measured split,
    and `remarks` are sentences about its data.
    """

    metrics: dict[str, dict[int, float]]
    seeds: tuple[int, ...]
    gmacs: float
    params_m: float
    split: str
    remarks: tuple[str, ...] = ()


def measured_seeds(paths: Paths, run: Run) -> tuple[int, ...]:
    """Return the seeds of the run that have metrics."""
    return tuple(seed for seed in run.seeds if paths.metrics(run.experiment, seed).exists())


def read_result(
    paths: Paths,
    run: Run,
    metrics: tuple[str, ...],
    size: tuple[int, int],
    seeds: tuple[int, ...] | None = None,
) -> Result:
    """Read the metrics that belong to the run's tasks, for the run's seeds or the given seeds.

    `size` is the (height, width) at which the table counts the cost. Raises DejavuError that names the
    file when one is missing, belongs to something else, or was counted at another size.
    """
    seeds = run.seeds if seeds is None else seeds
    command = f"make it with `dejavu evaluate {run.experiment} --scale {run.scale}`"
    values: dict[str, dict[int, float]] = {metric: {} for metric in of_tasks(metrics, *run.tasks)}
    if not values:
        raise DejavuError(
            f"experiment '{run.experiment}' has the task '{', '.join(run.tasks)}', which none of the table's "
            f"metrics ({', '.join(metrics)}) measures"
        )
    constants: set[tuple[float, float, str]] = set()
    remarks: dict[str, None] = {}
    for seed in seeds:
        path = paths.metrics(run.experiment, seed)
        content = read_json(path, command)
        _check_origin(path, content, run, seed, command)
        for metric in values:
            values[metric][seed] = _number(path, content, ("metrics", metric))
        cost = content.get("cost")
        counted = cost.get("input") if isinstance(cost, dict) else None
        if counted != list(size):
            raise DejavuError(f"{path}: the cost was counted at {counted}, the table's input is {list(size)}")
        gmacs, params_m = (_number(path, content, ("cost", key)) for key in ("gmacs", "params_m"))
        constants.add((gmacs, params_m, str(content.get("split", ""))))
        remarks |= dict.fromkeys(map(str, content.get("remarks", ())))
    if len(constants) > 1:
        raise DejavuError(
            f"the seeds of '{run.experiment}' at scale {run.scale} differ in cost or split "
            f"({sorted(constants)}): {command} again"
        )
    ((gmacs, params_m, split),) = constants
    return Result(values, seeds, gmacs, params_m, split, tuple(remarks))


def read_classes(paths: Paths, run: Run, seeds: tuple[int, ...]) -> dict[int, dict[str, float | None]]:
    """Read the IoU of every class in percent, by seed; None if truth and prediction lack the class.

    Raises DejavuError that names the file when one is missing, belongs to something else or lacks them.
    """
    command = f"make it with `dejavu evaluate {run.experiment} --scale {run.scale}`"
    by_seed: dict[int, dict[str, float | None]] = {}
    for seed in seeds:
        path = paths.metrics(run.experiment, seed)
        content = read_json(path, command)
        _check_origin(path, content, run, seed, command)
        values = (content.get("metrics") or {}).get("iou")
        if not isinstance(values, dict) or not values:
            raise DejavuError(f"{path}: metrics.iou is missing, the IoU of every class; {command} again")
        kinds = [value for value in values.values() if value is not None]
        if not all(map(is_number, kinds)):
            raise DejavuError(f"{path}: metrics.iou holds what is no number; {command} again")
        by_seed[seed] = values
    return by_seed


def _check_origin(path: Path, content: Any, run: Run, seed: int, command: str) -> None:
    if not isinstance(content, dict):
        raise DejavuError(f"{path} holds no metrics: {command}")
    if content.get("format") != FORMAT:
        raise DejavuError(f"{path} has the format {content.get('format', 1)!r}, not {FORMAT}: {command}")
    expected = {"experiment": run.experiment, "scale": run.scale, "dataset": run.data.source, "seed": seed}
    for key, value in expected.items():
        if content.get(key) != value:
            raise DejavuError(f"{path}: {key} is {content.get(key)!r}, not {value!r}; {command}")
    made, requested = content.get("config"), run.as_dict()
    # Other seeds, or another address of the data, do not change this number.
    for key in sorted(requested.keys() - {"seeds", "source"}):
        if not isinstance(made, dict) or made.get(key) != requested[key]:
            raise DejavuError(f"{path}: was measured with another '{key}' than params.yaml has; {command}")


def _number(path: Path, content: dict[str, Any], keys: tuple[str, str]) -> float:
    section = content.get(keys[0])
    value = section.get(keys[1]) if isinstance(section, dict) else None
    if not is_number(value) or number_fault(value):
        known = nearest(keys[1], section) if isinstance(section, dict) else f"no '{keys[0]}' in it"
        raise DejavuError(f"{path}: {'.'.join(keys)} is {value!r}, not a finite number ({known})")
    return float(value)
