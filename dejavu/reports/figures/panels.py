"""The figures of images: the panel of a table's pairs, and the teaser, from weights and prepared data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...config import Params
from ...config.paths import Paths
from ...errors import DejavuError
from ..pairs import Pair, find_pairs
from .setting import Nothing, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...datasets.prepared.store import Split

IMAGES = 2  # of each task, where there are several or it is another than segmentation
SEGMENTED = 3  # of a panoptic table
TEASER = ("semantic", "normals")  # as in the paper


def panel(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """What is predicted and what is regenerated from it, at the first seed.

    Of segmentation alone: predictions of up to three pairs for the same images, and the first one's
    regenerations. Else the paper's six columns for each task, of the first pair that learns it; of panoptic
    segmentation the paper's four, without what is redacted and regenerated.
    """
    pairs = _pairs(params, name, scale, partial)
    if any(params.experiments[pair.experiment].tasks != ("semantic",) for pair in pairs):
        return _of_tasks(params, name, scale, pairs, partial)
    return _of_segmentation(params, name, scale, pairs, partial)


def teaser(params: Params, name: str, scale: str, partial: bool = False) -> Figure:
    """The paper's first figure: one image for each of segmentation and normals, of the first pair."""
    import numpy as np

    from .comparison import parts
    from .elements.task_blocks import TEASER as COLUMNS
    from .elements.task_blocks import draw_tasks

    pairs, (report, split) = _pairs(params, name, scale, partial), _data(params, name, scale)
    learnt = {task for pair in pairs for task in params.experiments[pair.experiment].tasks}
    tasks = [task for task in TEASER if task in learnt]
    if not tasks:
        raise DejavuError(
            f"tables.{name}.figures: 'teaser' shows segmentation and normals, and no pair learns one of them"
        )
    shown = parts(params, scale, pairs, split, report, 1, tasks)
    note = (
        f"{_note(params, name, scale, report, partial)} Initial: the network without DejaVu; improved: "
        "the one trained with it, whatever it says. Images: evenly spaced in the split, not chosen."
    )
    palette = np.array(report["palette"], np.uint8)
    title = f"{_titles(shown)}: the prediction redraws what was redacted"
    return draw_tasks(shown, COLUMNS, palette, report["classes"], title, note)


def _of_tasks(params: Params, name: str, scale: str, pairs: list[Pair], partial: bool) -> Figure:
    import numpy as np

    from .comparison import parts
    from .elements.task_blocks import PANEL, PANOPTIC, draw_tasks

    report, split = _data(params, name, scale)
    panoptic = all(params.experiments[pair.experiment].task == "panoptic" for pair in pairs)
    shown = parts(params, scale, pairs, split, report, SEGMENTED if panoptic else IMAGES)
    columns, regenerated = (PANOPTIC, "") if panoptic else (PANEL, ", and what is regenerated from it")
    title = f"{_titles(shown)}: what is predicted{regenerated}"
    note = f"{_note(params, name, scale, report, partial)} Images: evenly spaced in the split, not chosen."
    palette = np.array(report["palette"], np.uint8)
    return draw_tasks(shown, columns, palette, report["classes"], title, note)


def _of_segmentation(params: Params, name: str, scale: str, pairs: list[Pair], partial: bool) -> Figure:
    import numpy as np

    from .panel import draw_panel
    from .predictions import choose, first_block, further_block, shown

    report, split = _data(params, name, scale)
    images = shown(split)
    first, further = choose(params, scale, pairs)
    blocks = [first_block(params, scale, first, images, report["classes"])]
    if further:
        blocks.append(further_block(params, scale, further, images, report["classes"]))
    several = f", and {len(further)} further of {len(pairs)} pairs" if further else ""
    title = f"{first.title}: what is predicted, and what is regenerated from it{several}"
    note = _note(params, name, scale, report, partial, first)
    return draw_panel(blocks, np.array(report["palette"], np.uint8), report["classes"], title, note)


def _data(params: Params, name: str, scale: str) -> tuple[dict[str, Any], Split]:
    """The report of the table's prepared dataset, and the split that is evaluated."""
    from ...datasets.prepared.store import open_split, read_report

    table = params.get_table(name)
    folder = Paths(scale).prepared(table.dataset)
    report = read_report(folder, params.part(table.dataset, scale))
    return report, open_split(folder, report["evaluate"])


def _note(
    params: Params, name: str, scale: str, report: dict[str, Any], partial: bool, pair: Pair | None = None
) -> str:
    """The setting and the seed, which is that of the given pair or of the table's first one."""
    said = setting(params, name, scale, report["evaluate"], Paths(scale).weights if partial else None)
    shown = params.run((pair or find_pairs(params, name)[0]).experiment, scale)
    assert shown.dejavu is not None
    several = shown.dejavu.redactions
    which = ""
    if len(several) > 1:
        which = f" Redacted: {several[0].name} for segmentation, {several[-1].name} for other tasks."
    return f"{said} Shown: seed {shown.seeds[0]}.{which}"


def _titles(parts: list[Any]) -> str:
    """The pairs that are shown, each once."""
    return "; ".join(dict.fromkeys(part.title for part in parts))


def _pairs(params: Params, name: str, scale: str, partial: bool) -> list[Pair]:
    """The table's pairs; with `partial`, those that are trained."""
    pairs = find_pairs(params, name)
    if not partial:
        return pairs
    pairs = [pair for pair in pairs if _trained(params, scale, pair)]
    if not pairs:
        raise Nothing(f"no pair of tables.{name} is trained")
    return pairs


def _trained(params: Params, scale: str, pair: Pair) -> bool:
    """Whether both networks of a pair are there, and the regenerator, of the seed that is shown."""
    paths, seed = Paths(scale), params.run(pair.experiment, scale).seeds[0]
    files = [paths.weights(name, seed) for name in (pair.base, pair.experiment)]
    return all(file.exists() for file in (*files, paths.regenerator(pair.experiment, seed)))
