"""`dejavu score TASK`: score predictions in the field's file formats, whoever made them.

The numbers come from the metric code that fills the tables.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import DejavuError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command a task; the parsed arguments carry `run`."""
    parser.set_defaults(run=run)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    semantic = tasks.add_parser(
        "semantic",
        help="label PNGs: mIoU, boundary mIoU, accuracies, IoU per class",
        description="Scores PNGs of class indices (8-bit grey, palette or 16-bit), paired by their path "
        "below the two folders. Prints JSON; all numbers are percentages pooled over the set.",
    )
    semantic.add_argument("--gt", required=True, type=Path, metavar="DIR", help="ground truth")
    semantic.add_argument("--pred", required=True, type=Path, metavar="DIR", help="predictions")
    semantic.add_argument("--classes", required=True, type=int, metavar="N", help="classes are 0..N-1")
    semantic.add_argument(
        "--ignore", type=int, default=255, metavar="VALUE", help="label that is not scored (255; -1: none)"
    )


def run(args: argparse.Namespace) -> None:
    """Print the scores as JSON on stdout. Raises DejavuError that names the file at fault."""
    scores = {"semantic": _semantic}[args.task](args)
    print(json.dumps(scores, indent=1, allow_nan=False))


def _semantic(args: argparse.Namespace) -> dict[str, object]:
    from ..datasets.images import read_indices
    from ..metrics.semantic import SemanticMetrics
    from ..progress import track

    if not 1 <= args.classes <= 65536:
        raise DejavuError(f"--classes is {args.classes}; it must be between 1 and 65536")
    metrics = SemanticMetrics(args.classes, args.ignore)
    names = pairs(args.gt, args.pred)
    for name in track(names, len(names), "scoring"):
        label, prediction = (read_indices(folder / name, (8, 16)) for folder in (args.gt, args.pred))
        try:
            metrics.update(label, prediction)
        except DejavuError as error:
            raise DejavuError(f"{args.pred / name} against {args.gt / name}: {error}") from None
    return {"task": "semantic", "images": len(names), **metrics.compute()}


def pairs(truth: Path, predictions: Path) -> list[Path]:
    """The relative paths of all PNGs, sorted; they must be the same in both folders.

    Raises DejavuError that names what is missing or has no counterpart.
    """
    expected, found = _pngs(truth, "--gt"), _pngs(predictions, "--pred")
    if missing := sorted(expected - found):
        raise DejavuError(
            f"{predictions / missing[0]} is missing{_others(missing)}: {truth / missing[0]} exists"
        )
    if extra := sorted(found - expected):
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
