"""`dejavu plan [ROW ...]`: steps, operations, memory, disk and hours of trainings before they start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import DejavuError
from .common import add_configuration, add_rows, print_json, read_configuration
from .parser import number

if TYPE_CHECKING:
    from ..config import Params
    from ..planning.plan import Planner, RowPlan, Speeds
    from ..planning.resources import Row

GPU_TFLOPS = 40.0  # assumed rate of a recent GPU in bfloat16, if nothing was measured
STEP_SECONDS = 0.05  # overhead of each step: the start of thousands of small kernels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the rows to plan, and the options for the speed."""
    add_configuration(parser)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="time real steps of every row on the device at hand first, kept in results/SCALE/speed.json",
    )
    parser.add_argument(
        "--tflops",
        type=number(0, ends="()"),
        metavar="X",
        help="plan with this rate, in 1e12 operations a second",
    )
    parser.add_argument(
        "--resources",
        action="store_true",
        help="count the rows of all scales on GPUs into slurm/resources.csv: what cluster jobs request",
    )
    parser.add_argument(
        "--power",
        action="store_true",
        help="say how many seeds intervals of a given width take, from the spread of finished seeds; rows: "
        "those of the claims",
    )
    parser.add_argument(
        "--half-width",
        type=number(0, 100, ends="(]"),
        metavar="X",
        help="of --power: half the width of a 95 %% interval, in percent of the compared row's mean "
        "(delta_mtl: points); default: 0.5",
    )
    add_rows(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command. Raises DejavuError if `--resources` or `--power` has options of the other kinds."""
    params, scale = read_configuration(args)
    if args.power:
        for option in ("measure", "tflops", "resources"):
            if getattr(args, option):
                raise DejavuError(f"dejavu plan --power reads what was trained: leave --{option} out")
        print_power(params, args.names, scale, args.half_width, args.json)
        return
    if args.half_width is not None:
        raise DejavuError("dejavu plan --half-width is an option of --power: add --power")
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
    """Print the costs of rows, experiments or networks, or of all rows that a scale runs.

    Args:
        measure: first time real steps of each row on the current device, and store the times in
            results/<scale>/speed.json for later plans.
        tflops: a rate to plan with instead of measurements, in 1e12 operations a second.
    """
    from ..planning.plan import Planner
    from ..planning.text import as_dict, text
    from ..reports.costs import chosen

    params = params if names else params.at(scale)
    planner = Planner(params, scale)
    experiments, faults = _countable(planner, [experiment for experiment, _ in chosen(params, names)])
    if measure:
        _measure(planner, experiments)
    speeds = _speeds(planner, experiments, tflops)
    rows = {experiment: planner.row(experiment, speeds) for experiment in experiments}
    if as_json:
        print_json(as_dict(planner, rows, speeds))
    else:
        print(text(planner, rows, speeds))
    if faults:
        raise DejavuError(
            f"{len(faults)} of {len(faults) + len(rows)} rows are not in this plan: {faults[0]}"
        )


def print_power(
    params: Params, names: Sequence[str], scale: str, percent: float | None = None, as_json: bool = False
) -> None:
    """Print how many seeds an interval of `percent` takes, of all claims or of the named rows."""
    from ..planning import power
    from ..reports.costs import chosen

    experiments = list(dict.fromkeys(experiment for experiment, _ in chosen(params, names))) if names else []
    planned = power.plan(params, scale, experiments, power.PERCENT if percent is None else percent)
    if as_json:
        print_json(power.as_dict(planned))
    else:
        print(power.text(planned))


def count_resources(params: Params, tflops: float | None = None) -> None:
    """Count every row of the scales on GPUs into slurm/resources.csv, the requests of cluster jobs.

    Hours come from measurements at the scale (`--measure`), or else from the given rate, or else from a
    cautious rate. Scales on CPUs are left out: all their jobs request the same.
    """
    from ..planning.plan import Planner
    from ..planning.resources import COUNTED, READ, Counted, Preparation, csv_text, read
    from ..planning.text import disks
    from ..system.files import write_text

    on_cpu = read().cluster.cpu_scales
    trainings: dict[tuple[str, str], Row] = {}
    preparations: dict[tuple[str, str], Preparation] = {}
    rates: dict[str, str] = {}
    left_out: list[DejavuError] = []
    for scale in [name for name in params.scales if name not in on_cpu]:
        planner = Planner(params, scale)
        experiments, faults = _countable(planner, list(params.at(scale).experiments))
        left_out += faults
        speeds = _assumed(scale, tflops)
        rates[scale] = speeds.device
        rows = [planner.row(experiment, speeds) for experiment in experiments]
        for dataset, size in disks(planner, rows).items():
            if size is not None:
                preparations[scale, dataset] = Preparation(minutes=_three_digits(size / READ / 60))
        trainings |= {(scale, row.run.experiment): _needs(row) for row in rows if row.hours is not None}
        print(f"{scale}: {len(rows)} rows, {speeds.device}", file=sys.stderr, flush=True)
    write_text(COUNTED, csv_text(Counted(trainings, preparations, rates)))
    if left_out:
        raise DejavuError(
            f"{len(left_out)} rows are not in {COUNTED}, and their jobs request the default: {left_out[0]}"
        )


def _assumed(scale: str, tflops: float | None) -> Speeds:
    from ..planning import speed
    from ..planning.plan import Speeds, choose

    measured = choose(speed.read_speeds(scale), "")
    if tflops is None and measured is not None and measured.gpu:
        return measured
    rate = tflops or GPU_TFLOPS
    return Speeds(f"{rate:g} TFLOP/s, {'given by hand' if tflops else 'assumed'}", rate=rate * 1e12)


def _needs(row: RowPlan) -> Row:
    """Return the numbers from which the resources of a training are computed."""
    from ..planning.resources import Row

    work = row.work
    assert row.hours is not None and row.steps is not None and row.step_time is not None
    minutes = row.hours * 60
    if row.step_time.kind == "given":
        minutes += row.steps * row.seeds * STEP_SECONDS / 60
    return Row(
        minutes=_three_digits(minutes),
        model_mb=_three_digits((work.memory - work.saved) / 1e6),
        batch_mb=_three_digits(work.saved / 1e6),
    )


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _countable(planner: Planner, experiments: Sequence[str]) -> tuple[list[str], list[DejavuError]]:
    """Return each experiment once, and the errors of those that cannot be counted. Raises if none can be."""
    countable, faults = [], []
    for experiment in dict.fromkeys(experiments):
        try:
            planner.work(planner.params.run(experiment, planner.scale))
            countable.append(experiment)
        except DejavuError as error:
            faults.append(error)
    if not countable and faults:
        raise faults[0]
    return countable, faults


def _measure(planner: Planner, experiments: Sequence[str]) -> None:
    """Time each row that differs from the others, and keep the speeds."""
    from ..planning import speed

    done: dict[str, str] = {}
    for experiment in experiments:
        run = planner.params.run(experiment, planner.scale)
        key = planner.key(run)
        if key in done:
            continue
        done[key] = experiment
        try:
            timed = speed.time_row(run, planner.meaning(run), key)
        except DejavuError as error:
            print(f"not timed: {error}", file=sys.stderr, flush=True)
            continue
        speed.keep(planner.scale, timed)
        print(
            f"{experiment}: {timed.seconds:.3g} s a step of {timed.batch} images on {timed.device}, "
            f"{timed.rate / 1e12:.3g} TFLOP/s in {timed.precision}",
            file=sys.stderr,
            flush=True,
        )


def _speeds(planner: Planner, experiments: Sequence[str], tflops: float | None) -> Speeds:
    """Return the given rate, or else measured speeds, or else a probe of the current device."""
    from ..planning import speed
    from ..planning.plan import Speeds, choose

    if tflops is not None:
        return Speeds(f"{tflops:g} TFLOP/s, given by hand", rate=tflops * 1e12)
    here = speed.device_name()
    measured = choose(speed.read_speeds(planner.scale), here)
    if measured is not None:
        return measured
    print(
        f"nothing was measured at scale {planner.scale}: timing a few steps here", file=sys.stderr, flush=True
    )
    runs = []
    for experiment in experiments:
        run = planner.params.run(experiment, planner.scale)
        work = planner.work(run)
        runs.append((run, planner.meaning(run), work.flops // work.batch))
    return Speeds(here, (speed.probe(runs),))
