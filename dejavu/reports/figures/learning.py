"""The learning curves of a table: which rows stand in one line of plots, and their logs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ...config import Params, Row, Table
from ...config.paths import Paths
from ..tables.cells import printed
from .setting import Nothing, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .curves import Group

# Of tables with rows of several tasks: lines of plots of rows that are no half of a pair; ids of no row.
ALONE = {"(plain)": "several tasks, without a DejaVu row", "(single)": "one task each"}
WEIGHTS = "Weights are those of an epoch's last step; MGDA's sum to 1, the others' to the number of tasks."


def curves(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """Learning curves of all rows that are run, from their logs."""
    from ...datasets import reader
    from .curves import draw_curves, panels

    table = params.get_table(name)
    source = params.part(table.dataset, scale).source
    split = reader(table.dataset, source, params.datasets.get(source)).validate
    found = groups(params, table, scale, partial)
    if not found:
        raise Nothing(f"no row of tables.{name} has a log")
    said = setting(params, name, scale, split, Paths(scale).log if partial else None)
    note = f"{said} Line: mean, band: smallest to largest over the seeds."
    if any("weight_" in column for group in found for curve in group.curves for column in curve.logs[0]):
        note = f"{note} {WEIGHTS}"
    tasks = {
        task for row in table.rows if row.experiment for task in params.experiments[row.experiment].tasks
    }
    return draw_curves(found, f"Learning curves: {table.title}", note, panels(tasks))


def groups(params: Params, table: Table, scale: str, partial: bool = False) -> list[Group]:
    """The rows that are run, each with its base where that is run too."""
    from .curves import Curve, Group, read_log

    paths = Paths(scale)
    rows = {row.id: row for row in table.rows if row.experiment}
    seeds = {row.id: params.run(str(row.experiment), scale).seeds for row in rows.values()}
    if partial:
        logs = {
            key: [paths.log(str(row.experiment), seed) for seed in seeds[key]] for key, row in rows.items()
        }
        seeds = {
            key: tuple(seed for seed, log in zip(seeds[key], files, strict=True) if log.exists())
            for key, files in logs.items()
        }
        rows = {key: row for key, row in rows.items() if seeds[key]}
    members: dict[str, list[Row]] = {}
    for row in rows.values():
        members.setdefault(_first(table, row, rows), []).append(row)
    methods = {row.id: row.method for row in table.rows}
    found = []
    for first, group in members.items():
        group.sort(key=lambda row: row.id != first)  # the base first, whatever the table's order
        labels = {row.id: printed(row.method, methods.get(row.base or "")) for row in group}
        uses = Counter(labels.values())
        drawn = []
        for row in group:
            experiment, label = str(row.experiment), labels[row.id]
            command = f"dejavu train {experiment} --scale {scale}"
            tasks = params.experiments[experiment].tasks
            read = [read_log(paths.log(experiment, seed), command, tasks) for seed in seeds[row.id]]
            drawn.append(Curve(label if uses[label] == 1 else row.id, read))
        title = ALONE.get(first) or ", ".join(filter(None, (group[0].method, group[0].backbone)))
        found.append(Group(title, drawn))
    return found


def _first(table: Table, row: Row, rows: dict[str, Row]) -> str:
    """What a row stands in one line with: its base, or those of its kind where it is no half of a pair."""
    if row.base in rows:
        return str(row.base)
    if not table.single or any(other.base == row.id for other in rows.values()):
        return row.id
    return "(single)" if row.experiment in table.single.values() else "(plain)"
