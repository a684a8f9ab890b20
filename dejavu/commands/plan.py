"""`dejavu plan [ROW ...]`: steps, work, memory, disk and hours of trainings, before anyone spends them."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config import Params
from ..errors import DejavuError
from .cost import aligned, chosen

if TYPE_CHECKING:
    from ..planning.plan import Planner, RowPlan, Speeds

HEADS = (
    *("row", "seeds", "steps", "images", "GMACs", "PFLOP", "params (M)", "memory (GB)", "disk (GB)"),
    *("hours", "hours from"),
)

# Where nothing was measured: of a GPU of the last years in bfloat16, and of one core, on which a HRNet of
# smoke scale came to 0.0043 and a SegNet to 0.039.
GPU_TFLOPS, CPU_TFLOPS = 40.0, 0.004
STEP_SECONDS = 0.05  # of each step beside its operations: small networks wait for their thousands of kernels

WIDTH = 118  # of the lines below the table


def run(
    params: Params,
    names: Sequence[str],
    scale: str,
    measure: bool = False,
    tflops: float | None = None,
    as_json: bool = False,
) -> None:
    """Print what rows, experiments or networks, or all rows of all tables, will take at a scale.

    Args:
        measure: time real steps of each first, on the device at hand, and keep that in
            results/<scale>/speed.json, from which later plans are made.
        tflops: a rate to plan with instead of measurements, in 1e12 operations a second.
    """
    from ..compute.skip_compiler import leave_compiler_out

    leave_compiler_out()
    from ..planning.plan import Planner

    planner = Planner(params, scale)
    experiments, faults = _countable(planner, [experiment for experiment, _ in chosen(params, names)])
    if measure:
        _measure(planner, experiments)
    speeds = _speeds(planner, experiments, tflops)
    rows = {experiment: planner.row(experiment, speeds) for experiment in experiments}
    print(json.dumps(as_dict(planner, rows, speeds), indent=1) if as_json else text(planner, rows, speeds))
    if faults:
        raise DejavuError(
            f"{len(faults)} of {len(faults) + len(rows)} rows are not in this plan: {faults[0]}"
        )


def resources(params: Params, tflops: float | None = None) -> None:
    """Count every row of every scale into slurm/resources.json, from which cluster jobs ask for resources.

    Hours are those that were measured on a GPU at the scale (`--measure`), else the rate that is given, else
    a cautious one; on processors, where the small scales are trained, always such a rate.
    """
    from ..compute.skip_compiler import leave_compiler_out
    from ..planning import resources as planning
    from ..system.files import write_text

    leave_compiler_out()
    from ..planning.plan import Planner

    on_cpu = planning.read().cluster.cpu_scales
    counted: dict[str, Any] = {"rates": {}, "data": {}, "rows": {}}
    left_out: list[DejavuError] = []
    for scale in params.scales:
        planner = Planner(params, scale)
        experiments, faults = _countable(planner, list(params.experiments))
        left_out += faults
        speeds = _assumed(scale, scale not in on_cpu, tflops)
        rows = [planner.row(experiment, speeds) for experiment in experiments]
        counted["rates"][scale] = speeds.device
        sizes = disks(planner, rows)
        counted["data"][scale] = {name: size for name, size in sizes.items() if size is not None}
        counted["rows"][scale] = {row.run.experiment: _asked(row) for row in rows if row.hours is not None}
        print(f"{scale}: {len(counted['rows'][scale])} rows, {speeds.device}", file=sys.stderr, flush=True)
    write_text(planning.COUNTED, _lines(counted))
    if left_out:
        raise DejavuError(
            f"{len(left_out)} rows are not in {planning.COUNTED}, and their jobs ask for the default: "
            f"{left_out[0]}"
        )


def _assumed(scale: str, gpu: bool, tflops: float | None) -> Speeds:
    from ..planning import speed
    from ..planning.plan import Speeds, choose

    found = choose(speed.read_speeds(scale), "")
    if gpu and tflops is None and found is not None and found.gpu:
        return found
    rate = (tflops or GPU_TFLOPS) if gpu else CPU_TFLOPS
    return Speeds(f"{rate:g} TFLOP/s, {'given by hand' if gpu and tflops else 'assumed'}", rate=rate * 1e12)


def _asked(row: RowPlan) -> dict[str, float]:
    """What the resources of a training are worked out from, to three digits."""
    work = row.work
    assert row.hours is not None and row.steps is not None and row.basis is not None
    minutes = row.hours * 60
    if row.basis.kind == "given":
        minutes += row.steps * row.seeds * STEP_SECONDS / 60
    values = {"minutes": minutes, "model_mb": (work.memory - work.saved) / 1e6, "batch_mb": work.saved / 1e6}
    return {key: float(f"{value:.3g}") for key, value in values.items()}


def _lines(counted: dict[str, Any]) -> str:
    """JSON with a line for each row, so that a difference shows which."""
    parts = [f' "rates": {json.dumps(counted["rates"])}', f' "data": {json.dumps(counted["data"])}']
    scales = []
    for scale, rows in counted["rows"].items():
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        scales.append(f"  {json.dumps(scale)}: {{\n{lines}\n  }}")
    parts.append(' "rows": {\n' + ",\n".join(scales) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _countable(planner: Planner, experiments: Sequence[str]) -> tuple[list[str], list[DejavuError]]:
    """Each experiment once, and why some cannot be counted. Raises DejavuError where none can."""
    found, faults = [], []
    for experiment in dict.fromkeys(experiments):
        try:
            planner.work(planner.params.run(experiment, planner.scale))
            found.append(experiment)
        except DejavuError as error:
            faults.append(error)
    if not found and faults:
        raise faults[0]
    return found, faults


def _measure(planner: Planner, experiments: Sequence[str]) -> None:
    """Time each row that differs from the others, and keep what was found."""
    from ..planning import speed

    done: dict[str, str] = {}
    for experiment in experiments:
        run = planner.params.run(experiment, planner.scale)
        key = planner.key(run)
        if key in done:
            continue
        done[key] = experiment
        try:
            found = speed.time_row(run, planner.meaning(run), key)
        except DejavuError as error:
            print(f"not timed: {error}", file=sys.stderr, flush=True)
            continue
        speed.keep(planner.scale, found)
        print(
            f"{experiment}: {found.seconds:.3g} s a step of {found.batch} images on {found.device}, "
            f"{found.rate / 1e12:.3g} TFLOP/s in {found.precision}",
            file=sys.stderr,
            flush=True,
        )


def _speeds(planner: Planner, experiments: Sequence[str], tflops: float | None) -> Speeds:
    """The given rate, else what was measured, else a probe of the device at hand."""
    from ..planning import speed
    from ..planning.plan import Speeds, choose

    if tflops is not None:
        return Speeds(f"{tflops:g} TFLOP/s, given by hand", rate=tflops * 1e12)
    here = speed.device_name()
    found = choose(speed.read_speeds(planner.scale), here)
    if found is not None:
        return found
    print(
        f"nothing was measured at scale {planner.scale}: timing a few steps here", file=sys.stderr, flush=True
    )
    runs = []
    for experiment in experiments:
        run = planner.params.run(experiment, planner.scale)
        work = planner.work(run)
        runs.append((run, planner.meaning(run), work.flops // work.batch))
    return Speeds(here, (speed.probe(runs),))


def groups(params: Params, rows: dict[str, RowPlan]) -> list[tuple[str, list[RowPlan]]]:
    """The rows of each table that are planned, under its name, and what is in no table."""
    found, told = [], set()
    for name, table in params.tables.items():
        there = [rows[experiment] for experiment in table.experiments if experiment in rows]
        if there:
            found.append((name, there))
            told |= set(table.experiments)
    rest = [row for name, row in rows.items() if name not in told]
    return [*found, *([("experiments of no table", rest)] if rest else [])]


def disks(planner: Planner, rows: Sequence[RowPlan]) -> dict[str, int | None]:
    """Bytes of the prepared data of each dataset that the rows need."""
    from ..planning import data

    datasets = dict.fromkeys(row.run.dataset for row in rows)
    return {name: data.disk(planner.params, name, planner.scale) for name in datasets}


def as_dict(planner: Planner, rows: dict[str, RowPlan], speeds: Speeds) -> dict[str, Any]:
    """The whole plan for JSON; sizes in bytes, hours of all seeds."""
    from ..planning.speed import as_dict as measurement

    return {
        "scale": planner.scale,
        "device": speeds.device,
        "measurements": [measurement(speed) for speed in speeds.measured],
        "rows": [row.as_dict() for row in rows.values()],
        "tables": {name: _sums(there) for name, there in groups(planner.params, rows)},
        "prepared_data": disks(planner, list(rows.values())),
        "total": _sums(list(rows.values())),
    }


def _sums(rows: Sequence[RowPlan]) -> dict[str, Any]:
    """Of what is known of the rows; `unknown` are those whose steps are not."""
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
    """A table of rows for each table of params.yaml, sums, and what the columns mean."""
    parts = groups(planner.params, rows)
    lines: list[list[str]] = [list(HEADS)]
    for name, there in parts:
        lines.append([f"{name}:", *[""] * (len(HEADS) - 1)])
        lines += [_line(row) for row in there]
        lines.append(_sum_line("  sum", there))
    every = list(rows.values())
    lines.append(_sum_line("total", every))
    shown = aligned(lines).splitlines()
    hours = "GPU-hours" if speeds.gpu else "hours"
    told = [f"Scale {planner.scale}: {hours} on {speeds.device}.", "", *shown, ""]
    for dataset, size in disks(planner, every).items():
        known = "not known before it is prepared" if size is None else f"{_giga(size)} GB"
        told.append(f"Prepared data of {dataset}: {known}, once for all rows.")
    shared = sum(len(there) for _, there in parts) > len(every)
    told += [textwrap.fill(line, WIDTH) for line in _legend(every, speeds, shared)]
    return "\n".join(told)


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
        "" if row.basis is None else _basis(row),
    ]


def _sum_line(name: str, rows: Sequence[RowPlan]) -> list[str]:
    sums = _sums(rows)
    more = "+" if sums["unknown"] else ""
    return [
        *(name, str(sums["trainings"]), "", "", "", f"{_short(sums['flops'] / 1e15)}{more}", ""),
        *(f"<={_giga(sums['memory'])}", _giga(sums["disk"]), _short(sums["hours"]) + more, ""),
    ]


def _basis(row: RowPlan) -> str:
    """Where a row's hours come from."""
    assert row.basis is not None
    kinds = {
        "measured": "its own steps" if row.basis.of == row.run.experiment else f"steps of {row.basis.of}",
        "similar": f"rate of {row.basis.of}",
        "probe": f"rate of a probe ({row.basis.of})",
        "given": "rate given",
    }
    return kinds[row.basis.kind]


