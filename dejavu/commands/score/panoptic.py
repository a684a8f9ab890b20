"""`dejavu score panoptic`: predictions in COCO's panoptic format, paired by the images' ids."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ...errors import DejavuError
from ...system.folders import Listing, shown
from . import pngs
from .truth import Truth

if TYPE_CHECKING:
    import numpy as np

    from ...datasets.formats.coco import Category, Entry, Panoptic


SUMMARY = "COCO panoptic JSON and PNGs: PQ, SQ, RQ of all classes, things, stuff and each class"
TEXT = (
    "Scores predictions in COCO's panoptic format, paired by image id, as COCO's evaluation "
    "does. Prints JSON; pq, sq and rq are percentages, means over the classes that occur. 'absent' are the "
    "classes without a segment in the ground truth other than crowds."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add two JSON files, and a folder of PNGs for each."""
    for name, what in (("gt", "ground truth"), ("pred", "predictions")):
        parser.add_argument(f"--{name}", required=True, type=Path, metavar="JSON", help=what)
        parser.add_argument(
            f"--{name}-dir", required=True, type=Path, metavar="DIR", help=f"the PNGs of --{name}"
        )


def arguments_for(truth: Path, predictions: Path, classes: int) -> str:
    """Return the command that scores files of `dejavu predict`."""
    lists = (quote(f"{folder}.json") for folder in (truth, predictions))
    folders = (quote(str(folder)) for folder in (truth, predictions))
    return "--gt {} --pred {} --gt-dir {} --pred-dir {}".format(*lists, *folders)


def scores(args: argparse.Namespace) -> dict[str, object]:
    """Score the files. Raises DejavuError that names the file at fault, and the image or segment in it."""
    import numpy as np

    from ...datasets.formats.coco import read_panoptic
    from ...metrics.panoptic import PanopticQuality
    from ...system.progress import track

    for option, folder in (("--gt-dir", args.gt_dir), ("--pred-dir", args.pred_dir)):
        if not folder.is_dir():
            raise DejavuError(f"{option} {folder} is not a folder; give the folder that holds the PNGs")
    truth = read_panoptic(args.gt)
    guess = read_panoptic(args.pred, truth.categories)
    _check_same_images(args, truth, guess)
    inside = {folder: Listing(folder) for folder in (args.gt_dir, args.pred_dir)}
    scored: set[Path] = set()
    quality = PanopticQuality([c.thing for c in truth.categories], names(truth.categories))
    total = Truth()
    for image, entry in track(truth.entries.items(), len(truth.entries), "scoring"):
        predicted = guess.entries[image]
        paths = _png(inside[args.gt_dir], entry), _png(inside[args.pred_dir], predicted)
        scored.update(paths)
        real, drawn = _read(paths[0], entry), _read(paths[1], predicted)
        try:
            quality.update_ids(real, drawn, entry.segments, predicted.segments)
        except DejavuError as error:
            raise DejavuError(f"{paths[1]} against {paths[0]}: {error}") from None
        crowds = [id_ for id_, segment in entry.segments.items() if segment.crowd]
        total.add(int(((real > 0) & ~np.isin(real, crowds)).sum()), real.size)
    pngs.name_others("--gt-dir", args.gt_dir, scored)
    pngs.name_others("--pred-dir", args.pred_dir, scored)
    numbers = quality.compute()
    absent = [name for name, of_class in numbers["classes"].items() if not of_class["tp"] + of_class["fn"]]
    total.remark("are void or of a crowd", absent, len(quality.names))
    about = {"images": total.images, "ignored_percent": total.ignored_percent, "absent": absent}
    return {**about, **numbers}


def names(categories: Sequence[Category]) -> list[str]:
    """Return the classes' names: a category's name, with its id where two have the same."""
    given = [category.name for category in categories]
    return [c.name if given.count(c.name) == 1 else f"{c.name} ({c.id})" for c in categories]


def _check_same_images(args: argparse.Namespace, truth: Panoptic, guess: Panoptic) -> None:
    if not truth.entries:
        raise DejavuError(f"--gt {args.gt} has no annotations")
    if missing := [image for image in truth.entries if image not in guess.entries]:
        if isinstance(missing[0], int) and str(missing[0]) in guess.entries:
            raise DejavuError(
                f"{args.pred} has image ids as texts, and {args.gt} has numbers: write {missing[0]}"
            )
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DejavuError(f"{args.pred} has no annotation of image {missing[0]}{others}, which {args.gt} has")
    if extra := [image for image in guess.entries if image not in truth.entries]:
        others = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        raise DejavuError(f"{args.pred} annotates image {extra[0]}{others}, which {args.gt} does not have")


def _png(inside: Listing, entry: Entry) -> Path:
    path = inside.get(entry.file_name)
    if path is None:
        missing = f"{shown(inside.folder / entry.file_name)} is missing{inside.hint(entry.file_name)}"
        raise DejavuError(f"{missing}: the annotation of image {entry.image_id} names it")
    return path


def _read(path: Path, entry: Entry) -> np.ndarray:
    """An image's segment ids (H, W), all of them known."""
    from ...datasets.formats.coco import check_ids, read_ids

    ids = read_ids(path)
    check_ids(path, ids, entry)
    return ids
