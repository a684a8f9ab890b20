"""Two folders of PNGs, ground truth and predictions, paired by their path below each."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ...errors import DejavuError

if TYPE_CHECKING:
    import numpy as np

    from ...metrics import Collector

PNG = b"\x89PNG\r\n\x1a\n"
COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the two folders' arguments."""
    parser.add_argument("--gt", required=True, type=Path, metavar="DIR", help="ground truth")
    parser.add_argument("--pred", required=True, type=Path, metavar="DIR", help="predictions")


def folder_arguments(truth: Path, predictions: Path) -> str:
    """The two folders as they are typed."""
    return f"--gt {quote(str(truth))} --pred {quote(str(predictions))}"


def update(metrics: Collector, args: argparse.Namespace, read: Callable[[Path, bool], np.ndarray]) -> int:
    """Feed all pairs of files to `metrics`; return their number.

    `read` is given a path, and whether it is a prediction.
    """
    from ...system.progress import track

    names = pairs(args.gt, args.pred)
    for name in track(names, len(names), "scoring"):
        truth, prediction = read(args.gt / name, False), read(args.pred / name, True)
        try:
            metrics.update(truth, prediction)
        except DejavuError as error:
            raise DejavuError(f"{args.pred / name} against {args.gt / name}: {error}") from None
    return len(names)


def check_header(path: Path, depth: int, colour: int) -> None:
    """Refuse what is no PNG of this pixel format, which Pillow would convert without a word."""
    if not path.is_file():
        raise DejavuError(f"{path} is no plain file, and a PNG is needed")
    with path.open("rb") as file:
        header = file.read(26)
    if len(header) < 26 or not header.startswith(PNG):
        raise DejavuError(f"{path} cannot be read (not a PNG)")
    if (header[24], header[25]) != (depth, colour):
        raise DejavuError(
            f"{path} is {header[24]}-bit {COLOURS.get(header[25], 'of an unknown kind')}, "
            f"and {depth}-bit {COLOURS[colour]} is needed"
        )


def pairs(truth: Path, predictions: Path) -> list[Path]:
    """The relative paths of all PNGs, sorted; they must be the same in both folders.

    Raises DejavuError that names what is missing or has no counterpart.
    """
    expected, predicted = _pngs(truth, "--gt"), _pngs(predictions, "--pred")
    if missing := sorted(expected - predicted):
        raise DejavuError(
            f"{predictions / missing[0]} is missing{_others(missing)}: {truth / missing[0]} exists"
        )
    if extra := sorted(predicted - expected):
        raise DejavuError(
            f"{predictions / extra[0]} has no ground truth{_others(extra)}: {truth / extra[0]} is missing"
        )
    return sorted(expected)


def _pngs(folder: Path, option: str) -> set[Path]:
    if not folder.is_dir():
        raise DejavuError(f"{option} {folder} is not a folder; give the folder that holds the PNGs")
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() == ".png"}
    if not files:
        raise DejavuError(f"{option} {folder} holds no PNG files")
    return files


def _others(names: list[Path]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
