"""Two folders of PNGs, ground truth and predictions, paired by their path below each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ...errors import DejavuError
from ...system.folders import Listing, files_below, first_of, shown
from .truth import Truth

if TYPE_CHECKING:
    import numpy as np

    from ...metrics import Collector


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the two folders' arguments."""
    parser.add_argument("--gt", required=True, type=Path, metavar="DIR", help="ground truth")
    parser.add_argument("--pred", required=True, type=Path, metavar="DIR", help="predictions")


def folder_arguments(truth: Path, predictions: Path) -> str:
    """The two folders as they are typed."""
    return f"--gt {quote(str(truth))} --pred {quote(str(predictions))}"


def update(
    metrics: Collector,
    args: argparse.Namespace,
    read: Callable[[Path, bool], np.ndarray],
    counts: Callable[[np.ndarray], tuple[int, int]],
    indices: bool = False,
) -> Truth:
    """Feed all pairs of files to `metrics`; return the counts of the ground truth.

    `read` is given a path, and whether it is a prediction; `counts` returns of a ground truth how many pixels
    count, and of how many. With `indices` files hold class indices, whose colours have to agree.
    """
    from ...system.progress import track

    files, total = pairs(args.gt, args.pred), Truth()
    if indices:
        check_colours([truth for truth, _ in files], [prediction for _, prediction in files])
    for expected, predicted in track(files, len(files), "scoring"):
        truth, prediction = read(expected, False), read(predicted, True)
        try:
            metrics.update(truth, prediction)
        except DejavuError as error:
            raise DejavuError(f"{predicted} against {expected}: {error}") from None
        total.add(*counts(truth))
    for option, folder, number in (("--gt", args.gt, 0), ("--pred", args.pred, 1)):
        name_others(option, folder, {pair[number] for pair in files})
    return total


def pairs(truth: Path, predictions: Path) -> list[tuple[Path, Path]]:
    """The PNGs of both folders with the same path below each, sorted; each has its counterpart.

    Paths may differ in the case of their ending and the form of Unicode. Raises DejavuError that names what
    is missing or has no counterpart, and a folder that may not be read.
    """
    expected, predicted = _pngs(truth, "--gt"), _pngs(predictions, "--pred")
    counterparts = {name: _counterpart(name, expected, predicted) for name in expected.files}
    if missing := sorted(name for name, path in counterparts.items() if path is None):
        name = f"{shown(predictions / missing[0])} is missing{predicted.hint(missing[0])}{_others(missing)}"
        raise DejavuError(f"{name}: {shown(truth / missing[0])} exists")
    known = set(counterparts.values())
    if extra := sorted(name for name, path in predicted.files.items() if path not in known):
        name = f"{shown(predictions / extra[0])} has no ground truth{expected.hint(extra[0])}{_others(extra)}"
        raise DejavuError(f"{name}: {shown(truth / extra[0])} is missing")
    files = ((expected.files[name], path) for name, path in counterparts.items() if path is not None)
    return sorted(files)


def _counterpart(name: str, expected: Listing, predicted: Listing) -> Path | None:
    path = predicted.get(name)
    if path is None:
        return None
    back = expected.get(path.relative_to(predicted.folder).as_posix())
    return path if back == expected.files[name] else None  # else it is that of another file


def name_others(option: str, folder: Path, scored: set[Path]) -> None:
    """Count and name the files in a folder that are not scored, on stderr."""
    others = [path.relative_to(folder).as_posix() for path in files_below(folder) if path not in scored]
    if others:
        print(f"not scored in {option} {folder}: {first_of(others)}", file=sys.stderr)


def check_colours(truths: Sequence[Path], predictions: Sequence[Path]) -> None:
    """Raise DejavuError where files of one folder show the same index in different colours.

    Where only the two folders differ, which may draw one class in two colours, stderr says so.
    """
    from ...datasets.formats.label_colours import contradiction

    for files in (truths, predictions):
        if fault := contradiction(files):
            raise DejavuError(f"{fault}: one index has to be one class, so store them with one palette")
    if odd := contradiction([*truths, *predictions]):
        print(f"{odd}: do both number the classes alike?", file=sys.stderr)


def _pngs(folder: Path, option: str) -> Listing:
    if not folder.is_dir():
        raise DejavuError(f"{option} {folder} is not a folder; give the folder that holds the PNGs")
    inside = Listing(folder, ".png")
    if not inside.files:
        raise DejavuError(f"{option} {folder} holds no PNG files")
    return inside


def _others(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
