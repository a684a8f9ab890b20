"""Claims: statements about two rows and a metric, which `dejavu verdicts` confirms or refutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ..metrics import DELTA
from .values import Name, Section, Text

if TYPE_CHECKING:
    from .params import Params


class Claim(Section):
    """A statement: a row is better than another one in a metric."""

    says: Text
    """The statement in words."""
    row: Name
    """The experiment that the statement is about."""
    metric: Name
    against: Name | None = None
    """The experiment that it is compared with, by seed. Default: the row's base."""
    expected: Literal["better", "worse"] = "better"
    """The paper's sign; which sign of the metric is better is known of every metric."""


def named(params: Params) -> Iterator[tuple[str, str, Claim]]:
    """Yield every claim with the names of its family and its own."""
    for family, claims in params.claims.items():
        for name, claim in claims.items():
            yield family, name, claim


def other_row(params: Params, claim: Claim) -> str:
    """Return the experiment that a checked claim compares its row with."""
    return str(claim.against or params.experiments[claim.row].base)


def table_of_delta(params: Params, row: str, against: str) -> str | None:
    """Return the first table with delta_mtl of both experiments: it names the single-task experiments."""
    for name, table in params.tables.items():
        if DELTA in table.metrics and {row, against} <= {*table.experiments}:
            return name
    return None


def measured(params: Params, row: str, against: str, metric: str) -> tuple[str, ...]:
    """Return the experiments that a metric of two rows is computed from."""
    table = table_of_delta(params, row, against) if metric == DELTA else None
    single = params.tables[table].single if table else {}
    tasks = {task for one in (row, against) for task in params.experiments[one].tasks}
    return (row, against, *(name for task, name in single.items() if task in tasks))


def experiments(params: Params, scale: str) -> tuple[str, ...]:
    """Return the experiments that claims are decided from, each once: of claims whose rows a scale has."""
    every = [measured(params, one.row, other_row(params, one), one.metric) for _, _, one in named(params)]
    here = params.at(scale).experiments.keys()
    return tuple(dict.fromkeys(name for names in every if {*names} <= here for name in names))
