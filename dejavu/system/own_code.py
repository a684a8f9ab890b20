"""Functions of the user's own files, by their names: "package.module:function".

Modules are looked for in the working directory, too, as `python -m` does.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import DejavuError

NAME = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"
"""the form of such a name"""


def is_own(name: str) -> bool:
    """Return whether a name is that of a user's function.

    >>> is_own("hrnet"), is_own("models.net:build")
    (False, True)
    """
    return re.match(NAME, name) is not None


def load(name: str) -> Callable[..., Any]:
    """Import the function. Raises DejavuError, one sentence, where that fails."""
    module, _, function = name.partition(":")
    with _working_directory():
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # whatever the file does when it is run
            reason = f"{type(error).__name__}: {error}"
            raise DejavuError(f"{name}: {module} cannot be imported ({reason}){_advice(error)}") from None
    result = getattr(imported, function, None)
    if not callable(result):
        raise DejavuError(f"{name}: {imported.__file__ or module} has no function '{function}'")
    made: Callable[..., Any] = result
    return made


def file_of(name: str) -> Path:
    """Return the file of the function's module. Raises DejavuError where there is none."""
    module = name.partition(":")[0]
    with _working_directory():
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise DejavuError(f"{name}: there is no module {module}{_advice(None)}")
    return Path(spec.origin)


def _advice(error: Exception | None) -> str:
    if error is not None and not isinstance(error, ModuleNotFoundError):
        return ""
    return f": it is looked for in {Path.cwd()} and in PYTHONPATH"


class _working_directory:
    """Within it the working directory is the last of the folders of modules, unless it is one anyway."""

    def __enter__(self) -> None:
        self.added = None if {"", os.getcwd()} & set(sys.path) else os.getcwd()
        if self.added is not None:
            sys.path.append(self.added)
        importlib.invalidate_caches()

    def __exit__(self, *_: object) -> None:
        if self.added in sys.path:
            sys.path.remove(str(self.added))
