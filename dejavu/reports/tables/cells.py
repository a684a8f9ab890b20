"""The content of a table that its readable forms share: lines, notes on them, and cells."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from ...errors import DejavuError
from .names import COSTS, find

NOT_RUN = "not run"
TOLERANCE = 0.03  # of a cost, against the paper's, which prints two or three digits
UNEXPLAINED = "†"
OF_ANOTHER_TASK = "—"


@dataclass(frozen=True)
class Content:
    """A table's metrics in column order, and its lines by their id: text cells, by the CSV's column names."""

    metrics: tuple[str, ...]
    lines: dict[str, dict[str, str]]

    @classmethod
    def of(cls, lines: Iterable[dict[str, str]]) -> Content:
        """Content of the lines of a table's CSV. Raises KeyError where they have another form."""
        by_id = {line["id"]: line for line in lines}
        heads = next(iter(by_id.values()), {})
        return cls(tuple(head.removesuffix("_mean") for head in heads if head.endswith("_mean")), by_id)

    @property
    def ran(self) -> list[dict[str, str]]:
        """The lines that have numbers of ours."""
        return [line for line in self.lines.values() if line["status"] == "run"]

    @property
    def intervals(self) -> list[Cell]:
        """Every cell whose gain has an interval."""
        cells = [cell(line, metric) for line in self.ran for metric in self.metrics]
        return [cell for cell in cells if cell.low]

    @property
    def paper(self) -> frozenset[str]:
        """The metrics and costs of which the paper prints any value."""
        lines = self.lines.values()
        return frozenset(
            key for key in (*self.metrics, *COSTS) if any(line[f"paper_{key}"] for line in lines)
        )

    @property
    def cost_columns(self) -> bool:
        """Whether our costs have columns; else all networks cost the same, and the caption has the number."""
        return not self.paper.isdisjoint(COSTS) or len({_cost(line) for line in self.ran}) > 1

    @property
    def notes(self) -> list[str]:
        """The rows' notes, each once; they are numbered in this order, from 1."""
        return list(dict.fromkeys(filter(None, map(self._note, self.lines.values()))))

    def off(self, line: Mapping[str, str]) -> list[str]:
        """Which costs of a line are further from the paper's than its rounding and units explain."""
        printed = [key for key in COSTS if line["status"] == "run" and line[f"paper_{key}"]]
        return [key for key in printed if not near(float(line[key]), float(line[f"paper_{key}"]))]

    def mark(self, line: Mapping[str, str]) -> str:
        """The number of a line's note; a sign where its cost is off the paper's and no note says why."""
        note = self._note(line)
        if note:
            return str(self.notes.index(note) + 1)
        return UNEXPLAINED if self.off(line) else ""

    def _note(self, line: Mapping[str, str]) -> str:
        """A row that is off the paper's cost with its base is so for its base's reason."""
        base = self.lines.get(line["base"])
        if line["note"] or base is None or not self.off(line):
            return line["note"]
        return base["note"] if base["gmacs"] == line["gmacs"] else ""

    def name(self, line: Mapping[str, str]) -> str:
        """The name of a line: 'HRNet', or 'HRNet + DejaVu' for a line with the same method as its base.

        A line with a text of its own, 'redaction: low-pass', keeps that.
        """
        base = self.lines.get(line["base"])
        return printed(line["method"], base["method"] if base else None)


def printed(method: str, base: str | None) -> str:
    """A row's name, given its method and its base row's.

    >>> printed("HRNet", None), printed("HRNet", "HRNet"), printed("text: none", "HRNet")
    ('HRNet', 'HRNet + DejaVu', 'text: none')
    """
    return f"{method} + DejaVu" if method == base else method


def read_content(path: str | Path) -> Content:
    """Content of a table's CSV. Raises DejavuError where it is missing or has another form."""
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
    """One metric of one line at the digits worth printing; '' where there is no value.

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
    """The cell of a line and a metric."""
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
    """Whether a cost is the paper's, but for rounding.

    >>> near(19.2, 19), near(240.0, 362)
    (True, False)
    """
    return abs(ours - paper) <= TOLERANCE * paper


def rounded(text: str, digits: int, *, sign: bool = False) -> str:
    """A number of the CSV with fewer decimals, rounded from its decimal spelling.

    >>> rounded("0.3149", 2, sign=True), rounded("", 2)
    ('+0.31', '')
    """
    if not text:
        return ""
    value = Decimal(text).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    return f"{value:+zf}" if sign else f"{value:zf}"


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Parts of a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"], "or")
    ('a', 'a, b or c')
    """
    return f" {word} ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
