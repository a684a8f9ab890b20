"""The whole comparison: survey, study, stages, verdict."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

from ...config import Params
from ...config.loading import load
from ...config.paths import Paths
from ...datasets.formats.images import read_size
from ...datasets.prepared.store import read_report
from ...errors import DejavuError
from ...system.folders import files_below
from ...system.locks import locked
from ...system.own_code import is_own
from ..common import print_json
from ..download import download_dataset
from ..evaluate import evaluate_experiment
from ..figures import draw_figures
from ..prepare import prepare_dataset
from . import study
from .classes import classes_of
from .length import Row, choose_epochs, row_of, total
from .request import LOCK, Request
from .stages import LOG, Stages
from .survey import Survey, size_of, survey

SHORT = {"cpu": 144, "cuda": 288}
"""pixels of an image's short side, at most, by the device"""
FAR = 10.0
"""metres: DejaVu's condition tells depths up to here apart"""
OPTIONS = "--classes and --ignore say which label values are classes"
PROBE = "dejavu.commands.compare.probe"


def compare(request: Request, as_json: bool = False) -> None:
    """Run or resume a comparison and print its verdict.

    Raises DejavuError for what cannot work, and Stopped after a signal.
    """
    began, here = time.monotonic(), Path.cwd()
    request.begun()  # refuses a folder of something else before a lock is made there
    with _left_clean(request.folder), locked(request.folder / LOCK), _modules_in(here):
        stages = Stages(request.folder, here)
        chosen = request.begun()
        if chosen is None:
            chosen = _begin(request, stages, began)
        else:
            _say(f"goes on in {request.folder}: {chosen['epochs']} epochs, {chosen['size']}")
        from ...reports import comparison

        with chdir(request.folder):
            _train(request, stages, chosen)
            result = comparison.read("params.yaml", study.SCALE, study.TABLE)
            page = comparison.write_page(result, chosen, Path("index.html")).resolve()
    if as_json:
        print_json(result.as_dict() | {"page": str(page), "weights": _weights(request)})
        return
    weights = Paths(study.SCALE, request.folder).weights("ROW", "N").parent.parent
    print(f"{result.verdict}\n{result.judgement}\npage: {page}\nweights: {weights}")


