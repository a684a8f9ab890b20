"""`dejavu train EXPERIMENT`: every seed of a row, resumed where it was killed."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Params, Run
from ..config.paths import Paths, drop_other_seeds
from ..system.extras import extra
from ..system.files import atomic
from ..system.locks import locked
from ..system.signals import Request, Stopped, listening

if TYPE_CHECKING:
    from ..training.checkpoint import RunFolder


def run(
    params: Params,
    name: str,
    scale: str,
    seed: int | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
) -> None:
    """Train the experiment's seeds (or the one given) and publish their weights and logs.

    A seed that was finished earlier by the same configuration, data and code is published again without
    training; a seed that was killed goes on from its checkpoint.

    Raises Stopped when a signal asked for it (system/signals.py), whatever this was about.
    """
    run = params.run(name, scale)
    chosen_seeds = run.chosen(seed)
    with listening(patient=run.gpus > 1) as request:
        from ..compute.skip_compiler import leave_compiler_out
        from ..datasets.prepared.store import read_report

        paths = Paths(scale)
        report = read_report(paths.prepared(run.dataset), run.data)
        leave_compiler_out()
        from ..compute import processes
        from ..training.checkpoint import run_folder
        from ..training.measured import keep

        with processes.joined(run.gpus):
            further = _train(run, chosen_seeds, report, request, checkpoint_seconds, tensorboard)
            if not processes.is_lead():
                return
        if seed is None:
            drop_other_seeds(paths.weights(name, 0).parent, run.seeds)
            drop_other_seeds(paths.log(name, 0).parent, run.seeds)
        for chosen in chosen_seeds:
            with locked(run_folder(run, chosen, report).path / ".lock"):
                try:
                    further |= keep(params, run, chosen, report)
                except Stopped as asked:  # one measurement that takes longer than a job would ask for ever
                    asked.again = further
                    raise


def _train(
    run: Run,
    seeds: Sequence[int],
    report: dict[str, Any],
    request: Request,
    checkpoint_seconds: float,
    tensorboard: bool,
) -> bool:
    """Train and publish seeds; all processes that train together call it. Whether any was to be trained."""
    from ..compute import processes
    from ..training.batches import read_data
    from ..training.checkpoint import run_folder
    from ..training.loop import train

    paths, lead = Paths(run.scale), processes.is_lead()
    data = read_data(paths.prepared(run.dataset), report, run.tasks)
    further = False
    for seed in seeds:
        asked = processes.agree(request.number)
        if asked is not None:
            raise Stopped(asked, f"before it trained seed {seed}")
        folder = run_folder(run, seed, report)
        # An orphan of a killed engine may still be at it: it would write the same files.
        with locked(folder.path / ".lock") if lead else nullcontext():
            finished = processes.from_lead(lead and folder.finished())
            further |= not finished
            with watcher(folder.path / "tensorboard" if tensorboard and lead else None) as watch:
                if not finished:
                    train(run, seed, data, folder, checkpoint_seconds, watch)
                elif lead:
                    replay(folder.log, watch)
            if lead:
                _publish(folder, paths, seed, run)
                done = "was finished earlier" if finished else "trained"
                print(f"{run.experiment} seed {seed} at scale {run.scale}: {done}", flush=True)
    return further


def replay(log: Path, watch: Callable[[dict[str, Any]], None]) -> None:
    """Show `watch` the lines of a finished run's log."""
    with open(log, newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            values = {key: float(value) for key, value in line.items() if value}
            watch(values | {"step": int(values["step"])})


@contextmanager
def watcher(folder: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A receiver of log lines that draws them in TensorBoard, or does nothing without a folder."""
    if folder is None:
        yield lambda line: None
        return
    with extra("tensorboard", "--tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    shutil.rmtree(folder, ignore_errors=True)  # a resumed run tells its earlier lines again
    with SummaryWriter(str(folder)) as writer:

        def watch(line: dict[str, Any]) -> None:
            for key, value in line.items():
                if key not in ("step", "epoch") and value is not None:
                    writer.add_scalar(key, value, line["step"])

        yield watch


def _publish(folder: RunFolder, paths: Paths, seed: int, run: Run) -> None:
    """Copy what a finished run made to where the engines look for it."""
    files = {folder.weights: paths.weights, folder.log: paths.log}
    if run.dejavu is not None:
        files[folder.regenerator] = paths.regenerator
    for source, target in files.items():
        with atomic(target(run.experiment, seed)) as temporary:
            shutil.copyfile(source, temporary)
