"""A verdict for each claim, by the rules of docs/evidence.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...config import Claim, Params
from ...config.claim import other_row
from ..significance import LEVEL, better_probability, detectable, holm, paired_p, spread
from ..statistics import Gain, paired_difference
from ..tables.cells import NOT_RUN
from ..tables.names import find
from .values import Pair, read_pair

CONFIRMED, REFUTED, OPEN, UNFINISHED = "confirmed", "refuted", "not decided", "unfinished"


@dataclass(frozen=True)
class Verdict:
    """A claim with its numbers, which are None where they do not exist.

    `gain` is in the metric's own unit and sign; `probability` is that of being better; `p` and `corrected`
    are p values; `detectable` is a gain in the metric's unit, without a sign. `note` says why a test is
    missing.
    """

    family: str
    name: str
    claim: Claim
    pair: Pair
    verdict: str
    note: str = ""
    gain: Gain | None = None
    probability: float | None = None
    p: float | None = None
    corrected: float | None = None
    detectable: float | None = None

    @property
    def improves(self) -> bool:
        """True if the mean gain is better, whatever the claim expects."""
        return self.gain is not None and (self.gain.mean > 0) == find(self.claim.metric).higher_is_better


def verdicts(params: Params, scale: str) -> list[Verdict]:
    """Return the verdicts of all families in the order of params.yaml.

    Raises DejavuError if metrics belong to another configuration than params.yaml's.
    """
    every: list[Verdict] = []
    for family, claims in params.claims.items():
        pairs = {
            name: read_pair(params, scale, claim.row, other_row(params, claim), claim.metric)
            for name, claim in claims.items()
        }
        tested = [_tested(family, name, claims[name], pair, len(claims)) for name, pair in pairs.items()]
        every += decided(tested)
    return every


def decided(family: Sequence[Verdict]) -> list[Verdict]:
    """Correct the p values of a family by Holm's method, and decide its claims that have one.

    A claim without a test counts with p = 1, so that the others do not change when it is run.
    """
    corrected = holm([one.p for one in family])
    return [
        one if p is None else replace(one, corrected=p, verdict=_decision(one, p))
        for one, p in zip(family, corrected, strict=True)
    ]


def _decision(one: Verdict, corrected: float) -> str:
    if corrected >= LEVEL:
        return OPEN
    return CONFIRMED if one.improves == (one.claim.expected == "better") else REFUTED


def _tested(family: str, name: str, claim: Claim, pair: Pair, size: int) -> Verdict:
    """Return a claim with its numbers before the correction; `size` is the number of claims of its family."""
    seeds, planned = pair.seeds, len(pair.planned)
    if not seeds:
        return Verdict(family, name, claim, pair, NOT_RUN)
    deviation = spread(pair.differences, max(map(abs, (*pair.ours.values(), *pair.base.values()))))
    gain = paired_difference(pair.ours, pair.base)
    verdict = Verdict(
        family,
        name,
        claim,
        pair,
        OPEN,
        gain=gain,
        probability=better_probability(
            pair.ours.values(), pair.base.values(), find(claim.metric).higher_is_better
        ),
        detectable=detectable(deviation, len(seeds), LEVEL / size),
    )
    if len(seeds) < planned:
        note = f"{len(seeds)} of {planned} seeds are there: no test before all are"
        return replace(verdict, verdict=UNFINISHED, note=note)
    if len(seeds) == 1:
        return replace(verdict, note="one seed: no interval and no test")
    if not deviation:
        return replace(verdict, note="the difference is the same for every seed: no test without a spread")
    return replace(verdict, p=paired_p(gain.mean, deviation, len(seeds)))