@contextmanager
def _left_clean(folder: Path) -> Iterator[None]:
    """Remove a folder in which nothing was begun when an error ends the block."""
    try:
        yield
    except DejavuError:
        if folder.is_dir() and [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()
        raise


@contextmanager
def _modules_in(folder: Path) -> Iterator[None]:
    """Look for modules in a folder, too: the user's network, from within the study's folder."""
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _weights(request: Request) -> dict[str, list[str]]:
    """Return the paths of the networks' weights by row, a seed each."""
    paths = Paths(study.SCALE, request.folder)
    return {row: [str(paths.weights(row, seed)) for seed in range(request.seeds)] for row in study.ROWS}


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _begin(request: Request, stages: Stages, began: float) -> dict[str, Any]:
    """Write the study, prepare the data and choose the length; return what was chosen."""
    images, labels = Path(request.images), Path(request.labels)
    pairs = survey(images, labels, request.task)
    backbone = _check_network(request)
    names = [name for listed in pairs.splits.values() for name in listed]
    sentences = list(pairs.sentences)
    classes = None
    if request.task == "semantic":
        classes = classes_of(_files(labels, pairs.labels, names), request.classes, request.ignore)
        sentences += classes.sentences
        if is_own(request.network):
            backbone = _check_network(request, len(classes.names))
    elif request.classes is not None:
        raise DejavuError(f"--classes is for --task semantic, not {request.task}: leave it out")
    files = _files(images, pairs.images, names)
    device, workers = _device()
    size, crop, words = size_of(map(read_size, files), request.short_side or SHORT[device])
    sentences.append(words)
    request.write(None)
    arguments = (request, pairs, classes, size, crop)
    study.write(request.folder, request, pairs, study.settings(*arguments, epochs=1, backbone=backbone))
    _say("\n".join(sentences))
    for remark in _prepare(request):
        sentences.append(remark)
        _say(remark)
    epochs, words = request.epochs, f"{request.epochs} epochs, as requested."
    if epochs is None:
        epochs, words = _length(request, pairs, stages, workers, began)
    _say(words)
    study.write(request.folder, request, pairs, study.settings(*arguments, epochs=epochs, backbone=backbone))
    shown = f"{size[0]}x{size[1]}" if isinstance(size, list) else f"short side {size['short']}"
    chosen = {"epochs": epochs, "size": shown, "workers": workers, "sentences": [*sentences, words]}
    request.write(chosen)
    return chosen


def _device() -> tuple[str, int]:
    """Return the kind of device and how many trainings run side by side."""
    import torch

    if torch.cuda.is_available():
        return "cuda", 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return "cpu", min(2, cores)


def _check_network(request: Request, classes: int | None = None) -> bool | None:
    """Check that the network can be used; return whether a user's own one has a backbone.

    Raises DejavuError for an unknown one, and for one that does not return what the task needs.
    """
    study.network_of(request.network)
    outputs = classes or {"depth": 1, "normals": 3}.get(request.task)
    if not is_own(request.network) or outputs is None:
        return None
    from torch import nn

    from ...networks import build

    return isinstance(getattr(build(request.network, outputs), "backbone", None), nn.Module)


def _files(folder: Path, pattern: str, names: list[str]) -> list[Path]:
    """Return the files of some names, in their order."""
    head, tail = pattern.split("{name}")
    endings = [tail] if not tail.endswith(".*") else []
    by_name: dict[str, Path] = {}
    for path in files_below(folder):
        text = path.relative_to(folder).as_posix()
        ending = next((one for one in endings if text.lower().endswith(one.lower())), None)
        stem = text[: -len(path.suffix)] if ending is None else text[: -len(ending)]
        if ending is None and endings:
            continue
        if not endings:
            stem = stem.removesuffix(tail[: -len(".*")])
        by_name.setdefault(_composed(stem.removeprefix(head)), path)
    return [by_name[name] for name in names]


def _composed(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", text)


def _prepare(request: Request) -> list[str]:
    """Obtain and check the data as `dejavu download` and `dejavu prepare` do; return the remarks on them.

    Raises DejavuError for ground truth that is useless.
    """
    with chdir(request.folder), _quiet():
        params = load("params.yaml")
        download_dataset(params, study.DATASET, study.SCALE)
        try:
            prepare_dataset(params, study.DATASET, study.SCALE)
        except DejavuError as error:
            raise DejavuError(_in_options(str(error))) from None
        report = read_report(Paths(study.SCALE).prepared(study.DATASET))
    sentences = [_in_options(remark) for remark in report.get("remarks", ())]
    depth = report["splits"]["train"].get("depth", {}).get("metres")
    if request.task == "depth" and depth is not None and depth["max"] > FAR:
        sentences.append(
            f"Depth reaches {depth['max']:g} m, and DejaVu's condition shows it up to {FAR:g} m: is the unit "
            "right (16-bit PNGs in millimetres, .npy in metres)?"
        )
    return sentences


def _in_options(sentence: str) -> str:
    """Return a sentence on the data with this command's options in place of keys of params.yaml."""
    keys = f"datasets.{study.DATASET}.folder"
    hint = f"{keys}.values gives the values of each class, {keys}.ignore those of none"
    sentence = sentence.replace("listed above", f"listed in {LOG} in the study's folder")
    return sentence.replace(f"In params.yaml {hint}", f"The options {OPTIONS}").replace(hint, OPTIONS)


@contextmanager
def _quiet() -> Iterator[None]:
    """Write what stages print, in the study's folder, into its log: stdout is for the verdict."""
    with ExitStack() as stack:
        log = stack.enter_context(open(LOG, "a", encoding="utf-8", errors="backslashreplace"))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        yield


def _length(request: Request, pairs: Survey, stages: Stages, workers: int, began: float) -> tuple[int, str]:
    """Time a few steps of both rows, side by side as they will be trained, and choose the epochs."""
    _say("measuring a few steps of both networks ...")
    batch = min(8, len(pairs.splits["train"]))
    per_epoch = len(pairs.splits["train"]) // batch
    rows: list[Row] = []
    for group in (study.ROWS,) if workers > 1 else ((row,) for row in study.ROWS):
        start = time.monotonic()
        processes = [stages.start(row, module=PROBE) for row in group]
        results = [_measured(stages.finish(process)[0]) for process in processes]
        seconds = time.monotonic() - start
        for result in results:
            inside = 2 * result["fixed"] + 10 * result["step"] + result["validation"]
            rows.append(row_of(result, max(2.0, seconds - inside)))
    stages.log(f"measured: {rows}\n")
    epochs = choose_epochs(rows, per_epoch, request.seeds, workers, request.minutes, time.monotonic() - began)
    expected = timedelta(seconds=round(total(rows, epochs, per_epoch, request.seeds, workers)))
    words = (
        f"{epochs} epochs of {per_epoch} steps, {request.seeds} pairs, {workers} at a time: about {expected} "
        f"on this machine (--minutes {request.minutes:g})."
    )
    return epochs, words


def _measured(text: str) -> dict[str, float]:
    import json

    values: dict[str, float] = json.loads(text.splitlines()[-1])
    return values


def _train(request: Request, stages: Stages, chosen: dict[str, Any]) -> None:
    """Train and measure what is not yet, and write tables and figures, in the study's folder."""
    params, paths, seeds = load("params.yaml"), Paths(study.SCALE), range(request.seeds)
    if not all(paths.metrics(row, seed).exists() for row in study.ROWS for seed in seeds):
        lines = [
            ["train", row, "--scale", study.SCALE, "--seed", str(seed)]
            for seed in seeds
            for row in study.ROWS
            if not _trained(params, row, seed)
        ]
        stages.train(lines, chosen["workers"], chosen["epochs"])
        for row in study.ROWS:
            with _quiet():
                evaluate_experiment(params, row, study.SCALE)
    from ...reports.tables.write import write_table

    _say("writing tables and figures ...")
    with _quiet():
        write_table(params, study.TABLE, study.SCALE)
        draw_figures(params, study.TABLE, study.SCALE)


def _trained(params: Params, row: str, seed: int) -> bool:
    """Return whether a seed was trained and published earlier, by the same configuration, data and code."""
    from ...training.checkpoint import run_folder

    run, paths = params.run(row, study.SCALE), Paths(study.SCALE)
    report = read_report(paths.prepared(run.dataset), run.data)
    return paths.weights(row, seed).exists() and run_folder(run, seed, report).finished()
