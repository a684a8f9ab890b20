"""`dejavu figures TABLE --scale S`: the figures that params.yaml lists for a table.

Curves come from logs, the panel from weights and images, the forest plot of gains from the table's CSV.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import DejavuError
from ..paths import Paths
from ..schema import Params, Row, Table
from ..tables import Origin
from ..tables.forms import printed

if TYPE_CHECKING:
    from ..datasets.store import Split
    from ..figures.curves import Group
    from ..figures.panel import PanelRow

IMAGES = 4  # of the panel


def run(params: Params, name: str, scale: str) -> None:
    """Draw the figures of a table.

    Raises DejavuError where the table lists none, no DejaVu row is run with its base, or what a figure is
    drawn from is missing.
    """
    table, paths = params.get_table(name), Paths(scale)
    if not table.figures:
        raise DejavuError(f"tables.{name}.figures lists none: write [curves, panel] or [gains]")
    base, ours = first_pair(params, name)
    for kind in table.figures:
        if kind != "gains":
            _refuse_other_tasks(params, name, kind)
        if kind == "curves":
            curves(params, name, scale)
        elif kind == "panel":
            panel(params, name, scale, base, ours)
        else:
            gains(params, name, scale)
    print(f"{name} at scale {scale}: {', '.join(str(paths.figure(name, kind)) for kind in table.figures)}")


def curves(params: Params, name: str, scale: str) -> None:
    """Learning curves of all rows that are run, from their logs."""
    from ..datasets import reader, validate
    from ..figures.curves import draw_curves
    from ..figures.style import save

    table, paths = params.get_table(name), Paths(scale)
    split = validate(reader(table.dataset, params.part(table.dataset, scale).source))
    origin = Origin.of(params, name, scale, split)
    note = f"Scale {scale}: {origin.setting}. Line: mean, band: smallest to largest over the seeds."
    figure = draw_curves(groups(params, table, scale), f"Learning curves: {table.title}", note)
    save(figure, paths.figure(name, "curves"))


def panel(params: Params, name: str, scale: str, base: Row, ours: Row) -> None:
    """Images, predictions and regenerations of a row and its base, at the row's first seed."""
    import numpy as np

    from ..datasets.store import open_split, read_report
    from ..figures.panel import draw_panel
    from ..figures.style import save

    paths, table = Paths(scale), params.get_table(name)
    report = read_report(paths.prepared(table.dataset), params.part(table.dataset, scale))
    split = open_split(paths.prepared(table.dataset), report["evaluate"])
    rows = panel_rows(params, scale, base, ours, split, report["classes"])
    origin = Origin.of(params, name, scale, report["evaluate"])
    title = f"{ours.method} ({ours.backbone}): what is predicted, and what is regenerated from it"
    seed = params.run(str(ours.experiment), scale).seeds[0]
    note = f"Scale {scale}: {origin.setting}. Shown: seed {seed}."
    palette = np.array(report["palette"], np.uint8)
    save(draw_panel(rows, palette, report["classes"], title, note), paths.figure(name, "panel"))


def _refuse_other_tasks(params: Params, name: str, kind: str) -> None:
    """Curves and the panel show classes and their mIoU."""
    for experiment in params.get_table(name).experiments:
        task = params.experiments[experiment].task
        if task != "semantic":
            raise DejavuError(
                f"tables.{name}.figures: '{kind}' shows semantic segmentation, and the task of "
                f"'{experiment}' is {task}: write [gains]"
            )


