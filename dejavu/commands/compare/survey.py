"""The user's two folders: which files are pairs, how they are split, and how large the images are."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DejavuError
from ...system.folders import files_below, shown

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
ENDINGS = {"semantic": (".png",), "depth": (".png", ".npy"), "normals": (".png", ".npy")}
"""of the files of each task's ground truth"""
SPLITS = (("train", "val"), ("training", "validation"))
"""names of sub-folders that are splits"""
FEWEST = {"train": 8, "val": 2}
"""images that a comparison needs: one batch to learn from, and more than one to measure on"""
PART = 5
"""the share of the images that is measured, without sub-folders: one in so many"""
STEP = 16
"""image sides are multiples of so many pixels"""
_SEPARATORS = "_-. "


@dataclass(frozen=True)
class Survey:
    """The pairs of two folders."""

    images: str
    """pattern of an image's path below the folder of images, with {name}"""
    labels: str
    """pattern of its ground truth's path below the folder of labels"""
    splits: dict[str, list[str]]
    """the names of train and val"""
    sentences: list[str]
    """what a user should know of them"""


def survey(images: Path, labels: Path, task: str) -> Survey:
    """Pair the files of two folders by their names and split them.

    Raises DejavuError where too few are pairs, or a folder is missing.
    """
    for option, folder in (("--images", images), ("--labels", labels)):
        if not folder.is_dir():
            raise DejavuError(f"{option} is {folder}, which is not a folder")
    targets = _by_stem(labels, files_below(labels), ENDINGS[task])
    target_files = {path for paths in targets.values() for path in paths}
    inside = images in (labels, *labels.parents)
    photos = _by_stem(
        images, [path for path in files_below(images) if not inside or path not in target_files], IMAGES
    )
    for option, folder, found in (("--images", images, photos), ("--labels", labels, targets)):
        if not found:
            wanted = IMAGES if option == "--images" else ENDINGS[task]
            raise DejavuError(f"{option}: there is no {' or '.join(wanted)} file in {folder}")
    if len({path.suffix.lower() for path in target_files}) > 1:
        raise DejavuError(
            f"--labels: {labels} holds both {' and '.join(ENDINGS[task])} files: leave one kind there"
        )
    patterns, names = _paired(photos, targets)
    if not names:
        first = [shown(next(iter(found.values()))[0]) for found in (photos, targets)]
        raise DejavuError(
            f"no image has a label of the same name: the first ones are {first[0]} and {first[1]}"
        )
    splits, sentences = _split(names)
    for split, fewest in FEWEST.items():
        if len(splits[split]) < fewest:
            raise DejavuError(
                f"{images} has {len(names)} images with labels, {len(splits[split])} of them in {split}: at "
                f"least {FEWEST['train']} are needed to learn from and {FEWEST['val']} to measure on, and "
                "hundreds for a verdict that means something"
            )
    without = len(photos) - len(names)
    if without:
        sentences.append(f"{without} of {len(photos)} images have no label, or are in no split: left out.")
    return Survey(patterns[0], patterns[1], splits, sentences)


Stems = dict[str, list[Path]]


def _by_stem(root: Path, files: Iterable[Path], endings: Sequence[str]) -> Stems:
    """Return the files of these endings by their paths below `root` without the ending."""
    found: Stems = {}
    for path in files:
        if path.suffix.lower() in endings:
            stem = path.relative_to(root).as_posix()[: -len(path.suffix)]
            found.setdefault(unicodedata.normalize("NFC", stem), []).append(path)
    return found


def _paired(photos: Stems, targets: Stems) -> tuple[tuple[str, str], list[str]]:
    """Return the patterns of both kinds of files and the names that both have, sorted.

    Names are the same, or the same but for what all files of a kind begin or end with (`_mask`).
    """
    sides = (photos, targets)
    for affixes in ((("", ""), ("", "")), (_affixes(photos), _affixes(targets))):
        names = [
            {name for stem in side if (name := _without(stem, *affix)) is not None}
            for side, affix in zip(sides, affixes, strict=True)
        ]
        both = sorted(names[0] & names[1])
        if both:
            endings = [_ending(side) for side in sides]
            pair = [
                f"{prefix}{{name}}{suffix}{ending}"
                for (prefix, suffix), ending in zip(affixes, endings, strict=True)
            ]
            return (pair[0], pair[1]), both
    return ("", ""), []


def _affixes(stems: Iterable[str]) -> tuple[str, str]:
    """Return what all stems begin and end with, up to a separator.

    >>> _affixes(["a1_mask", "b1_mask"]), _affixes(["img_1", "img_2"]), _affixes(["frame10", "frame20"])
    (('', '_mask'), ('img_', ''), ('', ''))
    """
    listed = list(stems)
    suffix = os.path.commonprefix([stem[::-1] for stem in listed])[::-1]
    first = next((at for at, letter in enumerate(suffix) if letter in _SEPARATORS), None)
    prefix = "" if any("/" in stem for stem in listed) else os.path.commonprefix(listed)
    last = max((prefix.rfind(letter) for letter in _SEPARATORS), default=-1)
    return prefix[: last + 1], "" if first is None else suffix[first:]


def _without(stem: str, prefix: str, suffix: str) -> str | None:
    """Return a stem's name; None where nothing would be left."""
    name = stem.removeprefix(prefix).removesuffix(suffix)
    return name or None


def _ending(found: Stems) -> str:
    """Return the ending of all files; `.*` where they have more than one."""
    endings = {path.suffix.lower() for paths in found.values() for path in paths}
    return endings.pop() if len(endings) == 1 else ".*"


def _split(names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the names of train and val, and how they were divided."""
    for train, val in SPLITS:
        by_folder = {
            split: [name for name in names if name.partition("/")[0].lower() == folder and "/" in name]
            for split, folder in (("train", train), ("val", val))
        }
        if all(by_folder.values()):
            counts = f"{len(by_folder['train'])} to learn from, {len(by_folder['val'])} to measure on"
            return by_folder, [f"Split by the sub-folders {train} and {val}: {counts}."]
    held = max(1, len(names) // PART)
    sentence = (
        f"Split by name: the first {len(names) - held} images to learn from, the last {held} to measure on. "
        "They are not mixed, because neighbouring frames of a video should not be in both."
    )
    return {"train": names[:-held], "val": names[-held:]}, [sentence]


def size_of(sizes: Iterable[tuple[int, int]], short: int) -> tuple[Any, list[int], str]:
    """Return the prepared size of images (height, width), the crop that is learnt from, and both in words.

    Images of one size get the nearest multiples of 16 pixels at which the short side is at most `short`;
    those of several sizes keep their shapes.
    """
    counted = Counter(sizes)
    least = min(min(size) for size in counted)
    limit = max(STEP, min(short, least) // STEP * STEP)
    if len(counted) == 1:
        ((height, width),) = counted
        factor = limit / min(height, width)
        sides = [max(STEP, round(side * factor / STEP) * STEP) for side in (height, width)]
        return sides, sides, f"Images of {height}x{width} pixels are resized to {sides[0]}x{sides[1]}."
    words = f"Images of {len(counted)} sizes get a short side of {limit}; crops have {limit}x{limit}."
    return {"short": limit, "long": 4 * limit}, [limit, limit], words
