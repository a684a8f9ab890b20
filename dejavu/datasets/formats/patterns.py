"""Path patterns with {name}: the files that match, and the name in each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ...errors import DejavuError
from ...system.folders import TWINS, alike, difference, files_below, shown


def fault(pattern: str, braces: set[str]) -> str | None:
    """Describe what a pattern should be, None where it is right; `braces` are those that it may have.

    >>> fault("images/{split}/{name}.jpg", {"{split}", "{name}"})
    >>> fault("images/{splt}/{name}.jpg", {"{split}", "{name}"})
    'may have {name} and {split} in braces, and nothing else'
    """
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or "\\" in pattern:
        return "must be a path inside of the folder"
    if not set(re.findall(r"\{[^}]*\}?|\}", pattern)) <= braces:
        return f"may have {' and '.join(sorted(braces))} in braces, and nothing else"
    if "{name}" in braces and pattern.count("{name}") != 1:
        return "must have {name} once, the place of an image's name"
    return None


def find(root: Path, pattern: str, where: str) -> dict[str, Path]:
    """Return the matching files below `root` by their {name}, which may contain sub-folders.

    `*` is anything within one component of a path. Upper and lower case of the ending are the same, and names
    are in Unicode's composed form (NFC). Raises DejavuError, with the key `where`, for two files of one name,
    and for a folder that may not be read.
    """
    result: dict[str, Path] = {}
    form = _compiled(pattern)
    for path in files_below(root / fixed_folder(pattern)):
        match = form.fullmatch(path.relative_to(root).as_posix())
        name = unicodedata.normalize("NFC", match["name"]) if match else ""
        if match and result.setdefault(name, path) != path:
            twins = f" ({TWINS})" if alike(str(path)) == alike(str(result[name])) else ""
            both = f"{shown(result[name])} and {shown(path)}"
            raise DejavuError(f"{both} are both '{shown(name)}': {where} must find one of them only{twins}")
    return result


def check_labels(
    names: Iterable[str],
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    expected: str,
    kind: str = "the label",
) -> None:
    """Make sure that the images of some names have labels, whose paths are `expected` with a {name}.

    Raises DejavuError with the first label that is missing, and what differs in a name that is nearly it.
    `kind` is what it calls one.
    """
    for name in names:
        if name not in labels:
            missing = f"{shown(expected.replace('{name}', name))} is missing{difference(name, labels)}"
            raise DejavuError(f"{missing}: it is {kind} of {shown(images[name])}")


def check_images(images: Mapping[str, Path], labels: Mapping[str, Path], expected: str) -> None:
    """Make sure that all labels have images, whose paths are `expected` with a {name}; raises DejavuError."""
    for name in sorted(labels.keys() - images.keys()):
        missing = f"{shown(expected.replace('{name}', name))}{difference(name, images)}"
        raise DejavuError(f"{shown(labels[name])} has no image {missing}")


def fixed_folder(pattern: str) -> Path:
    """Return the folder that all files of a pattern are below.

    >>> fixed_folder("images/{split}/{name}.jpg").as_posix(), fixed_folder("{name}.jpg").as_posix()
    ('images', '.')
    """
    return Path(re.split(r"[{*]", f"{pattern}*")[0] + "*").parent


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern, whose ending may be in upper and lower case."""
    special = {"{name}": "(?P<name>.+)", "*": "[^/]*"}

    def expression(text: str) -> str:
        return "".join(special.get(piece, re.escape(piece)) for piece in re.split(r"(\{name\}|\*)", text))

    ending = PurePosixPath(pattern).suffix
    stem = pattern[: len(pattern) - len(ending)]
    return re.compile(f"{expression(stem)}(?i:{expression(ending)})", re.DOTALL)
