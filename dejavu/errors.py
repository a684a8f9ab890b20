"""The one exception for what a user can put right."""

from __future__ import annotations

import difflib
import math
import re
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
"""names that a hint lists; of more, it names the closest ones"""
CLOSEST = 3


def closest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to another one, in any case; None where none is close.

    >>> closest("HRNet81", ["hrnet18", "segformer_b5"]), closest("zebra", ["hrnet18"])
    ('hrnet18', None)
    """
    folded = {one.casefold(): one for one in sorted(map(str, known), reverse=True)}
    close = difflib.get_close_matches(str(name).casefold(), folded, n=1)
    return folded[close[0]] if close else None


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the one that is meant, or all known ones, or the closest of many.

    >>> nearest("hrnet81", ["hrnet18", "segformer_b5"])
    "did you mean 'hrnet18'?"
    >>> nearest("zebra", ["hrnet18", "segformer_b5"])
    'known: hrnet18, segformer_b5'
    >>> nearest("zebra", ["bear", "ape", "ant", *map(str, range(97))])
    'the closest of 100 are bear, ape and ant'
    """
    names = sorted(map(str, known))
    close = closest(name, names)
    if close:
        return f"did you mean '{close}'?"
    if len(names) <= MOST:
        return f"known: {', '.join(names) or 'none'}"
    folded = {one.casefold(): one for one in names}
    similar = difflib.get_close_matches(str(name).casefold(), folded, CLOSEST, cutoff=0)
    *first, last = [folded[one] for one in similar]
    return f"the closest of {len(names)} are {', '.join(first)} and {last}"


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
        raise DejavuError(f"{key} {fault}, not {value!r}{spelling(value, int if whole else float)}")


def spelling(value: object, kind: type) -> str:
    """Return how to write a value that YAML or Python reads as another kind than `kind`; '' where unknown.

    `kind` is int, float, bool or str. The result is the end of a sentence about the value.

    >>> spelling("8", int), spelling("1e3", int), spelling("2.5", int)
    (' (write 8, without quotes)', ' (write 1000: YAML reads 1e3 as text)', '')
    >>> spelling("1e-3", float), spelling("50%", float), spelling(10.0, int)
    (' (write 0.001: YAML reads 1e-3 as text)', ' (write 0.5: YAML reads 50% as text)', ' (write 10)')
    >>> spelling("None", float), spelling([1], float), spelling(1.5, float), spelling(7, int)
    (" (YAML's word for nothing is null)", '', '', '')
    >>> spelling("true", bool), spelling("y", bool), spelling(1, bool)
    (' (write true, without quotes)', ' (write true: YAML reads y as text)', ' (write true)')
    >>> spelling(2026, str), spelling(False, str)
    (" (write '2026', in quotes)", " (write 'false', in quotes)")
    """
    if kind is str:
        return _as_text(value)
    if isinstance(value, str) and value.casefold() in ("none", "nil", "null"):
        return " (YAML's word for nothing is null)"
    right = _as_flag(value) if kind is bool else as_number(value, kind is int)
    if right is None or not isinstance(value, str):
        return "" if right is None else f" (write {right})"
    plain = PLAIN_NUMBER if kind is not bool else PLAIN_FLAG
    return (
        f" (write {right}, without quotes)"
        if plain.fullmatch(value)
        else (f" (write {right}: YAML reads {value} as text)")
    )


PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9_]*|[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?)")
PLAIN_FLAG = re.compile("true|false|yes|no|on|off", re.IGNORECASE)


def _as_text(value: object) -> str:
    if value is None:
        return " (write the name in quotes: YAML reads null, ~ and an empty place as nothing)"
    if isinstance(value, bool):
        return f" (write '{str(value).lower()}', in quotes)"
    unquoted = isinstance(value, int | float) or hasattr(value, "isoformat")  # a date
    short = unquoted and len(str(value)) < 40
    return f" (write '{value}', in quotes)" if short else ""


def _as_flag(value: object) -> str | None:
    words = {"true": "true yes on y 1", "false": "false no off n 0"}
    return next((flag for flag, ones in words.items() if str(value).casefold() in ones.split()), None)


def as_number(value: object, whole: bool = False) -> str | None:
    """Return how the number that a text is meant to be is written; None where it is no such text."""
    if not isinstance(value, str):
        return str(int(value)) if whole and isinstance(value, float) and value.is_integer() else None
    percent = value.endswith("%") and not whole
    try:
        number = float(value.removesuffix("%") if percent else value) / (100 if percent else 1)
    except ValueError:
        return None
    if not abs(number) < 1e15 or (whole and not number.is_integer()):
        return None
    if whole:
        return str(int(number))
    text = repr(number)  # YAML wants a point in what has an exponent
    return text if "." in text or "e" not in text else text.replace("e", ".0e")


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
