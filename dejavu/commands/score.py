"""`dejavu score TASK`: score predictions in the field's file formats, whoever made them.

The numbers come from the metric code that fills the tables.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DejavuError
from . import score_panoptic

if TYPE_CHECKING:
    import numpy as np

    from ..metrics import Collector

PNG = b"\x89PNG\r\n\x1a\n"
COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}
LONGEST = 1.2
"""A true normal's length in 8 bits is at most 1.03; beyond this a file holds something else."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command a task; the parsed arguments carry `run`."""
    parser.set_defaults(run=run)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    semantic = _task(
        tasks,
        "semantic",
        "label PNGs: mIoU, boundary mIoU, accuracies, IoU per class",
        "Scores PNGs of class indices (8-bit grey, palette or 16-bit), paired by their path "
        "below the two folders. Prints JSON; all numbers are percentages pooled over the set.",
    )
    semantic.add_argument("--classes", required=True, type=int, metavar="N", help="classes are 0..N-1")
    semantic.add_argument(
        "--ignore", type=int, default=255, metavar="VALUE", help="label that is not scored (255; -1: none)"
    )
    panoptic = tasks.add_parser(
        "panoptic",
        help="COCO panoptic JSON and PNGs: PQ, SQ, RQ of all classes, things, stuff and each class",
        description="Scores predictions in COCO's panoptic format, paired by image id, as COCO's evaluation "
        "does. Prints JSON; pq, sq and rq are percentages, means over the classes that occur.",
    )
    score_panoptic.add_arguments(panoptic)
    depth = _task(
        tasks,
        "depth",
        "16-bit PNGs: depth error in metres, abs rel, sq rel, RMSE, log errors, deltas",
        "Scores 16-bit grey PNGs of depth (0: none), paired by their path below the two folders. Prints "
        "JSON: depth_aerr is pooled over all pixels, the others are means over images, as on KITTI.",
    )
    depth.add_argument("--scale", type=float, default=256, metavar="N", help="metres = value / N (256)")
    depth.add_argument("--min", type=float, default=0.001, metavar="M", help="metres, not included (0.001)")
    depth.add_argument("--max", type=float, default=80, metavar="M", help="metres, not included (80)")
    depth.add_argument("--crop", default="none", metavar="NAME", help="none (default), KITTI's garg or eigen")
    depth.add_argument(
        "--median-scaling", action="store_true", help="bring every prediction to its truth's median first"
    )
    _task(
        tasks,
        "normals",
        "8-bit RGB PNGs: mean and median angle, shares within 11.25, 22.5 and 30 degrees",
        "Scores PNGs of normals, n = v / 127.5 - 1, paired by their path below the two folders. Black and "
        "grey (127 or 128 in all channels) are no normal. Prints JSON; all is pooled over the set's pixels.",
    )


def _task(tasks: argparse._SubParsersAction, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = tasks.add_parser(name, help=summary, description=text)
    parser.add_argument("--gt", required=True, type=Path, metavar="DIR", help="ground truth")
    parser.add_argument("--pred", required=True, type=Path, metavar="DIR", help="predictions")
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the scores as JSON on stdout. Raises DejavuError that names the file at fault."""
    tasks = {"semantic": _semantic, "panoptic": score_panoptic.scores, "depth": _depth, "normals": _normals}
    scores = tasks[args.task](args)
    print(json.dumps(scores, indent=1, allow_nan=False))


def _semantic(args: argparse.Namespace) -> dict[str, object]:
    from ..datasets.formats.images import read_indices
    from ..metrics.semantic import SemanticMetrics

    if not 1 <= args.classes <= 65536:
        raise DejavuError(f"--classes is {args.classes}; it must be between 1 and 65536")
    metrics = SemanticMetrics(args.classes, args.ignore)
    count = _update(metrics, args, lambda path, _: read_indices(path, (8, 16)))
    return {"task": "semantic", "images": count, **metrics.compute()}


def _depth(args: argparse.Namespace) -> dict[str, object]:
    from ..metrics.depth import DepthMetrics

    if not 0 < args.scale < math.inf:
        raise DejavuError(f"--scale is {args.scale}; it must be above 0: metres = value / scale")
    if not 0 <= args.min < args.max < math.inf:
        raise DejavuError(
            f"--min is {args.min} and --max is {args.max}; metres from 0 on are needed, --min below --max"
        )
    metrics = DepthMetrics(args.min, args.max, args.crop, args.median_scaling)
    count = _update(metrics, args, lambda path, predicted: read_depth(path, args.scale, predicted))
    protocol = {key: getattr(args, key) for key in ("scale", "min", "max", "crop", "median_scaling")}
    scores = metrics.compute()
    return {"task": "depth", "images": count, "images_scored": metrics.images, **protocol, **scores}


def _normals(args: argparse.Namespace) -> dict[str, object]:
    from ..metrics.normals import NormalMetrics

    metrics = NormalMetrics()
    count = _update(metrics, args, read_normals)
    return {"task": "normals", "images": count, **metrics.compute()}


def _update(metrics: Collector, args: argparse.Namespace, read: Callable[[Path, bool], np.ndarray]) -> int:
    """Feed all pairs of files to `metrics`; return their number. `read` hears whether a file is predicted."""
    from ..system.progress import track

    names = pairs(args.gt, args.pred)
    for name in track(names, len(names), "scoring"):
        truth, prediction = read(args.gt / name, False), read(args.pred / name, True)
        try:
            metrics.update(truth, prediction)
        except DejavuError as error:
            raise DejavuError(f"{args.pred / name} against {args.gt / name}: {error}") from None
    return len(names)


def read_depth(path: Path, scale: float, predicted: bool) -> np.ndarray:
    """Metres (H, W) of a 16-bit grey PNG. 0, no depth, stays 0 in a ground truth and is NaN if predicted."""
    import numpy as np

    from ..datasets.formats.images import read_indices

    _check_header(path, 16, 0)
    metres = read_indices(path, (16,)) / scale
    return np.where(metres == 0, np.nan, metres) if predicted else metres


def read_normals(path: Path, predicted: bool) -> np.ndarray:
    """Vectors (H, W, 3) of an 8-bit RGB PNG. Black and grey: 0-vectors in a ground truth, NaN if predicted.

    Raises DejavuError where a ground truth holds what is no unit vector.
    """
    import numpy as np

    from ..datasets.formats.images import read_image

    _check_header(path, 8, 2)
    values = np.asarray(read_image(path))
    none = (values == 0).all(-1) | ((values == 127) | (values == 128)).all(-1)
    normals = values / 127.5 - 1
    normals[none] = np.nan if predicted else 0
    if not predicted and (wrong := int((np.linalg.norm(normals, axis=-1) > LONGEST).sum())):
        raise DejavuError(
            f"{path} holds {wrong} vectors longer than {LONGEST}, and unit vectors are needed, "
            "coded as n = v / 127.5 - 1"
        )
    return normals


def _check_header(path: Path, depth: int, colour: int) -> None:
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
