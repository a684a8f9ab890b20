"""Listing of folders: no file is passed over, and names that differ in form alone are one name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import DejavuError

NAMED = 5
"""files that a report or a notice names; it counts the others"""


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """List what is in a folder, sorted, without hidden names (`.x`, so also `._x`).

    A folder that is missing has nothing. Raises DejavuError that names a folder that may not be read.
    """
    try:
        with os.scandir(folder) as inside:
            return sorted((one for one in inside if not one.name.startswith(".")), key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(str(folder), error) from None


def files_below(folder: str | os.PathLike[str]) -> list[Path]:
    """List the files below a folder: those of a folder first, then those of its sub-folders, each sorted.

    Links are followed, except to a folder that they are in. Hidden files and folders are left out. Raises
    DejavuError that names a folder that may not be read.
    """
    return [Path(folder, name) for name in _names(os.fspath(folder), "", frozenset())]


def _names(folder: str, below: str, above: frozenset[str]) -> Iterator[str]:
    current = os.path.join(folder, below) if below else folder
    real = os.path.realpath(current)
    if real in above:
        return
    folders = []
    for entry in entries(current):
        if _is_folder(entry):
            folders.append(entry.name)
        else:
            yield os.path.join(below, entry.name)
    for name in folders:
        yield from _names(folder, os.path.join(below, name), above | {real})


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # of the target of a link
        raise _unreadable(entry.path, error) from None


def _unreadable(path: str, error: OSError) -> DejavuError:
    return DejavuError(
        f"{shown(path)} cannot be read ({error.strerror}), and no file in it may be left out: change its "
        "permissions, or move it away"
    )


def alike(name: str) -> str:
    """Return the form in which two names of one file are equal: Unicode composed, the ending in lower case.

    >>> alike("A/B.JPG"), alike("e\\u0301.png") == "\\u00e9.png"
    ('A/B.jpg', True)
    """
    stem, dot, ending = name.rpartition(".")
    return unicodedata.normalize("NFC", stem + dot + (ending if "/" in ending or not dot else ending.lower()))


class Listing:
    """The files below a folder by their path in it, which may differ in the form of `alike`."""

    def __init__(self, folder: Path, ending: str = "") -> None:
        """List the files, or those of one ending. Raises DejavuError for a folder that may not be read."""
        self.folder = folder
        names = _names(os.fspath(folder), "", frozenset())
        self.files = {name: folder / name for name in names if name.lower().endswith(ending)}
        self._alike: dict[str, list[str]] = {}
        for name in self.files:
            self._alike.setdefault(alike(name), []).append(name)

    def get(self, name: str) -> Path | None:
        """Return the file of that name, or else the one that is alike; None where there is none.

        Raises DejavuError where two files are alike.
        """
        if name in self.files:
            return self.files[name]
        same = self._alike.get(alike(name), [])
        if len(same) > 1:
            raise DejavuError(f"{self.folder / same[0]} and {same[1]} both may be {shown(name)}: {TWINS}")
        return self.files[same[0]] if same else None

    def hint(self, name: str) -> str:
        """Return " (...)" with what is there in place of a missing file; empty where there is nothing."""
        if (self.folder / name).is_dir():
            return " (there is a folder of that name)"
        return difference(name, self.files)


TWINS = "their names differ only in the case of the ending or in the form of Unicode, so remove one"

_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("in the form of Unicode or the case of its ending", alike),
    ("in upper and lower case", str.casefold),
    ("in spaces", lambda name: "".join(name.split())),
    ("in its encoding, which is not UTF-8", lambda name: alike(_from_latin(name))),
    ("in its ending", lambda name: name.rpartition(".")[0] or name),
)


def difference(name: str, present: Iterable[str]) -> str:
    """Return " (...)" with a name that is nearly `name`, and in what they differ; empty where there is none.

    >>> difference("a b.png", ["c.png", "A_b.png", "ab.png"]), difference("a.png", ["b.png"])
    (" ('ab.png' differs in spaces)", '')
    """
    wanted, others = name, {other: other for other in present}
    for what, form in _FORMS:
        wanted, others = form(wanted), {other: form(key) for other, key in others.items()}
        if near := sorted(other for other, key in others.items() if key == wanted):
            return f" ('{shown(near[0])}' differs {what})"
    return ""


def folder_hint(root: Path, below: Path) -> str:
    """Return " (...)" with a folder that is nearly one of the folders of the path `below` in `root`."""
    for name in below.parts:
        if not (root / name).is_dir():
            return difference(name, (one.name for one in entries(root) if one.is_dir()))
        root = root / name
    return ""


def _from_latin(name: str) -> str:
    """Return a name whose bytes that are not UTF-8 are read as Latin-1."""
    return "".join(chr(ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in name)


def name_fault(name: str) -> str | None:
    """Describe why a name cannot stand on a line of a list in UTF-8; None where it can.

    >>> name_fault("a b"), name_fault("a\\nb")
    (None, 'has a line break in its name, and lists have a name on each line: rename it')
    """
    if len(name.splitlines()) != 1:
        return "has a line break in its name, and lists have a name on each line: rename it"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8: rename it (`convmv -f latin1 -t utf8` does, of Latin-1)"
    return None


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as text for a terminal: bytes that are not UTF-8 and control characters are escaped.

    >>> shown("a\\n\\udce9.png")
    'a\\\\n\\\\xe9.png'
    """
    text = os.fspath(path)
    return "".join(c if c.isprintable() else ascii(_from_latin(c))[1:-1] for c in text)


def summary(names: Iterable[str]) -> dict[str, object]:
    """Return the number of files and the first of their names, for a report.

    >>> summary(["b", "a"])
    {'count': 2, 'first': ['a', 'b']}
    """
    ordered = sorted(map(shown, names))
    return {"count": len(ordered), "first": ordered[:NAMED]}


def first_of(names: Iterable[str]) -> str:
    """Return the number of files and the first of their names as text.

    >>> first_of("gfedcba"), first_of("x")
    ('7 files (a, b, c, d, e, ...)', '1 file (x)')
    """
    ordered = sorted(map(shown, names))
    more = ", ..." if len(ordered) > NAMED else ""
    return f"{len(ordered)} file{'s' if len(ordered) > 1 else ''} ({', '.join(ordered[:NAMED])}{more})"
