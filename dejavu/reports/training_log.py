"""The learning curve of a training, read for figures and for tables of the best epoch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DejavuError


@contextmanager
def log_lines(path: Path, command: str) -> Iterator[list[dict[str, str]]]:
    """Read the lines of a training log, one an epoch, for use in this block.

    Raises DejavuError with the file, and the command that makes it, if it is missing, or if the block fails
    on a line: without a column, or with a field that is no number.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        yield lines
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: make it with `{command}`") from None
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DejavuError(
            f"{path} is not a training log ({type(error).__name__}: {error}): make it with `{command}`"
        ) from None
