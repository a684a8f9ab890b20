"""The one exception for what a user can put right."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Literal, TypeGuard


class DejavuError(Exception):
    """Bad input: one sentence that names the file, key or value and what would be right.

    The command line prints it as a single line and exits with `status`; a library user sees an
    ordinary exception.
    """

    status = 2


MOST = 12
"""names that a hint lists"""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest known one, or all of them, or the first of many.

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


def number_fault(
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    ends: Literal["[]", "()", "(]"] = "[]",
    *,
    whole: bool = False,
    limit: float = math.inf,
) -> str | None:
    """Describe what a value should be, if it is not a finite number from `low` to `high`; None where it is.

    Numbers are Python's and numpy's, and no bools. `ends` is the interval as mathematics writes it: a round
    bracket leaves that end out. `limit` is an upper end that only slips exceed: the sentence names it to
    those alone.

    >>> number_fault(0.5, 0, 1, "()"), number_fault(1, 0, 1, "()")
    (None, 'must be a number between 0 and 1')
    >>> number_fault(True, 1, whole=True, limit=64), number_fault(65, 1, whole=True, limit=64)
    ('must be a whole number of at least 1', 'must be a whole number of at most 64')
    """
    kind = "a whole number" if whole else "a number"
    if is_number(value, whole) and -math.inf < value < math.inf and _inside(value, low, high, ends):
        return f"must be {kind} of at most {limit:g}" if value > limit else None
    if high < math.inf:
        spans = {"[]": "from {} to {}", "()": "between {} and {}", "(]": "above {} and at most {}"}
        return f"must be {kind} {spans[ends].format(f'{low:g}', f'{high:g}')}"
    if low > -math.inf:
        return f"must be {kind} {'above' if ends[0] == '(' else 'of at least'} {low:g}"
    return f"must be {kind}"


def _inside(value: float, low: float, high: float, ends: str) -> bool:
    return (low < value if ends[0] == "(" else low <= value) and (
        value < high if ends[1] == ")" else value <= high
    )


def is_number(value: object, whole: bool = False) -> TypeGuard[float]:
    """Return whether a value is a number of Python or numpy, or a whole one; a bool is none.

    >>> is_number(1.5), is_number(1.5, whole=True), is_number(True)
    (True, False, False)
    """
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool)


def check_number(
    key: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    ends: Literal["[]", "()", "(]"] = "[]",
    *,
    whole: bool = False,
) -> None:
    """Raise DejavuError, a sentence that starts with `key`, unless a value is such a number (`number_fault`).

    >>> check_number("gamma", -1, 0)
    Traceback (most recent call last):
    dejavu.errors.DejavuError: gamma must be a number of at least 0, not -1
    """
    fault = number_fault(value, low, high, ends, whole=whole)
    if fault:
        raise DejavuError(f"{key} {fault}, not {value!r}")


def lacks_memory(error: BaseException) -> bool:
    """Return whether memory ran out: main memory (Python, numpy, torch) or that of a GPU (torch).

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("CUDA error: out of memory"))
    (True, True)
    """
    words = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def known(name: str, section: Iterable[str], where: str, kind: str) -> None:
    """Raise ValueError, a sentence that starts with the key `where`, unless the name is a section's."""
    if name not in section:
        raise ValueError(f"{where}: unknown {kind} '{name}', {nearest(name, section)}")
