"""Path patterns with {name}: the files that match, and the name in each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ...errors import DejavuError


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

    `*` is anything within one component of a path. Raises DejavuError, with the key `where`, for two files of
    one name.
    """
    result: dict[str, Path] = {}
    pieces = re.split(r"(\{name\}|\*)", pattern)
    special = {"{name}": "(?P<name>.+)", "*": "[^/]*"}
    form = re.compile("".join(special.get(piece, re.escape(piece)) for piece in pieces))
    fixed = Path(pieces[0]).parts if pieces[0].endswith("/") else Path(pieces[0]).parts[:-1]
    for path in _files(root.joinpath(*fixed)):
        match = form.fullmatch(path.relative_to(root).as_posix())
        if match and result.setdefault(match["name"], path) != path:
            both = f"{result[match['name']]} and {path}"
            raise DejavuError(f"{both} are both '{match['name']}': {where} must find one of them only")
    return result


def _files(folder: Path) -> Iterator[Path]:
    """List all files below a folder, without hidden ones; links are followed, each folder once."""
    visited = set()
    for current, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(current, name) for name in sorted(files) if not name.startswith("."))
