"""Inputs of figures of predictions beside weights: the trained pairs, the evaluated split, the note."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....config import Params
from ....config.paths import Paths
from ...pairs import Pair, find_pairs
from .. import NothingToDraw
from .setting import setting

if TYPE_CHECKING:
    from ....datasets.prepared.store import Split
    from .tasks import TaskImages


def trained_pairs(params: Params, name: str, scale: str, partial: bool) -> list[Pair]:
    """The table's pairs; with `partial`, those that are trained."""
    pairs = find_pairs(params, name)
    if not partial:
        return pairs
    pairs = [pair for pair in pairs if _trained(params, scale, pair)]
    if not pairs:
        raise NothingToDraw(f"no pair of tables.{name} is trained")
    return pairs


def _trained(params: Params, scale: str, pair: Pair) -> bool:
    """Whether both networks of a pair are there, and the regenerator, of the seed that is shown."""
    paths, seed = Paths(scale), params.run(pair.experiment, scale).seeds[0]
    files = [paths.weights(name, seed) for name in (pair.base, pair.experiment)]
    return all(file.exists() for file in (*files, paths.regenerator(pair.experiment, seed)))


def evaluated_split(params: Params, name: str, scale: str) -> tuple[dict[str, Any], Split]:
    """The report of the table's prepared dataset, and the split that is evaluated."""
    from ....datasets.prepared.store import open_split, read_report

    table = params.get_table(name)
    folder = Paths(scale).prepared(table.dataset)
    report = read_report(folder, params.data_source(table.dataset, scale))
    return report, open_split(folder, report["evaluate"])


def note(
    params: Params, name: str, scale: str, report: dict[str, Any], partial: bool, pair: Pair | None = None
) -> str:
    """The setting and the seed, which is that of the given pair or of the table's first one."""
    text = setting(params, name, scale, report["evaluate"], Paths(scale).weights if partial else None)
    shown = params.run((pair or find_pairs(params, name)[0]).experiment, scale)
    assert shown.dejavu is not None
    several = shown.dejavu.redactions
    which = ""
    if len(several) > 1:
        which = f" Redacted: {several[0].name} for segmentation, {several[-1].name} for other tasks."
    return f"{text} Shown: seed {shown.seeds[0]}.{which}"


def titles(shown: list[TaskImages]) -> str:
    """The pairs that are shown, each once."""
    return "; ".join(dict.fromkeys(one.title for one in shown))
