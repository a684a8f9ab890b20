"""Plan as text and as JSON: rows for each table of params.yaml, and the meaning of the columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from ..config import Params
from ..reports.costs import aligned
from . import data
from .plan import Planner, RowPlan, Speeds
from .speed import as_dict as speed_as_dict

HEADS = (
    *("row", "seeds", "steps", "images", "GMACs", "PFLOP", "params (M)", "memory (GB)", "disk (GB)"),
    *("hours", "hours from"),
)
WIDTH = 118  # characters of a line below the table


def groups(params: Params, rows: dict[str, RowPlan]) -> list[tuple[str, list[RowPlan]]]:
    """Return the planned rows of each table under its name, and those in no table."""
    named, listed = [], set()
    for name, table in params.tables.items():
        planned = [rows[experiment] for experiment in table.experiments if experiment in rows]
        if planned:
            named.append((name, planned))
            listed |= set(table.experiments)
    rest = [row for name, row in rows.items() if name not in listed]
    return [*named, *([("experiments of no table", rest)] if rest else [])]


def disks(planner: Planner, rows: Sequence[RowPlan]) -> dict[str, int | None]:
    """Return the bytes of the prepared data of each dataset of the rows."""
    datasets = dict.fromkeys(row.run.dataset for row in rows)
    return {name: data.disk(planner.params, name, planner.scale) for name in datasets}


def as_dict(planner: Planner, rows: dict[str, RowPlan], speeds: Speeds) -> dict[str, Any]:
    """Return the whole plan for JSON; sizes in bytes, hours of all seeds."""
    return {
        "scale": planner.scale,
        "device": speeds.device,
        "measurements": [speed_as_dict(speed) for speed in speeds.measured],
        "rows": [row.as_dict() for row in rows.values()],
        "tables": {name: _sums(planned) for name, planned in groups(planner.params, rows)},
        "prepared_data": disks(planner, list(rows.values())),
        "total": _sums(list(rows.values())),
    }


def _sums(rows: Sequence[RowPlan]) -> dict[str, Any]:
    """Return sums over the rows whose steps are known; `unknown` lists the others."""
    return {
        "rows": len(rows),
        "trainings": sum(row.seeds for row in rows),
        "flops": sum(row.flops or 0 for row in rows),
        "hours": sum(row.hours or 0.0 for row in rows),
        "disk": sum(row.disk for row in rows),
        "memory": max(row.memory for row in rows),
        "unknown": [row.run.experiment for row in rows if row.steps is None],
    }


def text(planner: Planner, rows: dict[str, RowPlan], speeds: Speeds) -> str:
    """Return the rows of each table of params.yaml, sums, and the meaning of the columns."""
    tables = groups(planner.params, rows)
    cells: list[list[str]] = [list(HEADS)]
    for name, planned in tables:
        cells.append([f"{name}:", *[""] * (len(HEADS) - 1)])
        cells += [_line(row) for row in planned]
        cells.append(_sum_line("  sum", planned))
    every = list(rows.values())
    cells.append(_sum_line("total", every))
    shown = aligned(cells).splitlines()
    hours = "GPU-hours" if speeds.gpu else "hours"
    lines = [f"Scale {planner.scale}: {hours} on {speeds.device}.", "", *shown, ""]
    for dataset, size in disks(planner, every).items():
        known = "not known before it is prepared" if size is None else f"{_giga(size)} GB"
        lines.append(f"Prepared data of {dataset}: {known}, once for all rows.")
    shared = sum(len(planned) for _, planned in tables) > len(every)
    lines += [textwrap.fill(line, WIDTH) for line in _legend(every, speeds, shared)]
    return "\n".join(lines)


def _line(row: RowPlan) -> list[str]:
    memory = f"{_giga(row.memory)}/{_giga(row.memory_half)}"
    return [
        f"  {row.run.experiment}",
        str(row.seeds),
        "?" if row.steps is None else f"{row.steps:,}",
        "?" if row.images is None else f"{row.images:,}",
        f"{row.gmacs:.1f}",
        "?" if row.flops is None else _short(row.flops / 1e15),
        f"{row.work.deployed / 1e6:.2f}",
        memory + ("" if row.work.loss else "+"),
        _giga(row.disk),
        "?" if row.hours is None else _short(row.hours),
        "" if row.step_time is None else _hours_from(row),
    ]


def _sum_line(name: str, rows: Sequence[RowPlan]) -> list[str]:
    sums = _sums(rows)
    more = "+" if sums["unknown"] else ""
    return [
        *(name, str(sums["trainings"]), "", "", "", f"{_short(sums['flops'] / 1e15)}{more}", ""),
        *(f"<={_giga(sums['memory'])}", _giga(sums["disk"]), _short(sums["hours"]) + more, ""),
    ]


def _hours_from(row: RowPlan) -> str:
    """Describe the source of a row's hours."""
    assert row.step_time is not None
    timed = row.step_time.of
    kinds = {
        "measured": "its own steps" if timed == row.run.experiment else f"steps of {timed}",
        "similar": f"rate of {timed}",
        "probe": f"rate of a probe ({timed})",
        "given": "rate given",
    }
    return kinds[row.step_time.kind]


def _legend(rows: Sequence[RowPlan], speeds: Speeds, shared: bool) -> list[str]:
    """Return sentences that explain the columns."""
    sentences = [
        "Seeds of a row are trained one after the other; images: those that one seed sees.",
        "GMACs: the forward pass of the network in training, over one crop.",
        "PFLOP: 1e15 operations of all steps of all seeds, forward and backward, counted with losses, CRM "
        "and all that DejaVu or XTC adds, and with the backward passes that GradNorm and MGDA have of their "
        "own.",
        "Memory: weights, gradients, optimizer and what the forward pass keeps, at the recipe's batch and "
        "crop, in float32 / if all that is kept had two bytes, the least under bfloat16. Workspace is on "
        "top.",
        "Disk: weights of all seeds, twice (published, and in runs/), and a checkpoint to resume from.",
        f"Hours: all steps of all seeds, on {speeds.device}; validation and evaluation are on top.",
    ]
    for speed in speeds.measured:
        if any(row.step_time and row.step_time.of == speed.experiment for row in rows):
            sentences.append(
                f"Timed: {speed.experiment}, {speed.seconds:.3g} s a step of {speed.batch} x "
                f"{speed.crop[0]}x{speed.crop[1]}, {speed.rate / 1e12:.3g} TFLOP/s in {speed.precision}, "
                f"torch {speed.torch}, on {speed.device}."
            )
    shared_by = {row.run.gpus for row in rows if row.run.gpus > 1}
    if shared_by:
        sentences.append(
            f"Memory is of one GPU, of the {' or '.join(map(str, sorted(shared_by)))} that share a batch "
            "where params.yaml says so; hours are those of all GPUs together."
        )
    if any(not row.work.loss for row in rows):
        sentences.append("+ without the task's loss, which matches values and has none to match here.")
    if any(row.steps is None for row in rows):
        sentences.append("? the number of images is not known before the data are prepared.")
    if shared:
        sentences.append("The total counts rows that stand in several tables once.")
    return sentences


def _giga(size: float) -> str:
    """Return bytes in units of 1e9.

    >>> _giga(123456789), _giga(45.6e9)
    ('0.12', '46')
    """
    return _short(size / 1e9)


def _short(value: float) -> str:
    """Return a number with two significant digits, or a whole number from 10 on.

    >>> _short(0.0341), _short(5.61), _short(1234.5), _short(0)
    ('0.034', '5.6', '1,234', '0')
    """
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
