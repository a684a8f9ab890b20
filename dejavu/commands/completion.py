"""Completion of command lines in bash and zsh, by argcomplete.

The shell runs `dejavu` with `_ARGCOMPLETE` and `COMP_LINE` in its environment. Only then is argcomplete
imported. Names come from the keys of params.yaml, which is read without being checked.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Names = Callable[[dict[str, Any], argparse.Namespace], Iterable[str]]
ENVIRONMENT = "_ARGCOMPLETE"


def is_requested() -> bool:
    """Return True if the shell asks for completions."""
    return ENVIRONMENT in os.environ


def complete(build: Callable[[Sequence[str]], argparse.ArgumentParser]) -> None:
    """Print the completions of the line that the shell hands over, and end the process.

    `build` makes the parser of a command line. Without argcomplete there are no completions.
    """
    try:
        import argcomplete
    except ModuleNotFoundError:
        return
    words = os.environ.get("COMP_LINE", "").split()[1:]
    argcomplete.autocomplete(build(words), always_complete_options=False, validator=_begins)


def _begins(name: str, typed: str) -> bool:
    return name.casefold().startswith(typed.casefold())


def names_of(*sections: str) -> Names:
    """Return what lists the names of params.yaml's sections, such as experiments."""
    return lambda content, _: [name for section in sections for name in content.get(section) or ()]


def datasets(content: dict[str, Any], args: argparse.Namespace) -> Iterable[str]:
    """List the datasets of the chosen scale."""
    chosen = getattr(args, "scale", None)
    scale = content["scales"][chosen] if chosen else content["scale"]
    return list(scale["data"])


def completed(action: argparse.Action, names: Names) -> None:
    """Let an argument be completed by names of params.yaml, or of the file of `--params`."""

    def completer(parsed_args: argparse.Namespace, **_: object) -> list[str]:
        from ..config.yaml import read_yaml

        try:
            content = read_yaml(getattr(parsed_args, "params", "params.yaml"))
            return [str(name) for name in names(content, parsed_args)]
        except Exception:  # a file that is missing or wrong has no names, and a prompt no place for errors
            return []

    action.completer = completer  # type: ignore[attr-defined]
