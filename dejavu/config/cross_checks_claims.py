"""Checks of the claims in params.yaml: both rows must exist, and be measured alike by the metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import known
from ..metrics import DELTA, METRICS
from .claim import named, table_of_delta
from .paths import VERDICTS

if TYPE_CHECKING:
    from . import Claim, Params


def check(params: Params) -> None:
    """Raise ValueError, one sentence, for the first fault of a claim."""
    if params.claims and VERDICTS in params.tables:
        raise ValueError(f"tables.{VERDICTS}: `dejavu verdicts` writes files of this name: choose another")
    for family, name, claim in named(params):
        _claim(params, f"claims.{family}.{name}", claim)


def _claim(params: Params, where: str, claim: Claim) -> None:
    known(claim.metric, METRICS, f"{where}.metric", "metric")
    known(claim.row, params.experiments, f"{where}.row", "experiment")
    against = claim.against or params.experiments[claim.row].base
    if against is None:
        raise ValueError(
            f"{where}.against is missing: '{claim.row}' has no base that it could be compared with"
        )
    known(against, params.experiments, f"{where}.against", "experiment")
    row, other = params.experiments[claim.row], params.experiments[against]
    if against == claim.row:
        raise ValueError(f"{where}.against: '{against}' is the row itself: name another one")
    if row.dataset != other.dataset:
        raise ValueError(
            f"{where}.against: '{against}' is on {other.dataset}, and '{claim.row}' on {row.dataset}"
        )
    source = params.datasets.get(row.dataset)
    if source is None or source.cost_input is None:
        raise ValueError(f"datasets.{row.dataset}.cost_input is missing: {where} reads measurements with it")
    _metric(params, f"{where}.metric", claim.metric, (claim.row, against))


def _metric(params: Params, where: str, metric: str, rows: tuple[str, str]) -> None:
    """Check that both rows have the metric."""
    of = "several tasks" if metric == DELTA else METRICS[metric].task
    for name in rows:
        tasks = params.experiments[name].tasks
        if not (len(tasks) > 1 if metric == DELTA else of in tasks):
            raise ValueError(f"{where}: {metric} is of {of}, and '{name}' learns {' and '.join(tasks)}")
    if metric == DELTA and table_of_delta(params, *rows) is None:
        raise ValueError(
            f"{where}: no table has {DELTA} of both '{rows[0]}' and '{rows[1]}': such a table names the "
            "experiments of one task each that it compares with"
        )
