"""The one exception for what a user can put right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DejavuError(Exception):
    """Bad input: one sentence that names the file, key or value and what would be right.

    The command line prints it as a single line and exits with status 2; a library user sees an
    ordinary exception.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the closest known one, or all of them.

    >>> nearest("hrnet81", ["hrnet18", "segformer_b5"])
    "did you mean 'hrnet18'?"
    >>> nearest("zebra", ["hrnet18", "segformer_b5"])
    'known: hrnet18, segformer_b5'
    """
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"
