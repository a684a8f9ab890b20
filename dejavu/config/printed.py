"""Rows as the paper prints them: paper/<table>.csv has their titles, values and notes."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import nearest
from ..metrics import METRICS
from .values import NAME, NO_NAME, one_line

TEXTS = ("row", "experiment", "method", "backbone", "note")
NUMBERS = (*METRICS, "gmacs", "params_m")
LARGEST = 1_000_000
"""characters of a file"""


@dataclass(frozen=True)
class Printed:
    """A row as the paper prints it: its names, its values by metric, and a sentence about them."""

    experiment: str = ""
    """The experiment that fills the row, where its name differs from the row's."""
    method: str = ""
    backbone: str = ""
    values: dict[str, float | int | None] = field(default_factory=dict)
    note: str = ""


def read_printed(path: Path) -> dict[str, Printed]:
    """Read the rows of a file, by their names. Raises ValueError, one sentence that names the file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"paper: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"paper: {path} is not UTF-8 text") from None
    if len(text) > LARGEST:
        raise ValueError(f"paper: {path} has more than {LARGEST} characters")
    rows: dict[str, Printed] = {}
    try:
        lines = csv.DictReader(io.StringIO(text), strict=True)
        header = lines.fieldnames or ()
        for key in header:
            if header.count(key) > 1:
                raise ValueError(f"the column {key[:40]!a} is given twice")
            if key not in (*TEXTS, *NUMBERS):
                raise ValueError(f"unknown column {key[:40]!a}, {nearest(key[:40], (*TEXTS, *NUMBERS))}")
        if "row" not in header:
            raise ValueError("the column 'row' is missing")
        for line in lines:
            row = line["row"] or ""
            for name in (row, line.get("experiment") or row):
                if not re.fullmatch(NAME, name):
                    raise ValueError(f"line {lines.line_num}: {ascii(name)[:80]} {NO_NAME}")
            if row in rows:
                raise ValueError(f"line {lines.line_num}: row '{row}' is given twice")
            rows[row] = _printed(line, lines.line_num)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"paper: {path}: {error}") from None
    return rows


def _printed(line: dict[str, str], number: int) -> Printed:
    if None in line or None in line.values():
        raise ValueError(f"line {number} has another number of cells than the header")
    texts = {key: one_line(line.get(key, ""), f"line {number}: {key} ") for key in TEXTS if key != "row"}
    values: dict[str, float | int | None] = {
        key: _number(line[key], key, number) for key in NUMBERS if line.get(key)
    }
    return Printed(values=values, **texts)


def _number(text: str, key: str, number: int) -> float | int:
    """Return an int where the paper prints no decimals, else a float."""
    try:
        value = int(text) if text.isdecimal() else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"line {number}: {key} is {text[:40]!a}, not a finite number")
    return value
