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
    if claim.metric == DELTA:
        if table_of_delta(params, claim.row, against) is None:
            raise ValueError(
                f"{where}.metric: no table has {DELTA} of both '{claim.row}' and '{against}': such a table "
                "names the experiments of one task each that it compares with"
            )
        return
    for name in (claim.row, against):
        tasks = params.experiments[name].tasks
        if METRICS[claim.metric].task not in tasks:
            raise ValueError(
                f"{where}.metric: {claim.metric} is of {METRICS[claim.metric].task}, and '{name}' learns "
                f"{' and '.join(tasks)}"
            )
