"""`dejavu train EXPERIMENT`: train every seed of a row; a killed training resumes from its checkpoint."""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.extras import extra
from ..system.files import atomic
from ..system.locks import locked
from ..system.signals import Request, Stopped, listening
from .common import add_name, job
from .parser import number

if TYPE_CHECKING:
    from ..config import Params, Run
    from ..config.paths import Paths
    from ..training.checkpoint import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's name, a seed, and options that do not change the result."""
    add_name(parser, "experiment")
    parser.add_argument(
        "--seed",
        type=number(whole=True),
        metavar="N",
        help="train this seed only; default: all of the scale's",
    )
    parser.add_argument(
        "--checkpoint-seconds",
        type=number(0),
        default=60.0,
        metavar="N",
        help="how often to save what a killed run goes on from (default 60; no effect on the result)",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write runs/SCALE/EXPERIMENT/seed<N>/tensorboard"
    )


def run(args: argparse.Namespace) -> int | None:
    """Run the command, in more than one process if the experiment sets `gpus`.

    Returns the exit status of these processes; None if this process trained alone.
    """
    with job(args) as (params, scale):
        if (gpus := params.run(args.name, scale).gpus) > 1:
            from ..engines.launch import launch, wants_launch

            if wants_launch(gpus):
                return launch(args.line, gpus)
        train_experiment(params, args.name, scale, args.seed, args.checkpoint_seconds, args.tensorboard)
    return None


def train_experiment(
    params: Params,
    name: str,
    scale: str,
    seed: int | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
) -> None:
    """Train the experiment's seeds (or the one given) and publish their weights and logs.

    A seed that was finished earlier by the same configuration, data and code is published again without
    training; a killed seed resumes from its checkpoint.

    Raises Stopped after a signal (system/signals.py), at any point.
    """
    from ..config.paths import Paths, drop_other_seeds

    run = params.run(name, scale)
    chosen_seeds = run.chosen(seed)
    with listening(patient=run.gpus > 1) as request:
        from ..compute.skip_compiler import leave_compiler_out
        from ..datasets.prepared.checks import check_depth
        from ..datasets.prepared.store import read_report

        paths = Paths(scale)
        report = read_report(paths.prepared(run.dataset), run.data)
        check_depth(report, run.protocol.depth)
        leave_compiler_out()
        from ..compute import processes
        from ..training.checkpoint import run_folder
        from ..training.measured import keep

        with processes.joined(run.gpus):
            further = _train(run, chosen_seeds, report, request, checkpoint_seconds, tensorboard)
            if not processes.is_main():
                return
        if seed is None:
            drop_other_seeds(paths.weights(name, 0).parent, run.seeds)
            drop_other_seeds(paths.log(name, 0).parent, run.seeds)
        for chosen in chosen_seeds:
            with locked(run_folder(run, chosen, report).path / ".lock"):
                try:
                    further |= keep(params, run, chosen, report)
                except Stopped as stopped:  # a measurement longer than a job would requeue for ever
                    stopped.again = further
                    raise


def _train(
    run: Run,
    seeds: Sequence[int],
    report: dict[str, Any],
    request: Request,
    checkpoint_seconds: float,
    tensorboard: bool,
) -> bool:
    """Train and publish seeds, in all processes of a training. Returns True if any seed was unfinished."""
    from ..compute import processes
    from ..config.paths import Paths
    from ..training.checkpoint import run_folder
    from ..training.data import read_data
    from ..training.loop import train

    paths, is_main = Paths(run.scale), processes.is_main()
    data = read_data(paths.prepared(run.dataset), report, run.tasks, run.reads_text)
    further = False
    for seed in seeds:
        signal = processes.agree(request.number)
        if signal is not None:
            raise Stopped(signal, f"before it trained seed {seed}")
        folder = run_folder(run, seed, report)
        # A process of a killed engine may still train here and write the same files.
        with locked(folder.path / ".lock") if is_main else nullcontext():
            finished = processes.from_main(is_main and folder.finished())
            further |= not finished
            with watcher(folder.path / "tensorboard" if tensorboard and is_main else None) as watch:
                if not finished:
                    train(run, seed, data, folder, checkpoint_seconds, watch)
                elif is_main:
                    replay(folder.log, watch)
            if is_main:
                _publish(folder, paths, seed, run)
                done = "was finished earlier" if finished else "trained"
                print(f"{run.experiment} seed {seed} at scale {run.scale}: {done}", flush=True)
    return further


def replay(log: Path, watch: Callable[[dict[str, Any]], None]) -> None:
    """Call `watch` with the lines of a finished run's log."""
    with open(log, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            values = {key: float(value) for key, value in line.items() if value}
            watch(values | {"step": int(values["step"])})


@contextmanager
def watcher(folder: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Provide a function that draws log lines in TensorBoard, or does nothing without a folder."""
    if folder is None:
        yield lambda line: None
        return
    with extra("tensorboard", "--tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    shutil.rmtree(folder, ignore_errors=True)  # a resumed run replays its earlier lines
    with SummaryWriter(str(folder)) as writer:

        def watch(line: dict[str, Any]) -> None:
            for key, value in line.items():
                if key not in ("step", "epoch") and value is not None:
                    writer.add_scalar(key, value, line["step"])

        yield watch


def _publish(folder: RunFolder, paths: Paths, seed: int, run: Run) -> None:
    """Copy the files of a finished run to the paths that the engines expect."""
    files = {folder.weights: paths.weights, folder.log: paths.log}
    if run.dejavu is not None:
        files[folder.regenerator] = paths.regenerator
    for source, target in files.items():
        with atomic(target(run.experiment, seed)) as temporary:
            shutil.copyfile(source, temporary)
