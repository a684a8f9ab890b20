"""How many seeds an interval of a given width takes, from the spread of finished seeds, and their cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Params
from ..config.claim import measured, named, other_row
from ..config.paths import Paths
from ..errors import DejavuError
from ..metrics import DELTA, main_metric
from ..reports.costs import aligned
from ..reports.significance import half_width, seeds_for, spread, upper_spread
from ..reports.tables.cells import rounded
from ..reports.tables.frame import digits
from ..reports.tables.names import find, gain_unit
from ..reports.verdicts.values import Pair, read_pair
from ..system.files import read_json

PERCENT = 0.5
"""half width of the interval, in percent of the compared row's mean, where none is given"""
HEADS = (
    *("row", "compared with", "metric", "pairs", "spread", "half width", "wanted"),
    *("seeds", "at most", "hours a seed", "more hours"),
)


@dataclass(frozen=True)
class Need:
    """The seeds that one metric of two rows takes.

    Spread and widths are in the metric's unit. `cautious` are the seeds if the true spread is at the upper
    end of what the finished pairs allow (one-sided, 80 %). Values are None for fewer than two finished pairs.
    """

    pair: Pair
    finished: int
    spread: float | None = None
    now: float | None = None
    wanted: float | None = None
    seeds: int | None = None
    cautious: int | None = None


@dataclass
class Cost:
    """The seeds of one experiment: those with metrics, those that are needed, and the seconds of one."""

    experiment: str
    finished: int
    needed: int = 0
    seconds: float | None = None

    @property
    def hours(self) -> float | None:
        """Hours of the seeds that are missing; None if no time was recorded."""
        missing = max(0, self.needed - self.finished)
        if not missing:
            return 0.0
        return None if self.seconds is None else missing * self.seconds / 3600


@dataclass(frozen=True)
class PowerPlan:
    """The needs of all pairs at a scale, and the costs of their experiments."""

    scale: str
    percent: float
    needs: list[Need]
    costs: dict[str, Cost] = field(default_factory=dict)
    used: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """the experiments of each need, by its index"""

    @property
    def hours(self) -> float:
        """Hours of all missing seeds whose time is known."""
        return sum(cost.hours or 0.0 for cost in self.costs.values())


