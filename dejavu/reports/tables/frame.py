"""Table as a DataFrame: the paper's values and ours in separate columns.

Cells are text: a number's decimals are chosen by its column, so that the CSV has the same bytes on any
machine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from ...config import Row, Table
from ..statistics import paired_difference, summary
from .names import COSTS
from .results import Result

if TYPE_CHECKING:
    from pandas import DataFrame

Line = dict[str, str]


def columns(metrics: Iterable[str]) -> list[str]:
    """Return the columns of the CSV in order.

    >>> columns(["miou"])[9:15]
    ['paper_miou', 'miou_mean', 'miou_std', 'miou_gain', 'miou_gain_lo', 'miou_gain_hi']
    """
    names = ["id", "method", "backbone", "dejavu", "base", "dataset", "scale", "seeds", "status"]
    for metric in metrics:
        names += [f"paper_{metric}", f"{metric}_mean", f"{metric}_std"]
        names += [f"{metric}_gain", f"{metric}_gain_lo", f"{metric}_gain_hi"]
    return [*names, *COSTS, *(f"paper_{key}" for key in COSTS), "note"]


def table_frame(
    table: Table,
    results: Mapping[str, Result],
    source: str,
    scale: str,
    plain: Collection[str] = (),
) -> DataFrame:
    """Return one line for each row of the table, in its order; the columns are `columns(table.metrics)`.

    `results` holds the measured experiments; `source` is the dataset that was used. A row without a result is
    'not run' and has only the paper's value. Metrics of other tasks than the row's own are empty. A row with
    a base is a DejaVu row, unless its experiment is in `plain`.
    """
    from pandas import DataFrame  # late: figures import this package and need no pandas

    by_id = {
        row.id: results[row.experiment] for row in table.rows if row.experiment and row.experiment in results
    }
    lines = [_line(table, row, by_id, source, scale) for row in table.rows]
    for row, line in zip(table.rows, lines, strict=True):
        line["dejavu"] = "true" if row.base and row.experiment not in plain else "false"
    return DataFrame(lines, columns=columns(table.metrics))


def csv_text(frame: DataFrame) -> str:
    """Return the table as CSV with a header."""
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _line(table: Table, row: Row, by_id: Mapping[str, Result], source: str, scale: str) -> Line:
    ours, base = by_id.get(row.id), by_id.get(row.base or "")
    line = dict.fromkeys(columns(table.metrics), "")
    line |= {"id": row.id, "method": row.method, "backbone": row.backbone, "base": row.base or ""}
    line |= {"dataset": source, "scale": scale}
    line |= {f"paper_{key}": _paper(table, row, key) for key in (*table.metrics, *COSTS)}
    line |= {"note": row.note or ""}
    if ours is None:
        return line | {"seeds": "0", "status": "not run"}
    for metric in table.metrics:
        line |= _measured(metric, ours.metrics.get(metric, {}), base.metrics.get(metric, {}) if base else {})
    line |= {"gmacs": digits(ours.gmacs, 4), "params_m": digits(ours.params_m, 4)}
    return line | {"seeds": str(len(ours.seeds)), "status": "run"}


def _measured(metric: str, ours: Mapping[int, float], base: Mapping[int, float]) -> Line:
    """Return the cells of one metric, from values by seed of a row and of its base."""
    if not ours:
        return {}
    mean, deviation = summary(ours.values())
    cells = {f"{metric}_mean": digits(mean), f"{metric}_std": digits(deviation)}
    if not ours.keys() & base.keys():
        return cells
    gain = paired_difference(ours, base)
    cells |= {f"{metric}_gain": digits(gain.mean)}
    return cells | {f"{metric}_gain_lo": digits(gain.low), f"{metric}_gain_hi": digits(gain.high)}


def digits(value: float | None, decimals: int = 6) -> str:
    """Format a value with fixed decimals, the same on every machine and enough for a second rounding.

    >>> digits(-0.0000001), digits(None)
    ('0.000000', '')
    """
    return "" if value is None else f"{value:z.{decimals}f}"


def _paper(table: Table, row: Row, key: str) -> str:
    """Return the paper's value with the decimals of its column: a float has no trailing zeros."""
    texts = [_printed(one.paper.get(key)) for one in table.rows]
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    text = _printed(row.paper.get(key))
    return f"{row.paper[key]:.{decimals}f}" if text and isinstance(row.paper[key], float) else text


def _printed(value: float | None) -> str:
    """Format a number as in paper/<table>.csv, and so as in the paper.

    >>> _printed(82.0), _printed(19), _printed(None)
    ('82.0', '19', '')
    """
    return "" if value is None else repr(value)
