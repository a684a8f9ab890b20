"""`dejavu score semantic`: PNGs of class indices."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..parser import number
from . import pngs

SUMMARY = "label PNGs: mIoU, boundary mIoU, accuracies, IoU per class"
TEXT = (
    "Scores PNGs of class indices (8-bit grey, palette or 16-bit), paired by their path "
    "below the two folders. Prints JSON; all numbers are percentages pooled over the set."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add two folders, and what the indices mean."""
    pngs.add_folders(parser)
    parser.add_argument(
        "--classes", required=True, type=number(1, 65536, whole=True), metavar="N", help="classes are 0..N-1"
    )
    parser.add_argument(
        "--ignore",
        type=number(whole=True, also=" (-1: no label is ignored)"),
        default=255,
        metavar="VALUE",
        help="label that is not scored (255; -1: none)",
    )


def arguments_for(truth: Path, predictions: Path, classes: int) -> str:
    """Return the command that scores files of `dejavu predict`."""
    return f"{pngs.folder_arguments(truth, predictions)} --classes {classes} --ignore 255"


def scores(args: argparse.Namespace) -> dict[str, object]:
    """Score the two folders. Raises DejavuError that names the file at fault."""
    from ...datasets.formats.images import read_indices
    from ...metrics.semantic import SemanticMetrics

    metrics = SemanticMetrics(args.classes, args.ignore)
    count = pngs.update(metrics, args, lambda path, _: read_indices(path, (8, 16)), indices=True)
    return {"images": count, **metrics.compute()}
