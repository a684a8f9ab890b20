"""`dejavu figures TABLE --scale S`: the figures that params.yaml lists for a table.

Curves come from logs, the panel from weights and images, gains per class from the metrics, and the forest
plot of gains and the trade-off from the table's CSV.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DejavuError
from ..figures.pairs import Pair, find_pairs
from ..paths import Paths
from ..schema import Params, Row, Table
from ..tables import Origin
from ..tables.forms import Content, printed, read_content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..figures.curves import Group

PANELS = 6  # of gains per class: more could not be read


def run(params: Params, name: str, scale: str, partial: bool = False) -> None:
    """Draw the figures of a table.

    Raises DejavuError where the table lists none, no DejaVu row is run with its base, or what a figure is
    drawn from is missing. With `partial`, rows that are not there yet are left out, and a figure of which
    nothing is there is not drawn.
    """
    from ..figures.style import save

    table, paths = params.get_table(name), Paths(scale)
    if not table.figures:
        raise DejavuError(f"tables.{name}.figures lists none: write [curves, panel] or [gains]")
    find_pairs(params, name)
    draw = {"curves": curves, "panel": panel, "gains": gains, "classes": classes, "tradeoff": tradeoff}
    drawn = []
    for kind in table.figures:
        if kind in ("curves", "panel", "classes"):
            _refuse_other_tasks(params, name, kind)
        try:
            save(draw[kind](params, name, scale, partial), paths.figure(name, kind))
        except Nothing as error:
            if not partial:
                raise
            warnings.warn(f"{paths.figure(name, kind)} is not drawn: {error}", stacklevel=2)
            continue
        drawn.append(str(paths.figure(name, kind)))
    print(f"{name} at scale {scale}: {', '.join(drawn) or 'nothing to draw yet'}")


class Nothing(DejavuError):
    """There is nothing to draw a figure from."""


def curves(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """Learning curves of all rows that are run, from their logs."""
    from ..datasets import reader, validate
    from ..figures.curves import draw_curves

    table = params.get_table(name)
    source = params.part(table.dataset, scale).source
    split = validate(reader(table.dataset, source, params.datasets.get(source)))
    found = groups(params, table, scale, partial)
    if not found:
        raise Nothing(f"no row of tables.{name} has a log")
    setting = _setting(params, name, scale, split, Paths(scale).log if partial else None)
    note = f"{setting} Line: mean, band: smallest to largest over the seeds."
    return draw_curves(found, f"Learning curves: {table.title}", note)


def panel(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """Images, predictions of up to three pairs, and the first pair's regenerations, at their first seed."""
    import numpy as np

    from ..datasets.store import open_split, read_report
    from ..figures.panel import draw_panel
    from .qualitative import choose, first_block, further_block, shown

    paths, table = Paths(scale), params.get_table(name)
    pairs = find_pairs(params, name)
    if partial:
        pairs = [pair for pair in pairs if _trained(params, scale, pair)]
        if not pairs:
            raise Nothing(f"no pair of tables.{name} is trained")
    report = read_report(paths.prepared(table.dataset), params.part(table.dataset, scale))
    images = shown(open_split(paths.prepared(table.dataset), report["evaluate"]))
    first, further = choose(params, scale, pairs)
    blocks = [first_block(params, scale, first, images, report["classes"])]
    if further:
        blocks.append(further_block(params, scale, further, images, report["classes"]))
    setting = _setting(params, name, scale, report["evaluate"], paths.weights if partial else None)
    several = f", and {len(further)} further of {len(pairs)} pairs" if further else ""
    title = f"{first.title}: what is predicted, and what is regenerated from it{several}"
    seed = params.run(first.experiment, scale).seeds[0]
    note = f"{setting} Shown: seed {seed}."
    return draw_panel(blocks, np.array(report["palette"], np.uint8), report["classes"], title, note)


def _setting(
    params: Params, name: str, scale: str, split: str, made: Callable[[str, int], Path] | None
) -> str:
    """Scale, data, training and seeds; of an unfinished table, of what `made` has files."""
    measured = None
    if made is not None:
        runs = [params.run(experiment, scale) for experiment in params.get_table(name).experiments]
        found = {
            run.experiment: tuple(seed for seed in run.seeds if made(run.experiment, seed).exists())
            for run in runs
        }
        measured = {experiment: seeds for experiment, seeds in found.items() if seeds}
    origin = Origin.of(params, name, scale, split, measured)
    return " ".join(filter(None, [f"Scale {scale}: {origin.setting}.", origin.partial]))


def _trained(params: Params, scale: str, pair: Pair) -> bool:
    """Whether both networks of a pair are there, and the regenerator, of the seed that is shown."""
    paths, seed = Paths(scale), params.run(pair.experiment, scale).seeds[0]
    files = [paths.weights(name, seed) for name in (pair.base, pair.experiment)]
    return all(file.exists() for file in (*files, paths.regenerator(pair.experiment, seed)))


