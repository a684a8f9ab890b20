"""The classes of label files: by names, by their number, or by the values that occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DejavuError

MOST = 2000
"""label files that are looked into; `dejavu prepare` reads all"""

MOST_CLASSES = 254


@dataclass(frozen=True)
class Classes:
    """The classes of a folder, as `folder` in params.yaml has them."""

    names: list[str]
    values: list[int]
    ignore: list[int]
    sentences: list[str]
    """what a user should know of them"""


def classes_of(files: Sequence[Path], requested: str | None, ignore: str) -> Classes:
    """Return the classes of label files. Raises DejavuError, with what to write, where there are no two."""
    from ...datasets.formats.images import stored_values

    ignored = _ignored(ignore)
    stored = stored_values(files, MOST)
    present = [value for value in stored if value not in ignored]
    if len(present) < 2 and len(stored) > 1:
        left = f"{' and '.join(map(str, stored))} alone" if len(stored) < 4 else f"{len(stored)} values"
        raise DejavuError(
            f"label files hold {left}, and {', '.join(map(str, sorted(ignored)))} is ignored: two classes "
            "are needed; `--ignore none` makes each value a class"
        )
    if len(present) < 2:
        value = stored[0] if stored else "nothing"
        raise DejavuError(f"label files hold {value} alone: two classes are needed to learn anything")
    names = _names(requested)
    count = len(names) if isinstance(names, list) else names
    values = _values(present, count, ignored)
    if len(values) > MOST_CLASSES:
        raise DejavuError(
            f"label files hold {len(values)} values, more than {MOST_CLASSES} classes: are they segments or "
            "depth? --classes gives the classes' names or number"
        )
    further = [value for value in present if value not in values]
    sentences = []
    if further:
        listed = ", ".join(map(str, further[:12])) + (", ..." if len(further) > 12 else "")
        if len(further) == 1:
            start = f"Label value {listed} is none of the {len(values)} classes, and counts as ignored"
        else:
            start = f"Label values {listed} are none of the {len(values)} classes, and count as ignored"
        sentences.append(f"{start}.")
    chosen = names if isinstance(names, list) else [f"class {value}" for value in values]
    if requested is None:
        sentences.append(
            f"{len(chosen)} classes, by the label values {values[0]} to {values[-1]}; --classes names them."
        )
    return Classes(chosen, values, sorted({*ignored, *further}), sentences)


def _ignored(text: str) -> set[int]:
    if text.strip().lower() == "none":
        return set()
    try:
        values = {int(word) for word in text.split(",")}
    except ValueError:
        values = {-1}
    if not values <= set(range(256)):
        raise DejavuError(
            f"--ignore must be values from 0 to 255 with commas between them, or none, not '{text}'"
        )
    return values


def _names(requested: str | None) -> list[str] | int | None:
    """Return the names, or their number; None where neither is requested."""
    if requested is None:
        return None
    words = [word.strip() for word in requested.split(",")]
    if len(words) == 1 and words[0].isdecimal() and 2 <= int(words[0]) <= 254:
        return int(words[0])
    if len(words) < 2 or not all(words):
        raise DejavuError(
            f"--classes must be names with commas between them, at least two, or a number from 2 to 254, not "
            f"'{requested[:40]}'"
        )
    return words


def _values(present: list[int], count: int | None, ignored: set[int]) -> list[int]:
    """Return the label value of each class: 0, 1, ... without the ignored ones, or those that occur.

    The latter, where most numbers below the largest value are left out, as in masks of 0 and 255.
    """
    numbers = [value for value in range(256) if value not in ignored]
    if count is None:
        dense = numbers[: numbers.index(present[-1]) + 1]
        return dense if len(dense) < 2 * len(present) else present
    if count > len(numbers):
        raise DejavuError(f"--classes gives {count} classes, and labels have {len(numbers)} values for them")
    return present if len(present) == count and present[-1] >= 2 * count else numbers[:count]