def _legend(rows: Sequence[RowPlan], speeds: Speeds, shared: bool) -> list[str]:
    """What the columns are, as sentences."""
    told = [
        "Seeds of a row are trained one after the other; images: those that one seed sees.",
        "GMACs: the forward pass of the network in training, over one crop.",
        "PFLOP: 1e15 operations of all steps of all seeds, forward and backward, counted with losses, CRM "
        "and all that DejaVu or XTC adds, and with the backward passes that GradNorm and MGDA have of their "
        "own.",
        "Memory: weights, gradients, optimiser and what the forward pass keeps, at the recipe's batch and "
        "crop, in float32 / if all that is kept had two bytes, the least under bfloat16. Workspace is on "
        "top.",
        "Disk: weights of all seeds, twice (published, and in runs/), and a checkpoint to resume from.",
        f"Hours: all steps of all seeds, on {speeds.device}; validation and evaluation are on top.",
    ]
    for speed in speeds.measured:
        if any(row.basis and row.basis.of == speed.experiment for row in rows):
            told.append(
                f"Timed: {speed.experiment}, {speed.seconds:.3g} s a step of {speed.batch} x "
                f"{speed.crop[0]}x{speed.crop[1]}, {speed.rate / 1e12:.3g} TFLOP/s in {speed.precision}, "
                f"torch {speed.torch}, on {speed.device}."
            )
    shared_by = {row.run.gpus for row in rows if row.run.gpus > 1}
    if shared_by:
        told.append(
            f"Memory is of one GPU, of the {' or '.join(map(str, sorted(shared_by)))} that share a batch "
            "where params.yaml says so; hours are those of all GPUs together."
        )
    if any(not row.work.loss for row in rows):
        told.append("+ without the task's loss, which matches values and has none to match here.")
    if any(row.steps is None for row in rows):
        told.append("? the number of images is not known before the data are prepared.")
    if shared:
        told.append("The total counts rows that stand in several tables once.")
    return told


def _giga(size: float) -> str:
    """Bytes in 1e9.

    >>> _giga(123456789), _giga(45.6e9)
    ('0.12', '46')
    """
    return _short(size / 1e9)


def _short(value: float) -> str:
    """A number at the digits worth printing.

    >>> _short(0.0341), _short(5.61), _short(1234.5), _short(0)
    ('0.034', '5.6', '1,234', '0')
    """
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
