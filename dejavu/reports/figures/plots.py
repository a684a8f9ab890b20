"""The plots of a table's numbers: gains, gains per class, costs and bands, from its CSV and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...config import Params
from ...config.paths import Paths
from ...errors import DejavuError
from ..pairs import find_pairs
from ..tables.cells import Content, read_content
from .setting import Nothing, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 6  # of gains per class: more could not be read


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


def _setting(params: Params, name: str, scale: str, partial: bool) -> str:
    """That of the table's numbers, which says where they are of chosen epochs."""
    said = setting(params, name, scale, "", Paths(scale).metrics if partial else None)
    if params.get_table(name).epoch == "last":
        return said
    return f"{said} BEST EPOCHS, CHOSEN ON THE VERY IMAGES THAT THEY ARE MEASURED ON."


def gains(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """The forest plot of the table's CSV."""
    from ..tables.caption import chance
    from .forest import draw_gains

    table, content = params.get_table(name), table_content(params, name, scale)
    if not any(line[f"{metric}_gain"] for line in content.ran for metric in content.metrics):
        raise Nothing(f"{Paths(scale).table(name, 'csv')} has no gain")
    note = f"{_setting(params, name, scale, partial)} Point: mean over seeds of the difference to the base, "
    note += "paired by seed; bar: its 95 % interval (Student's t)."
    return draw_gains(content, f"{table.title}: gains", " ".join([note, *chance(content)]))


def tradeoff(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """What the table's rows reach against what they cost, from its CSV."""
    from ..tables.origin import pixels
    from .tradeoff import draw_tradeoff

    table, content = params.get_table(name), table_content(params, name, scale)
    if not content.ran:
        raise Nothing(f"{Paths(scale).table(name, 'csv')} has no row that was run")
    note = (
        f"{_setting(params, name, scale, partial)} Ours: mean, bar: ± sample standard deviation over "
        "seeds; rows of the same cost stand beside each other. A line joins networks of one kind that differ "
        "in width; a dotted one leads from a row's base to it. Costs: the full-size deployed network at "
        f"{pixels(params.cost_input(table.dataset))}."
    )
    return draw_tradeoff(content, f"{table.title}: mIoU and cost", note)


def bands(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """The table's first metric against the redacted band of its rows, from its CSV."""
    from ..tables.caption import chance
    from . import bands as drawing

    table, edges = params.get_table(name), band_edges(params, name)
    content, metric = table_content(params, name, scale), table.metrics[0]
    rows = drawing.bands(content, edges, metric)
    if not rows:
        raise Nothing(f"{Paths(scale).table(name, 'csv')} has no band that was run")
    plain = [line for line in content.ran if line["id"] not in edges]
    note = (
        f"{_setting(params, name, scale, partial)} Above: mean over seeds, bar and grey: its "
        "95 % interval (Student's t). Below: mean difference to the network without DejaVu, paired by seed, "
        "bar: its 95 % interval."
    )
    level = drawing.level(plain[0], metric) if plain else None
    return drawing.draw_bands(rows, level, metric, table.title, " ".join([note, *chance(content)]))


def band_edges(params: Params, name: str) -> dict[str, tuple[float, float]]:
    """Of each DejaVu row of a band study the redacted frequencies low <= r < high, by the rows' ids.

    Raises DejavuError where another row is there than one without DejaVu and rows of one band_stop each.
    """
    edges, plain = {}, []
    for row in params.get_table(name).rows:
        if row.experiment is None:
            continue
        method = params.experiments[row.experiment].dejavu
        if method is None:
            plain.append(row.id)
            continue
        options = method.redactions[0].options
        one = len(method.redactions) == 1 and method.redactions[0].name == "band_stop"
        if not one or not options.keys() >= {"low", "high"}:
            raise DejavuError(
                f"tables.{name}.figures: 'bands' shows rows with one redaction 'band_stop' that has low and "
                f"high, and '{row.experiment}' has another"
            )
        edges[row.id] = (float(options["low"]), float(options["high"]))
    if len(plain) != 1:
        raise DejavuError(
            f"tables.{name}.figures: 'bands' needs one row without DejaVu, not {len(plain)} "
            f"({', '.join(plain)})"
        )
    return edges


def classes(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """The gain of every class, of the table's pairs that learn classes, from their metrics."""
    from ..tables.caption import by_chance
    from ..tables.results import measured_seeds, read_classes
    from .classes import READABLE, draw_classes, pair

    paths, table, panels = Paths(scale), params.get_table(name), []
    pairs = find_pairs(params, name)
    for one in pairs:
        tasks = params.experiments[one.experiment].tasks
        if "semantic" not in tasks:
            raise DejavuError(
                f"tables.{name}.figures: 'classes' shows semantic segmentation, and the task of "
                f"'{one.experiment}' is {' and '.join(tasks)}: write [gains]"
            )
    for one in pairs:
        runs = [params.run(experiment, scale) for experiment in (one.experiment, one.base)]
        seeds = [measured_seeds(paths, run) if partial else run.seeds for run in runs]
        if set(seeds[0]) & set(seeds[1]):
            ours, base = (read_classes(paths, run, some) for run, some in zip(runs, seeds, strict=True))
            panels.append(pair(f"{one.name}\n{one.backbone}".rstrip(), ours, base))
    if not panels:
        raise Nothing(f"no pair of tables.{name} has metrics of a common seed")
    panels = panels[:PANELS]
    note = setting(params, name, scale, "", paths.metrics if partial else None)
    note += " Point: mean over seeds of the difference in IoU to the base, paired by seed; bar: its 95 % "
    note += "interval (Student's t). "
    # Of all classes, shown or not: the largest ones were chosen.
    found = [gain for one in panels for gain in one.rows if gain.interval is not None]
    note += by_chance(len(found), sum(gain.certain for gain in found)) if found else ""
    if len(panels) < len(pairs):
        note += f" Shown: {len(panels)} of {len(pairs)} pairs."
    count = max(len(one.rows) for one in panels)
    most = f", the largest gains and losses of {count} classes" if count > READABLE else ""
    return draw_classes(panels, f"{table.title}: gain per class{most}", note)
