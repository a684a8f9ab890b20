"""`dejavu predict EXPERIMENT`: predictions of trained networks for the evaluated split, as files.

The ground truth is written beside the predictions of each seed in the same format and size, so that an
official evaluation, or `dejavu score`, can read the folder. Nothing in the pipeline reads these files. Files
of images that are no longer in the split stay unchanged.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..tasks import describe
from . import score
from .common import add_name, job
from .parser import number

if TYPE_CHECKING:
    from ..config import Params, Run
    from ..datasets.prepared.store import Split
    from ..evaluation.files import Files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's name, a seed and the folder to write to."""
    add_name(parser, "experiment")
    parser.add_argument(
        "--seed", type=number(whole=True), metavar="N", help="of this seed only; default: all of the scale's"
    )
    parser.add_argument("--out", type=_as_folder, metavar="DIR", help="default: predictions/SCALE/EXPERIMENT")


def _as_folder(text: str) -> Path:
    path = Path(text)
    if not text or (path.exists() and not path.is_dir()):
        raise argparse.ArgumentTypeError(f"must be a folder, there or to be made, and '{text}' is none")
    return path


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    with job(args) as (params, scale):
        write_predictions(params, args.name, scale, args.seed, args.out)


def write_predictions(
    params: Params, name: str, scale: str, seed: int | None = None, out: Path | None = None
) -> None:
    """Write predictions of all trained seeds (or the one given) and the truth into `out`.

    `out` is `predictions/<scale>/<experiment>` if not given. With more than one task, each has its own
    folder. Raises DejavuError if weights or data are missing or do not fit.
    """
    from ..config.paths import Paths

    run = params.run(name, scale)
    seeds = run.chosen(seed)
    from ..datasets.prepared.store import open_split, read_report
    from ..evaluation.measure import truth
    from ..training.measured import training_of

    report = read_report(Paths(scale).prepared(run.dataset), run.data)
    for chosen in seeds:  # before anything is written
        weights = Paths(scale).weights(name, chosen)
        if not weights.is_file():
            raise DejavuError(f"{weights} is missing: run `dejavu train {name} --scale {scale}`")
        training_of(run, chosen, report)  # checks that the weights belong to the configuration
    split = open_split(Paths(scale).prepared(run.dataset), report["evaluate"])
    out = Paths(scale).predictions(name) if out is None else out
    truths = truth(run, split)
    _write(params, run, report, out, "truth", split.names, _rows(run, truths, len(split.names)))
    for chosen in seeds:
        predictions = _predictions(run, chosen, report, split)
        _write(params, run, report, out, f"seed{chosen}", split.names, predictions)
    for task in run.tasks:
        folder = _folder(run, task, out)
        check = score.command(task, folder / "truth", folder / f"seed{seeds[0]}", len(report["classes"]))
        print(f"{name} at scale {scale}: {check or f'written to {folder}'}")


def _rows(run: Run, truths: dict[str, Any], count: int) -> Any:
    """Return each image's ground truth by task."""
    return ({task: truths[task][number] for task in run.tasks} for number in range(count))


def _predictions(run: Run, seed: int, report: dict[str, Any], split: Split) -> Any:
    """Return each image's prediction by task."""
    from ..evaluation.measure import predicted

    by_task = len(run.tasks) > 1
    return (one if by_task else {run.tasks[0]: one} for one in predicted(run, seed, report, split))


def _write(
    params: Params, run: Run, report: dict[str, Any], out: Path, target: str, names: Sequence[str], rows: Any
) -> None:
    writers = {
        task: _files(params, run, report, _folder(run, task, out) / target, task, names) for task in run.tasks
    }
    for name, row in zip(names, rows, strict=True):
        for task, writer in writers.items():
            writer.put(name, row[task])
    for writer in writers.values():
        writer.close()


def _files(
    params: Params, run: Run, report: dict[str, Any], folder: Path, task: str, names: Sequence[str]
) -> Files:
    from ..evaluation.files import PanopticFiles, Pngs

    if describe(task).queries:
        return PanopticFiles(folder, _categories(params, run, report), names)
    return Pngs(folder, task, predicted=folder.name != "truth")


def _categories(params: Params, run: Run, report: dict[str, Any]) -> Sequence[Any]:
    """Return the dataset's own categories, with the ids of its official files."""
    from .. import datasets
    from ..datasets.formats.coco import Category

    dataset = datasets.reader(run.dataset, run.data.source, params.datasets[run.data.source])
    names, official = report["classes"], dataset.classes
    ids = official.ids if official.ids and list(official.names) == names else range(1, len(names) + 1)
    rows = zip(ids, names, report["things"], report["palette"], strict=True)
    return [Category(id_, name, thing, tuple(colour)) for id_, name, thing, colour in rows]


def _folder(run: Run, task: str, out: Path) -> Path:
    return out / task if len(run.tasks) > 1 else out
