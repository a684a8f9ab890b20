"""Values of two rows by seed, read from their metrics: what a claim is decided from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...config import Params
from ...config.claim import measured, table_of_delta
from ...config.paths import Paths
from ...metrics import DELTA, main_metric
from ..tables.delta_mtl import with_delta
from ..tables.names import find
from ..tables.results import Result, measured_seeds, read_result


@dataclass(frozen=True)
class Pair:
    """The values of a metric by seed, of a row and of the row that it is compared with.

    `planned` are the seeds that both have by params.yaml. `split` and `remarks` are of the data.
    """

    row: str
    against: str
    metric: str
    ours: dict[int, float]
    base: dict[int, float]
    planned: tuple[int, ...]
    split: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def seeds(self) -> list[int]:
        """The seeds that both have, in order."""
        return sorted(self.ours.keys() & self.base.keys())

    @property
    def differences(self) -> list[float]:
        """The paired differences, in the metric's own unit and sign."""
        return [self.ours[seed] - self.base[seed] for seed in self.seeds]

    @property
    def level(self) -> float:
        """The mean of the compared row over the common seeds."""
        return math.fsum(self.base[seed] for seed in self.seeds) / len(self.seeds)

    def relative(self, difference: float) -> float | None:
        """Return a difference in percent of the compared row's mean; one of delta_mtl is in percent already.

        None if that mean is 0.
        """
        if self.metric == DELTA:
            return difference
        return 100 * difference / abs(self.level) if self.level else None

    def improvement(self, difference: float) -> float | None:
        """Return a difference as `relative` does, positive where it is better."""
        relative = self.relative(difference)
        return relative if relative is None or find(self.metric).higher_is_better else -relative


def read_pair(params: Params, scale: str, row: str, against: str, metric: str) -> Pair:
    """Read the values of the seeds that have metrics.

    Raises DejavuError if metrics belong to another configuration than params.yaml's.
    """
    results = {}
    for name in measured(params, row, against, metric):
        result = _read(params, scale, name, metric)
        if result is not None:
            results[name] = result
    table = table_of_delta(params, row, against) if metric == DELTA else None
    if table is not None:
        results = with_delta(params, params.tables[table], results)
    ours, base = (results[one].metrics[metric] if one in results else {} for one in (row, against))
    theirs = set(params.run(against, scale).seeds)
    return Pair(
        row,
        against,
        metric,
        dict(ours),
        dict(base),
        tuple(seed for seed in params.run(row, scale).seeds if seed in theirs),
        results[row].split if row in results else "",
        results[row].remarks if row in results else (),
    )


def _read(params: Params, scale: str, name: str, metric: str) -> Result | None:
    run, paths = params.run(name, scale), Paths(scale)
    seeds = measured_seeds(paths, run)
    metrics = tuple(map(main_metric, run.tasks)) if metric == DELTA else (metric,)
    return read_result(paths, run, metrics, params.cost_input(run.dataset), seeds) if seeds else None
