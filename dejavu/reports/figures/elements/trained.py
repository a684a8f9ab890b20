"""Inputs of figures of predictions, besides weights: trained pairs, evaluated split, note."""

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
    """Return the table's pairs; with `partial`, the trained pairs."""
    pairs = find_pairs(params, name)
    if not partial:
        return pairs
    pairs = [pair for pair in pairs if _trained(params, scale, pair)]
    if not pairs:
        raise NothingToDraw(f"no pair of tables.{name} is trained")
    return pairs


def _trained(params: Params, scale: str, pair: Pair) -> bool:
    """Return True if both networks of a pair and the regenerator exist, for the shown seed."""
    paths, seed = Paths(scale), params.run(pair.experiment, scale).seeds[0]
    files = [paths.weights(name, seed) for name in (pair.base, pair.experiment)]
    return all(file.exists() for file in (*files, paths.regenerator(pair.experiment, seed)))


def evaluated_split(params: Params, name: str, scale: str) -> tuple[dict[str, Any], Split]:
    """Return the report of the table's prepared dataset, and the evaluated split."""
    from ....datasets.prepared.store import open_split, read_report

    table = params.get_table(name)
    folder = Paths(scale).prepared(table.dataset)
    report = read_report(folder, params.data_source(table.dataset, scale))
    return report, open_split(folder, report["evaluate"])


def note(
    params: Params, name: str, scale: str, report: dict[str, Any], partial: bool, pair: Pair | None = None
) -> str:
    """Return the setting and the shown seed, of the given pair or the table's first pair."""
    text = setting(params, name, scale, report["evaluate"], Paths(scale).weights if partial else None)
    shown = params.run((pair or find_pairs(params, name)[0]).experiment, scale)
    assert shown.dejavu is not None
    redactions = shown.dejavu.redactions
    which = ""
    if len(redactions) > 1:
        which = f" Redacted: {redactions[0].name} for segmentation, {redactions[-1].name} for other tasks."
    return f"{text} Shown: seed {shown.seeds[0]}.{which}"


def titles(shown: list[TaskImages]) -> str:
    """Return the titles of the shown pairs, each once."""
    return "; ".join(dict.fromkeys(one.title for one in shown))
