"""`dejavu score semantic`: PNGs of class indices."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...errors import DejavuError
from ..parser import number
from . import pngs

SUMMARY = "label PNGs: mIoU, boundary mIoU, accuracies, IoU per class"
TEXT = (
    "Scores PNGs of class indices (8-bit grey, palette or 16-bit), paired by their path "
    "below the two folders. Prints JSON; all numbers are percentages pooled over the set. 'absent' are the "
    "classes of which the ground truth has no pixel."
)
IGNORED = 255
"""the label that is not scored by default"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add two folders, and what the indices mean."""
    pngs.add_folders(parser)
    parser.add_argument(
        "--classes", required=True, type=number(1, 65536, whole=True), metavar="N", help="classes are 0..N-1"
    )
    parser.add_argument(
        "--ignore",
        type=number(whole=True, also=" (-1: no label is ignored)"),
        metavar="VALUE",
        help=f"label that is not scored ({IGNORED}; -1: none)",
    )


def arguments_for(truth: Path, predictions: Path, classes: int) -> str:
    """Return the command that scores files of `dejavu predict`."""
    return f"{pngs.folder_arguments(truth, predictions)} --classes {classes} --ignore {IGNORED}"


def scores(args: argparse.Namespace) -> dict[str, object]:
    """Score the two folders. Raises DejavuError that names the file at fault."""
    from ...datasets.formats.images import read_indices
    from ...metrics.semantic import SemanticMetrics

    ignore = IGNORED if args.ignore is None else args.ignore
    metrics = SemanticMetrics(args.classes, ignore)
    truth = pngs.update(
        metrics,
        args,
        lambda path, _: read_indices(path, (8, 16)),
        lambda label: (int((label != ignore).sum()), label.size),
        indices=True,
    )
    in_truth = metrics.regions.matrix.sum(1)
    if args.ignore is None and truth.counted < truth.pixels:
        _check_default(args, in_truth.nonzero()[0].tolist())
    absent = [one for one in range(args.classes) if not in_truth[one] and one != ignore]
    numbers = metrics.compute()
    truth.remark(f"are {ignore}, which is ignored", list(map(str, absent)), args.classes)
    about = {"images": truth.images, "ignored_percent": truth.ignored_percent, "absent": absent}
    return {**about, **numbers}


def _check_default(args: argparse.Namespace, present: list[int]) -> None:
    """Raise DejavuError if the default ignored value, which the ground truth holds, is likely a class.

    `present` are the classes of the pixels that were scored.
    """
    if args.classes > IGNORED:
        reason = f"holds {IGNORED}, which is a class by --classes {args.classes}, and is not scored"
        remedy = "give --ignore -1"
    elif len(present) == 1:
        reason = f"holds {present[0]} and {IGNORED} alone, and {IGNORED} is not scored"
        remedy = "store it as another number in both folders, masks as 0 and 1, and give --classes 2"
        if args.classes > 2:
            remedy = f"store it as a number below --classes {args.classes} in both folders, masks as 0 and 1"
    else:
        return
    raise DejavuError(
        f"--gt {args.gt} {reason}: if it is a class, {remedy}; if it is void, give --ignore {IGNORED}"
    )
