"""What the readable forms of a table share: its lines, which columns say something, and its cells."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from ..errors import DejavuError
from .labels import find

NOT_RUN = "not run"
OF_ANOTHER_TASK = "—"


@dataclass(frozen=True)
class Content:
    """A table's CSV: its metrics in column order, and its lines by their id."""

    metrics: tuple[str, ...]
    lines: dict[str, dict[str, str]]

    @property
    def ran(self) -> list[dict[str, str]]:
        """The lines that have numbers of ours."""
        return [line for line in self.lines.values() if line["status"] == "run"]

    @property
    def intervals(self) -> list[Cell]:
        """Every cell whose gain has an interval."""
        cells = [cell(line, metric) for line in self.ran for metric in self.metrics]
        return [found for found in cells if found.low]

    def name(self, line: Mapping[str, str]) -> str:
        """How a line is called: 'HRNet', and 'HRNet + DejaVu' of a line that names its base's method again.

        A line with a text of its own, 'redaction: low-pass', says by it what was done.
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
    """A table's CSV. Raises DejavuError where it is missing or has another form."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines = {line["id"]: line for line in reader}
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: make it with `dejavu tables`") from None
    except (KeyError, UnicodeDecodeError):
        raise DejavuError(f"{path} is not a table's CSV: make it with `dejavu tables`") from None
    heads = list(reader.fieldnames or ())
    return Content(tuple(head.removesuffix("_mean") for head in heads if head.endswith("_mean")), lines)


@dataclass(frozen=True)
class Layout:
    """Which columns a readable form has: those that say something.

    `paper` holds the metrics of which the paper prints any value, `paper_gmacs` is whether it prints
    GMACs. `cost`: ours are told by column; else every network costs the same, and the caption says it.
    """

    backbone: bool
    seeds: bool
    paper: frozenset[str]
    paper_gmacs: bool
    cost: bool

    @classmethod
    def of(cls, content: Content) -> Layout:
        """The columns of this table."""
        lines = content.lines.values()
        paper_gmacs = any(line["paper_gmacs"] for line in lines)
        return cls(
            backbone=any(line["backbone"] for line in lines),
            seeds=len({line["seeds"] for line in content.ran}) > 1,
            paper=frozenset(key for key in content.metrics if any(line[f"paper_{key}"] for line in lines)),
            paper_gmacs=paper_gmacs,
            cost=paper_gmacs or len({(line["gmacs"], line["params_m"]) for line in content.ran}) > 1,
        )

    @property
    def labels(self) -> list[str]:
        """The columns before the numbers."""
        return ["Method", *["Backbone"] * self.backbone, *["Seeds"] * self.seeds]

    def label_cells(self, content: Content, line: Mapping[str, str]) -> list[str]:
        """A line's cells of these columns."""
        seeds = line["seeds"] if line["status"] == "run" else ""
        return [content.name(line), *[line["backbone"]] * self.backbone, *[seeds] * self.seeds]

    def cost_cells(self, line: Mapping[str, str]) -> list[str]:
        """A line's GMACs as printed in the paper, GMACs of ours and millions of parameters of ours."""
        ours = [rounded(line["gmacs"], 2), rounded(line["params_m"], 2)]
        return [line["paper_gmacs"]] * self.paper_gmacs + ours * self.cost


@dataclass(frozen=True)
class Cell:
    """What one line says of one metric, spelled for readers; '' where there is nothing to say.

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
    """One metric of one line, at the digits worth printing."""
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
