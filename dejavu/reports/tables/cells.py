"""Content of a table for its readable forms: lines, notes and cells."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from ...errors import DejavuError
from .names import COSTS, find

NOT_RUN = "not run"
TOLERANCE = 0.03  # relative difference between a cost and the paper's, which has two or three digits
UNEXPLAINED = "†"
OF_ANOTHER_TASK = "—"


@dataclass(frozen=True)
class Content:
    """Metrics of a table in column order, and its lines by id: text cells by the CSV's column names."""

    metrics: tuple[str, ...]
    lines: dict[str, dict[str, str]]

    @classmethod
    def of(cls, lines: Iterable[dict[str, str]]) -> Content:
        """Build the content from the lines of a table's CSV. Raises KeyError if they have another format."""
        by_id = {line["id"]: line for line in lines}
        heads = next(iter(by_id.values()), {})
        return cls(tuple(head.removesuffix("_mean") for head in heads if head.endswith("_mean")), by_id)

    @property
    def ran(self) -> list[dict[str, str]]:
        """Lines with our numbers."""
        return [line for line in self.lines.values() if line["status"] == "run"]

    @property
    def intervals(self) -> list[Cell]:
        """All cells whose gain has an interval."""
        cells = [cell(line, metric) for line in self.ran for metric in self.metrics]
        return [cell for cell in cells if cell.low]

    @property
    def paper(self) -> frozenset[str]:
        """Metrics and costs with any value in the paper."""
        lines = self.lines.values()
        return frozenset(
            key for key in (*self.metrics, *COSTS) if any(line[f"paper_{key}"] for line in lines)
        )

    @property
    def cost_columns(self) -> bool:
        """True if our costs have columns; otherwise all networks have one cost, given in the caption."""
        return not self.paper.isdisjoint(COSTS) or len({_cost(line) for line in self.ran}) > 1

    @property
    def notes(self) -> list[str]:
        """Notes of the rows, each once; they are numbered in this order, from 1."""
        return list(dict.fromkeys(filter(None, map(self._note, self.lines.values()))))

    def off(self, line: Mapping[str, str]) -> list[str]:
        """Return the costs of a line that differ from the paper's by more than rounding and units explain."""
        printed = [key for key in COSTS if line["status"] == "run" and line[f"paper_{key}"]]
        return [key for key in printed if not near(float(line[key]), float(line[f"paper_{key}"]))]

    def mark(self, line: Mapping[str, str]) -> str:
        """Return the number of a line's note, or a mark for a different cost without a note."""
        note = self._note(line)
        if note:
            return str(self.notes.index(note) + 1)
        return UNEXPLAINED if self.off(line) else ""

    def _note(self, line: Mapping[str, str]) -> str:
        """Return a line's note, or the note of its base if both have the same different cost."""
        base = self.lines.get(line["base"])
        if line["note"] or base is None or not self.off(line):
            return line["note"]
        return base["note"] if base["gmacs"] == line["gmacs"] else ""

    def name(self, line: Mapping[str, str]) -> str:
        """Return the name of a line: 'HRNet', or 'HRNet + DejaVu' if its base has the same method.

        A line with another method text, such as 'redaction: low-pass', keeps this text.
        """
        base = self.lines.get(line["base"])
        return printed(line["method"], base["method"] if base else None)


def printed(method: str, base: str | None) -> str:
    """Return the name of a row, from its method and the method of its base row.

    >>> printed("HRNet", None), printed("HRNet", "HRNet"), printed("text: none", "HRNet")
    ('HRNet', 'HRNet + DejaVu', 'text: none')
    """
    return f"{method} + DejaVu" if method == base else method


def read_content(path: str | Path) -> Content:
    """Read the content of a table's CSV. Raises DejavuError if it is missing or has another format."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return Content.of(csv.DictReader(file))
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: make it with `dejavu tables`") from None
    except (KeyError, UnicodeDecodeError):
        raise DejavuError(f"{path} is not a table's CSV: make it with `dejavu tables`") from None


def _cost(line: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(line[key] for key in COSTS)


@dataclass(frozen=True)
class Cell:
    """One metric of one line, rounded for readers; '' if there is no value.

    `gain` has its sign; `certain` marks a gain whose interval excludes 0.
    """

    paper: str
    mean: str
    deviation: str
    gain: str
    low: str
    high: str
    certain: bool


def cell(line: Mapping[str, str], metric: str) -> Cell:
    """Return the cell of a line and a metric."""
    digits = find(metric).digits
    low, high = line[f"{metric}_gain_lo"], line[f"{metric}_gain_hi"]
    mean = rounded(line[f"{metric}_mean"], digits) or OF_ANOTHER_TASK
    return Cell(
        paper=line[f"paper_{metric}"],
        mean=NOT_RUN if line["status"] == NOT_RUN else mean,
        deviation=rounded(line[f"{metric}_std"], digits),
        gain=rounded(line[f"{metric}_gain"], digits, sign=True),
        low=rounded(low, digits, sign=True),
        high=rounded(high, digits, sign=True),
        certain=bool(low and high) and (Decimal(low) > 0 or Decimal(high) < 0),
    )


def near(ours: float, paper: float) -> bool:
    """Return True if a cost equals the paper's, except for rounding.

    >>> near(19.2, 19), near(240.0, 362)
    (True, False)
    """
    return abs(ours - paper) <= TOLERANCE * paper


def rounded(text: str, digits: int, *, sign: bool = False) -> str:
    """Round a number of the CSV, given as text, to fewer decimals.

    >>> rounded("0.3149", 2, sign=True), rounded("", 2)
    ('+0.31', '')
    """
    if not text:
        return ""
    value = Decimal(text).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    return f"{value:+zf}" if sign else f"{value:zf}"


def listed(items: Sequence[str], word: str = "and") -> str:
    """Join items to a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"], "or")
    ('a', 'a, b or c')
    """
    return f" {word} ".join(filter(None, (", ".join(items[:-1]), items[-1])))