def gains(params: Params, name: str, scale: str) -> None:
    """The forest plot of the table's CSV, which must have params.yaml's rows and metrics."""
    from ..figures.forest import draw_gains
    from ..figures.style import save
    from ..tables.caption import chance
    from ..tables.forms import read_content

    table, paths = params.get_table(name), Paths(scale)
    path = paths.table(name, "csv")
    content = read_content(path)
    if [*content.lines] != [row.id for row in table.rows] or content.metrics != table.metrics:
        raise DejavuError(
            f"{path} has other rows or metrics than tables.{name} in params.yaml: "
            f"run `dejavu tables {name} --scale {scale}`"
        )
    note = f"Scale {scale}: {Origin.of(params, name, scale, '').setting}. Point: mean over seeds of the "
    note += "difference to the base, paired by seed; bar: its 95 % interval (Student's t)."
    figure = draw_gains(content, f"{table.title}: gains", " ".join([note, *chance(content)]))
    save(figure, paths.figure(name, "gains"))


def first_pair(params: Params, name: str) -> tuple[Row, Row]:
    """The base and the DejaVu row of the table's first pair that is run."""
    rows = {row.id: row for row in params.get_table(name).rows if row.experiment}
    for row in rows.values():
        if row.base in rows and params.experiments[str(row.experiment)].dejavu is not None:
            return rows[row.base], row
    raise DejavuError(
        f"tables.{name}: no DejaVu row is run with its base; give both an 'experiment' in params.yaml"
    )


def groups(params: Params, table: Table, scale: str) -> list[Group]:
    """The rows that are run, each with its base where that is run too."""
    from ..figures.curves import Curve, Group, read_log

    rows = {row.id: row for row in table.rows if row.experiment}
    members: dict[str, list[Row]] = {}
    for row in rows.values():
        members.setdefault(row.base if row.base in rows else row.id, []).append(row)
    methods, paths = {row.id: row.method for row in table.rows}, Paths(scale)
    found = []
    for first, group in members.items():
        group.sort(key=lambda row: row.id != first)  # the base first, whatever the table's order
        labels = {row.id: printed(row.method, methods.get(row.base or "")) for row in group}
        uses = Counter(labels.values())
        curves = []
        for row in group:
            experiment, label = str(row.experiment), labels[row.id]
            command = f"dejavu train {experiment} --scale {scale}"
            seeds = params.run(experiment, scale).seeds
            logs = [read_log(paths.log(experiment, seed), command) for seed in seeds]
            curves.append(Curve(label if uses[label] == 1 else row.id, logs))
        found.append(Group(f"{rows[first].method}, {rows[first].backbone}", curves))
    return found


def evenly(count: int, total: int) -> list[int]:
    """`count` places spread evenly over `total`, none at the very ends; all where there are fewer.

    >>> evenly(4, 40), evenly(4, 2)
    ([5, 15, 25, 35], [0, 1])
    """
    count = min(count, total)
    return [(2 * place + 1) * total // (2 * count) for place in range(count)]


def panel_rows(
    params: Params, scale: str, base: Row, ours: Row, split: Split, classes: Sequence[str]
) -> list[PanelRow]:
    """Predictions of both networks, and the redacted and regenerated images, of evenly spaced images."""
    import numpy as np
    import torch

    from ..figures.panel import PanelRow
    from ..inference import denormalise, load_method, load_network, normalise, predict
    from ..randomness import generator

    plain, paired = params.run(str(base.experiment), scale), params.run(str(ours.experiment), scale)
    paths, seed = Paths(scale), paired.seeds[0]
    chosen = evenly(IMAGES, len(split.images))
    images = np.stack([split.images[place] for place in chosen])  # (N, H, W, 3)
    network = load_network(plain, len(classes), paths.weights(plain.experiment, seed))
    regenerator = paths.regenerator(paired.experiment, seed)
    method = load_method(paired, classes, paths.weights(paired.experiment, seed), regenerator)
    with torch.inference_mode():
        inputs = normalise(torch.from_numpy(images))  # (N, 3, H, W)
        pictures = method.regenerate(inputs, method(inputs), generator(seed, "figure"))
    return [
        PanelRow(split.names[place], image, split.labels[place], *parts)
        for place, image, *parts in zip(
            chosen,
            images,
            predict(network, images),
            predict(method.network, images),
            *(np.asarray(denormalise(picture)) for picture in pictures),
            strict=True,
        )
    ]
