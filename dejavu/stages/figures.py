"""`dejavu figures TABLE --scale S`: logs -> learning curves; weights and images -> qualitative panel."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..errors import DejavuError
from ..paths import Paths
from ..schema import Params, Row, Table
from ..tables import Origin

if TYPE_CHECKING:
    from ..datasets.store import Split
    from ..figures.curves import Group
    from ..figures.panel import PanelRow

IMAGES = 4  # of the panel


def run(params: Params, name: str, scale: str) -> None:
    """Draw both figures of a table.

    The panel shows the first DejaVu row that is run with its base, at the scale's first seed.
    Raises DejavuError where there is no such pair, or a log, weights or data are missing.
    """
    base, ours = first_pair(params, name)
    import numpy as np

    from ..datasets.store import open_split, read_report
    from ..figures.curves import draw_curves
    from ..figures.panel import draw_panel
    from ..figures.style import save

    paths, table = Paths(scale), params.get_table(name)
    origin = Origin.of(params, name, scale, "val")
    report = read_report(paths.prepared(table.dataset), params.part(table.dataset, scale))
    note = f"Scale {scale}: {origin.setting}. Line: mean, band: smallest to largest over the seeds."
    figure = draw_curves(groups(params, table, scale), f"Learning curves: {table.title}", note)
    save(figure, paths.figure(name, "curves"))

    split = open_split(paths.prepared(table.dataset), report["evaluate"])
    rows = panel_rows(params, scale, base, ours, split, len(report["classes"]))
    origin = Origin.of(params, name, scale, report["evaluate"])
    title = f"{ours.method} ({ours.backbone}): what is predicted, and what is regenerated from it"
    note = f"Scale {scale}: {origin.setting}. Shown: seed {origin.seeds[0]}."
    palette = np.array(report["palette"], np.uint8)
    save(draw_panel(rows, palette, report["classes"], title, note), paths.figure(name, "panel"))
    print(f"{name} at scale {scale}: {paths.figure(name, 'curves')}, {paths.figure(name, 'panel')}")


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
    seeds, paths = params.get_scale(scale).seeds, Paths(scale)
    found = []
    for first, group in members.items():
        group.sort(key=lambda row: row.id != first)  # the base first, whatever the table's order
        names = Counter(map(_label, group))
        curves = []
        for row in group:
            experiment = str(row.experiment)
            command = f"dejavu train {experiment} --scale {scale}"
            logs = [read_log(paths.log(experiment, seed), command) for seed in seeds]
            curves.append(Curve(_label(row) if names[_label(row)] == 1 else row.id, logs))
        found.append(Group(f"{rows[first].method}, {rows[first].backbone}", curves))
    return found


def _label(row: Row) -> str:
    return f"{row.method} + DejaVu" if row.base else row.method


def evenly(count: int, total: int) -> list[int]:
    """`count` places spread evenly over `total`, none at the very ends; all where there are fewer.

    >>> evenly(4, 40), evenly(4, 2)
    ([5, 15, 25, 35], [0, 1])
    """
    count = min(count, total)
    return [(2 * place + 1) * total // (2 * count) for place in range(count)]


def panel_rows(
    params: Params, scale: str, base: Row, ours: Row, split: Split, num_classes: int
) -> list[PanelRow]:
    """Predictions of both networks, and the redacted and regenerated images, of evenly spaced images."""
    import numpy as np
    import torch

    from ..figures.panel import PanelRow
    from ..inference import denormalise, load_method, load_network, normalise, predict
    from ..randomness import generator

    paths, seed = Paths(scale), params.get_scale(scale).seeds[0]
    plain, paired = params.run(str(base.experiment), scale), params.run(str(ours.experiment), scale)
    chosen = evenly(IMAGES, len(split.images))
    images = np.stack([split.images[place] for place in chosen])  # (N, H, W, 3)
    network = load_network(plain, num_classes, paths.weights(plain.experiment, seed))
    regenerator = paths.regenerator(paired.experiment, seed)
    method = load_method(paired, num_classes, paths.weights(paired.experiment, seed), regenerator)
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
