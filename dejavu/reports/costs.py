"""Counted parameters and GMACs of full-size networks, compared with the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Params, Row, Run
from ..errors import DejavuError, nearest
from .tables.cells import TOLERANCE, near

COSTS = {"params_m": "params (M)", "gmacs": "GMACs"}


@dataclass
class Counted:
    """One network at one size, and the rows that have it."""

    network: str
    run: Run
    rows: list[str] = field(default_factory=list)
    paper: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ours: dict[str, Any] = field(default_factory=dict)
    fault: str = ""

    def ratio(self, key: str) -> float | None:
        """Return the ratio of our cost to the paper's; None if one is missing."""
        return self.ours[key] / self.paper[key] if key in self.paper and key in self.ours else None

    @property
    def off(self) -> bool:
        """True if a cost is further from the paper's than its rounding explains."""
        return any(not near(self.ours[key], self.paper[key]) for key in self.paper if key in self.ours)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        values: dict[str, Any] = {"network": self.network, "rows": self.rows, "input": self.ours.get("input")}
        for key in COSTS:
            values |= {key: self.ours.get(key), f"paper_{key}": self.paper.get(key)}
            values[f"ratio_{key}"] = self.ratio(key)
        return values | {"within_tolerance": not self.off, "notes": self.notes, "fault": self.fault or None}


def count(params: Params, names: Sequence[str], scale: str) -> list[Counted]:
    """Count each network of the named rows once, at its dataset's size."""
    from ..evaluation.measure import cost

    counted: dict[tuple[Any, ...], Counted] = {}
    for name, row in chosen(params, names):
        run = params.run(name, scale)
        key = (run.network.name, run.dataset, run.tasks, run.head)
        one = counted.setdefault(key, Counted(run.network.name, run))
        one.rows += [row.id if row else name] if (row.id if row else name) not in one.rows else []
        if row is not None:
            one.paper = {key: value for key, value in row.paper.items() if value and key in COSTS} | one.paper
            one.notes += [row.note] if row.note and row.note not in one.notes else []
    for one in counted.values():
        try:
            one.ours = cost(params, one.run)
        except DejavuError as error:
            one.fault = str(error)
        except (NotImplementedError, RuntimeError, TypeError, ValueError, ImportError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            one.fault = f"on the meta device it fails: {reason}"
    return list(counted.values())


def chosen(params: Params, names: Sequence[str]) -> list[tuple[str, Row | None]]:
    """Return experiments with their table rows, for named rows, experiments or networks, or for all rows.

    Raises DejavuError for an unknown name, or for a network without an experiment.
    """
    rows = [(row.experiment, row) for table in params.tables.values() for row in table.rows if row.experiment]
    filled = {experiment for experiment, _ in rows}
    every: list[tuple[str, Row | None]] = [*rows, *((name, None) for name in params.experiments)]
    if not names:
        return [*rows]
    known = {row.id for table in params.tables.values() for row in table.rows}
    chosen_rows: list[tuple[str, Row | None]] = []
    for name in names:
        if name not in known | params.experiments.keys() | params.networks.keys():
            hint = nearest(name, known | params.experiments.keys() | params.networks.keys())
            raise DejavuError(f"there is no row, experiment or network '{name}', {hint}")
        # An experiment and its network may have the same name; then the name means the experiment.
        called = name in known or name in params.experiments
        fits = [
            (experiment, row)
            for experiment, row in every
            if (row is not None or experiment not in filled)
            and (
                name in (experiment, row and row.id)
                if called
                else name == params.experiments[experiment].network
            )
        ]
        if not fits:
            what = "row" if name in known else "network"
            raise DejavuError(f"{what} '{name}' has no experiment, which says on what data it is used")
        chosen_rows += [fit for fit in fits if fit not in chosen_rows]
    return chosen_rows


def text(counted: Sequence[Counted]) -> str:
    """Return aligned columns, and below them the reasons for different costs."""
    heads = ["network", "input", *(f"{name}|paper|ratio" for name in COSTS.values()), "rows"]
    cells_of_rows = ["|".join(heads).split("|")]
    for one in counted:
        cells = [one.network, "x".join(map(str, one.ours.get("input", ["-"])))]
        for key in COSTS:
            ratio = one.ratio(key)
            cells.append(f"{one.ours[key]:.2f}" if key in one.ours else "-")
            cells.append(f"{one.paper[key]:g}" if key in one.paper else "")
            mark = "*" if ratio is not None and not near(one.ours[key], one.paper[key]) else ""
            cells.append("" if ratio is None else f"{ratio:.3f}{mark}")
        cells_of_rows.append([*cells, _listed(one.rows)])
    lines = [aligned(cells_of_rows), ""]
    lines.append(
        "Of the full-size network that is deployed, for one image of the input's size. GMACs: 1e9 "
        "multiply-accumulates of convolutions and matrix products."
    )
    if any(one.off for one in counted):
        lines.append(f"* more than {100 * TOLERANCE:g} % off the paper's:")
    for one in counted:
        if one.off:
            lines.append(f"  {one.network}: {' '.join(one.notes) or 'no note of its row says why'}")
    lines += [f"{one.network} could not be counted: {one.fault}" for one in counted if one.fault]
    return "\n".join(lines)


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Align columns; all are right-aligned except the first `left` columns and the last.

    >>> print(aligned([["a", "bb", "c"], ["aaa", "b", "c"]]))
    a    bb  c
    aaa   b  c
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    shown = []
    for line in lines:
        cells = [
            cell.ljust(width) if column < left or column == last else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def _listed(names: Sequence[str], most: int = 3) -> str:
    """List a few names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