def pairs_of(params: Params, experiments: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (row, compared row, metric) of all claims, or of the given experiments.

    Of experiments these are the claims about them, and the main metrics of those with a base. Raises
    DejavuError if there is none.
    """
    claimed = [(one.row, other_row(params, one), one.metric) for _, _, one in named(params)]
    if not experiments:
        rows = [name for name, row in params.experiments.items() if row.dejavu is not None]
        chosen = claimed or _main(params, rows)
    else:
        chosen = [pair for pair in claimed if pair[0] in experiments] + _main(params, experiments)
    if not chosen:
        raise DejavuError(
            f"none of {', '.join(experiments) or 'the experiments'} has a base to be paired with: name a row "
            "with DejaVu"
        )
    return list(dict.fromkeys(chosen))


def _main(params: Params, experiments: Iterable[str]) -> list[tuple[str, str, str]]:
    rows = [(name, params.experiments[name]) for name in experiments]
    return [(name, row.base, main_metric(task)) for name, row in rows if row.base for task in row.tasks]


def plan(params: Params, scale: str, experiments: Sequence[str], percent: float = PERCENT) -> PowerPlan:
    """Return the plan. Raises DejavuError if no pair has two finished seeds."""
    planned = PowerPlan(scale, percent, [])
    for index, (row, against, metric) in enumerate(pairs_of(params, experiments)):
        need = need_of(read_pair(params, scale, row, against, metric), percent)
        planned.needs.append(need)
        planned.used[index] = measured(params, row, against, metric)
        for name in planned.used[index]:
            cost = planned.costs.setdefault(name, _cost(params, scale, name))
            cost.needed = max(cost.needed, need.seeds or 0)
    if not any(need.seeds for need in planned.needs):
        raise DejavuError(
            f"no pair at scale {scale} has two finished seeds, whose spread says how many more it takes: "
            f"`dejavu train ROW --scale {scale}` and `dejavu evaluate` first"
        )
    return planned


def need_of(pair: Pair, percent: float) -> Need:
    """Return the seeds for an interval of `percent` of the compared row's mean to each side."""
    count = len(pair.seeds)
    if count < 2:
        return Need(pair, count)
    wanted = percent if pair.metric == DELTA else percent * abs(pair.level) / 100
    deviation = spread(pair.differences, max(map(abs, (*pair.ours.values(), *pair.base.values()))))
    if wanted == 0:
        return Need(pair, count, deviation, half_width(deviation, count))
    return Need(
        pair,
        count,
        deviation,
        half_width(deviation, count),
        wanted,
        seeds_for(deviation, wanted),
        seeds_for(upper_spread(deviation, count), wanted),
    )


def _cost(params: Params, scale: str, experiment: str) -> Cost:
    """Return the finished seeds of an experiment, and the mean of the recorded seconds of a training."""
    paths, seconds = Paths(scale), []
    seeds = [seed for seed in params.run(experiment, scale).seeds if paths.metrics(experiment, seed).exists()]
    for seed in seeds:
        sidecar = paths.sidecar(experiment, seed)
        train = read_json(sidecar, "delete it").get("train") if sidecar.exists() else None
        if train and "seconds" in train:
            seconds.append(float(train["seconds"]))
    return Cost(experiment, len(seeds), seconds=sum(seconds) / len(seconds) if seconds else None)


def as_dict(planned: PowerPlan) -> dict[str, Any]:
    """Return the plan for JSON."""
    return {
        "scale": planned.scale,
        "half_width_percent": planned.percent,
        "pairs": [
            {
                "row": need.pair.row,
                "against": need.pair.against,
                "metric": need.pair.metric,
                "finished": need.finished,
                "spread": need.spread,
                "half_width": need.now,
                "wanted": need.wanted,
                "seeds": need.seeds,
                "seeds_at_most": need.cautious,
            }
            for need in planned.needs
        ],
        "experiments": [
            {
                "experiment": cost.experiment,
                "finished": cost.finished,
                "needed": cost.needed,
                "seconds": cost.seconds,
                "hours": cost.hours,
            }
            for cost in planned.costs.values()
        ],
        "hours": planned.hours,
    }


def text(planned: PowerPlan) -> str:
    """Return a line for each pair and metric, the hours of all, and the meaning of the columns."""
    lines = [list(HEADS), *(_line(planned, index) for index in range(len(planned.needs)))]
    unknown = [cost.experiment for cost in planned.costs.values() if cost.hours is None]
    sentences = [
        f"Scale {planned.scale}: seeds for 95 % intervals of {planned.percent:g} % of the compared row's "
        "mean to each side (ΔMTL: points).",
        "",
        aligned(lines, left=3),
        "",
        f"All missing seeds of all rows, each once: {planned.hours:.1f} hours, one training after the other, "
        "as recorded where the finished ones ran.",
        "Spread: sample deviation of the paired differences. Half width: of the interval now. Hours a seed: "
        "of all rows of the line.",
        "At most: seeds if the spread is larger than the finished pairs show, at its upper 80 % limit. With "
        "'seeds' about every second interval is as narrow.",
    ]
    if unknown:
        sentences.append(f"No time is recorded of {', '.join(unknown)}: the hours lack them.")
    return "\n".join(sentences)


def _line(planned: PowerPlan, index: int) -> list[str]:
    need = planned.needs[index]
    metric, unit = find(need.pair.metric), gain_unit(need.pair.metric)
    costs = [planned.costs[name] for name in planned.used[index]]
    times = [cost.seconds for cost in costs]
    known = [seconds for seconds in times if seconds is not None]
    hours = f"{sum(known) / 3600:.2f}" if len(known) == len(times) else "?"
    missing = [max(0, (need.seeds or 0) - cost.finished) * (cost.seconds or 0.0) for cost in costs]
    more = "?" if hours == "?" or need.seeds is None else f"{sum(missing) / 3600:.1f}"
    widths = [
        rounded(digits(value), metric.digits + 1) or "?" for value in (need.spread, need.now, need.wanted)
    ]
    counts = ["?" if value is None else str(value) for value in (need.seeds, need.cautious)]
    name = f"{metric.name} ({unit})" if unit else metric.name
    return [need.pair.row, need.pair.against, name, str(need.finished), *widths, *counts, hours, more]
