"""The parser of commands: a wrong line is one sentence that names the nearest right word."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NoReturn

from ..errors import DejavuError, closest, nearest, number_fault


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line in one sentence, without the usage text."""

    def error(self, message: str) -> NoReturn:
        option, _, reason = message.removeprefix("argument ").partition(": ")
        if reason.startswith("ignored explicit argument"):  # it is refused
            message = f"{option} takes no value: leave {reason.rpartition(' ')[2]} out"
        if reason == "expected one argument":
            message = f"{option} needs a value; one that begins with '-' is written {option}=-VALUE"
        raise DejavuError(f"{message} (see `{self.prog} --help`)")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and refuse here what is not known: this parser has the options that were meant.

        A wrong option comes first: argparse would miss the required one that it was meant to be.
        """
        words = [] if self._subparsers is not None else list(args or ())
        options = words[: words.index("--")] if "--" in words else words
        for word in options:
            name = word.partition("=")[0]
            if word.startswith("--") and not any(one.startswith(name) for one in self._option_string_actions):
                self.error(self.unknown(word))
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self.unknown(rest[0]))
        return parsed, rest

    def unknown(self, word: str) -> str:
        """Describe a word that the command does not take."""
        option = word.partition("=")[0]
        if not option.startswith("-"):
            return f"one argument too many: '{word[:40]}'"
        known = [name for name in self._option_string_actions if name.startswith("--")]
        close = closest_option(option, known)
        hint = f"did you mean '{close}'?" if close else f"known: {', '.join(known)}"
        return f"unknown option '{option[:40]}', {hint}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not one of the choices. Overrides argparse, which lists them all."""
        if action.choices is not None and value not in action.choices:
            options = action.option_strings
            kind = f"value of {options[-1]}" if options else str(action.metavar).lower()
            self.error(f"unknown {kind} '{str(value)[:40]}', {nearest(value, map(str, action.choices))}")


def closest_option(option: str, known: Iterable[str]) -> str | None:
    """Return the long option that is closest to another word; their dashes do not make words alike."""
    close = closest(option.lstrip("-"), (name.lstrip("-") for name in known))
    return f"--{close}" if close else None


def number(
    low: float = -math.inf,
    high: float = math.inf,
    ends: Literal["[]", "()", "(]"] = "[]",
    *,
    whole: bool = False,
    also: str = "",
) -> Callable[[str], Any]:
    """Return the type of an argument that is a finite number from `low` to `high` (`errors.number_fault`).

    `also` ends the sentence about a wrong one: what an argument can mean besides.

    >>> number(1, whole=True)("2")
    2
    """

    def read(text: str) -> Any:
        try:
            value: object = int(text) if whole else float(text)
        except ValueError:
            value = text
        fault = number_fault(value, low, high, ends, whole=whole)
        if fault:
            raise argparse.ArgumentTypeError(f"{fault}, not '{text[:40]}'{also}")
        return value

    return read
