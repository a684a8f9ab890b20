"""Pairs of a table that figures compare: a DejaVu row and its base row."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Params
from ..errors import DejavuError
from .tables.cells import printed


@dataclass(frozen=True)
class Pair:
    """Experiments of params.yaml, and the DejaVu row's name for readers."""

    base: str
    experiment: str
    name: str
    backbone: str

    @property
    def title(self) -> str:
        """Name and backbone, such as 'HRNet + DejaVu, HRNet18'."""
        return ", ".join(filter(None, (self.name, self.backbone)))


def find_pairs(params: Params, name: str) -> list[Pair]:
    """Return all DejaVu rows of a table that are run with their base, in the table's order.

    Raises DejavuError if there is none.
    """
    rows = {row.id: row for row in params.get_table(name).rows if row.experiment}
    pairs = []
    for row in rows.values():
        base = rows.get(row.base or "")
        if base is not None and params.experiments[str(row.experiment)].dejavu is not None:
            title = printed(row.method, base.method)
            pairs.append(Pair(str(base.experiment), str(row.experiment), title, row.backbone))
    if not pairs:
        raise DejavuError(
            f"tables.{name}: no DejaVu row is run with its base; give both an 'experiment' in params.yaml"
        )
    return pairs


def evenly(count: int, total: int) -> list[int]:
    """Return `count` evenly spaced indices below `total`, or all indices if `total` is smaller.

    >>> evenly(4, 40), evenly(4, 2)
    ([5, 15, 25, 35], [0, 1])
    """
    count = min(count, total)
    return [(2 * index + 1) * total // (2 * count) for index in range(count)]
