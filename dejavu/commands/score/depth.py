"""`dejavu score depth`: 16-bit PNGs of depth."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DejavuError
from ..parser import number
from . import pngs

if TYPE_CHECKING:
    import numpy as np

FACTOR = 30
"""between the medians of both folders, from which on they are likely in two units (m, cm, mm, 1/256 m)"""

SUMMARY = "16-bit PNGs: depth error in metres, abs rel, sq rel, RMSE, log errors, deltas"
TEXT = (
    "Scores 16-bit grey PNGs of depth (0: none), paired by their path below the two folders. Prints "
    "JSON: depth_aerr is pooled over all pixels, the others are means over images, as on KITTI; "
    "ignored_percent is the share of depth beyond --min and --max."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add two folders, the files' unit, and which pixels are scored."""
    pngs.add_folders(parser)
    parser.add_argument("--scale", type=number(), default=256, metavar="N", help="metres = value / N (256)")
    parser.add_argument(
        "--min", type=number(), default=0.001, metavar="M", help="metres, not included (0.001)"
    )
    parser.add_argument("--max", type=number(), default=80, metavar="M", help="metres, not included (80)")
    parser.add_argument(
        "--crop", default="none", metavar="NAME", help="none (default), KITTI's garg or eigen"
    )
    parser.add_argument(
        "--median-scaling", action="store_true", help="bring every prediction to its truth's median first"
    )


def arguments_for(truth: Path, predictions: Path, classes: int) -> str:
    """Return the command that scores files of `dejavu predict`."""
    return f"{pngs.folder_arguments(truth, predictions)} --scale 256 --min 0"


def scores(args: argparse.Namespace) -> dict[str, object]:
    """Score the two folders. Raises DejavuError that names the file at fault."""
    from ...metrics.depth import DepthMetrics

    if not 0 < args.scale < math.inf:
        raise DejavuError(f"--scale is {args.scale}; it must be above 0: metres = value / scale")
    if not 0 <= args.min < args.max < math.inf:
        raise DejavuError(
            f"--min is {args.min} and --max is {args.max}; metres from 0 on are needed, --min below --max"
        )
    metrics = DepthMetrics(args.min, args.max, args.crop, args.median_scaling)
    low, high = args.min, args.max

    def counts(depth: np.ndarray) -> tuple[int, int]:
        """Of the pixels that have depth, which few may have."""
        return int(((depth > low) & (depth < high)).sum()), int((depth > 0).sum())

    medians: dict[bool, list[float]] = {False: [], True: []}  # of each image, by whether it is predicted

    def read(path: Path, predicted: bool) -> np.ndarray:
        depth = read_depth(path, args.scale, predicted)
        medians[predicted].append(_median(depth))
        return depth

    truth = pngs.update(metrics, args, read, counts)
    protocol = {key: getattr(args, key) for key in ("scale", "min", "max", "crop", "median_scaling")}
    numbers = metrics.compute()
    truth.remark(
        f"that have depth are not between {low:g} and {high:g} m (--scale {args.scale:g}, --min, --max)",
        more="" if args.median_scaling else _units(medians[False], medians[True]),
    )
    about = {"images": truth.images, "images_scored": metrics.images}
    return {**about, "ignored_percent": truth.ignored_percent, **protocol, **numbers}


def _median(depth: np.ndarray) -> float:
    """Median of the pixels of an image (H, W) that have depth; NaN where none has."""
    import numpy as np

    known = depth[depth > 0]
    return float(np.median(known)) if known.size else math.nan


def _units(truth: Sequence[float], prediction: Sequence[float]) -> str:
    """Describe predictions in another unit than the ground truth, by the medians of their images; else ''."""
    import numpy as np

    ratios = np.asarray(prediction) / np.asarray(truth)
    ratio = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 1.0
    if 1 / FACTOR < ratio < FACTOR:
        return ""
    factor, compared = (ratio, "larger") if ratio > 1 else (1 / ratio, "smaller")
    times = f"{float(f'{factor:.1g}'):g} times"
    return (
        f"The predicted depth is about {times} {compared} than the true depth, by the medians of the "
        "images: both folders are read in the unit of --scale, and --median-scaling ignores a factor."
    )


def read_depth(path: Path, scale: float, predicted: bool) -> np.ndarray:
    """Metres (H, W) of a 16-bit grey PNG. 0, no depth, stays 0 in a ground truth and is NaN if predicted."""
    import numpy as np

    from ...datasets.formats.images import GREY, check_png, read_indices

    check_png(path, 16, GREY)
    metres = read_indices(path, (16,)) / scale
    return np.where(metres == 0, np.nan, metres) if predicted else metres
