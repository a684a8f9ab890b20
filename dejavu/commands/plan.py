"""`dejavu plan [ROW ...]`: steps, work, memory, disk and hours of trainings, before anyone spends them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from .common import add_configuration, add_rows, read_configuration

if TYPE_CHECKING:
    from ..config import Params
    from ..planning.plan import Planner, RowPlan, Speeds

# Where nothing was measured: of a GPU of the last years in bfloat16, and of one core, on which a HRNet of
# smoke scale came to 0.0043 and a SegNet to 0.039.
GPU_TFLOPS, CPU_TFLOPS = 40.0, 0.004
STEP_SECONDS = 0.05  # of each step beside its operations: small networks wait for their thousands of kernels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the rows to plan, and from what speed."""
    add_configuration(parser)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="time real steps of every row on the device at hand first, kept in results/SCALE/speed.json",
    )
    parser.add_argument(
        "--tflops", type=_rate, metavar="X", help="plan with this rate, in 1e12 operations a second"
    )
    parser.add_argument(
        "--resources",
        action="store_true",
        help="count all rows of all scales into slurm/resources.json: what cluster jobs ask for",
    )
    add_rows(parser)


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


def run(args: argparse.Namespace) -> None:
    """Run the command. Raises DejavuError where `--resources` comes with what it has no use for."""
    params, scale = read_configuration(args)
    if not args.resources:
        print_plan(params, args.names, scale, args.measure, args.tflops, args.json)
        return
    for option in ("names", "scale", "measure", "json"):
        if getattr(args, option):
            shown = "ROW" if option == "names" else f"--{option}"
            raise DejavuError(f"dejavu plan --resources counts every row of every scale: leave {shown} out")
    count_resources(params, args.tflops)


def print_plan(
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
    from ..planning.text import as_dict, text
    from ..reports.costs import chosen

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


def count_resources(params: Params, tflops: float | None = None) -> None:
    """Count every row of every scale into slurm/resources.json, from which cluster jobs ask for resources.

    Hours are those that were measured on a GPU at the scale (`--measure`), else the rate that is given, else
    a cautious one; on processors, where the small scales are trained, always such a rate.
    """
    from ..compute.skip_compiler import leave_compiler_out
    from ..planning import resources as planning
    from ..system.files import write_text

    leave_compiler_out()
    from ..planning.plan import Planner
    from ..planning.text import disks

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