def _refuse_other_tasks(params: Params, name: str, kind: str) -> None:
    """Curves, the panel and gains per class show classes and their mIoU."""
    for experiment in params.get_table(name).experiments:
        task = params.experiments[experiment].task
        if task != "semantic":
            raise DejavuError(
                f"tables.{name}.figures: '{kind}' shows semantic segmentation, and the task of "
                f"'{experiment}' is {task}: write [gains]"
            )


def table_content(params: Params, name: str, scale: str) -> Content:
    """The table's CSV, which must have params.yaml's rows and metrics."""
    table, path = params.get_table(name), Paths(scale).table(name, "csv")
    content = read_content(path)
    if [*content.lines] != [row.id for row in table.rows] or content.metrics != table.metrics:
        raise DejavuError(
            f"{path} has other rows or metrics than tables.{name} in params.yaml: "
            f"run `dejavu tables {name} --scale {scale}`"
        )
    return content


def gains(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """The forest plot of the table's CSV."""
    from ..figures.forest import draw_gains
    from ..tables.caption import chance

    table, content = params.get_table(name), table_content(params, name, scale)
    if not any(line[f"{metric}_gain"] for line in content.ran for metric in content.metrics):
        raise Nothing(f"{Paths(scale).table(name, 'csv')} has no gain")
    setting = _setting(params, name, scale, "", Paths(scale).metrics if partial else None)
    note = f"{setting} Point: mean over seeds of the difference to the base, paired by seed; bar: its 95 % "
    note += "interval (Student's t)."
    return draw_gains(content, f"{table.title}: gains", " ".join([note, *chance(content)]))


def tradeoff(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """What the table's rows reach against what they cost, from its CSV."""
    from ..figures.tradeoff import draw_tradeoff
    from ..tables.caption import pixels

    table, content = params.get_table(name), table_content(params, name, scale)
    if not content.ran:
        raise Nothing(f"{Paths(scale).table(name, 'csv')} has no row that was run")
    setting = _setting(params, name, scale, "", Paths(scale).metrics if partial else None)
    note = (
        f"{setting} Ours: mean, bar: ± sample standard deviation over seeds; rows of "
        "the same cost stand beside each other. A line joins networks of one kind that differ in width; a "
        "dotted one leads from a row's base to it. Costs: the full-size deployed network at "
        f"{pixels(params.cost_input(table.dataset))}."
    )
    return draw_tradeoff(content, f"{table.title}: mIoU and cost", note)


def classes(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """The gain of every class, of the table's pairs, from their metrics."""
    from ..figures.classes import READABLE, draw_classes, pair
    from ..tables.caption import by_chance
    from ..tables.results import measured_seeds, read_classes

    paths, table, panels = Paths(scale), params.get_table(name), []
    pairs = find_pairs(params, name)
    for one in pairs:
        runs = [params.run(experiment, scale) for experiment in (one.experiment, one.base)]
        seeds = [measured_seeds(paths, run) if partial else run.seeds for run in runs]
        if set(seeds[0]) & set(seeds[1]):
            ours, base = (read_classes(paths, run, some) for run, some in zip(runs, seeds, strict=True))
            panels.append(pair(f"{one.name}\n{one.backbone}".rstrip(), ours, base))
    if not panels:
        raise Nothing(f"no pair of tables.{name} has metrics of a common seed")
    panels = panels[:PANELS]
    setting = _setting(params, name, scale, "", paths.metrics if partial else None)
    note = f"{setting} Point: mean over seeds of the difference in IoU to the base, paired by seed; bar: its "
    note += "95 % interval (Student's t). "
    # Of all classes, shown or not: the largest ones were chosen.
    found = [gain for one in panels for gain in one.rows if gain.interval is not None]
    note += by_chance(len(found), sum(gain.certain for gain in found)) if found else ""
    if len(panels) < len(pairs):
        note += f" Shown: {len(panels)} of {len(pairs)} pairs."
    count = max(len(one.rows) for one in panels)
    most = f", the largest gains and losses of {count} classes" if count > READABLE else ""
    return draw_classes(panels, f"{table.title}: gain per class{most}", note)


def groups(params: Params, table: Table, scale: str, partial: bool = False) -> list[Group]:
    """The rows that are run, each with its base where that is run too."""
    from ..figures.curves import Curve, Group, read_log

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
        members.setdefault(row.base if row.base in rows else row.id, []).append(row)
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
            read = [read_log(paths.log(experiment, seed), command) for seed in seeds[row.id]]
            drawn.append(Curve(label if uses[label] == 1 else row.id, read))
        found.append(Group(f"{rows[first].method}, {rows[first].backbone}", drawn))
    return found
