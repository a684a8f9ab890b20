"""The one exception for what a user can put right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DejavuError(Exception):
    """Bad input: one sentence that names the file, key or value and what would be right.

    The command line prints it as a single line and exits with `status`; a library user sees an
    ordinary exception.
    """

    status = 2


MOST = 12
"""names that a hint lists"""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the closest known one, or all of them, or the first of many.

    >>> nearest("hrnet81", ["hrnet18", "segformer_b5"])
    "did you mean 'hrnet18'?"
    >>> nearest("zebra", ["hrnet18", "segformer_b5"])
    'known: hrnet18, segformer_b5'
    >>> nearest("zebra", map(str, range(100)))
    'known: 0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 and 88 more'
    """
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=1)
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names[:MOST]) or 'none'}{more}"


def lacks_memory(error: BaseException) -> bool:
    """Whether it is Python's or numpy's error of main memory, or torch's of that or of a GPU's.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("CUDA error: out of memory"))
    (True, True)
    """
    words = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def known(name: str, section: Iterable[str], where: str, kind: str) -> None:
    """Raise ValueError, a sentence that starts with the key `where`, unless the name is a section's."""
    if name not in section:
        raise ValueError(f"{where}: unknown {kind} '{name}', {nearest(name, section)}")
