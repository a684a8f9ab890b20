"""Sentences of the table and the figure of verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from ...config import Params
from ...datasets import title
from ..significance import LEVEL, POWER
from ..tables.cells import NOT_RUN
from .decide import CONFIRMED, OPEN, REFUTED, UNFINISHED, Verdict

TITLE = "Verdicts on the claims"
COUNTED = (CONFIRMED, REFUTED, OPEN, UNFINISHED, NOT_RUN)
READING = (
    "Gain: the mean difference to the compared row, paired by seed, with its 95 % confidence interval "
    "(Student's t).",
    "P(better): the probability that a network of the row is better than one of the compared row, over all "
    "pairs of seeds, ties as half (Agarwal et al. 2021).",
    "p: paired t test; Holm: corrected over all claims of the family, with p = 1 for those without a test.",
    f"Confirmed: the corrected p value is below {LEVEL:g}, and the gain has the sign that the claim expects. "
    "Refuted: the same with the other sign. Not decided: all else.",
    "Detectable: the smallest true gain that the test would have shown with a power of "
    f"{100 * POWER:.0f} % at so many seeds of this spread, at {LEVEL:g} divided by the claims of the family.",
)


def setting(params: Params, scale: str, verdicts: Sequence[Verdict]) -> str:
    """Return scale, data and seeds in one sentence."""
    data: dict[str, tuple[str, ...]] = {}
    ran = [one for one in verdicts if one.pair.seeds]
    for one in ran or verdicts:
        dataset = params.experiments[one.pair.row].dataset
        source = params.data_source(dataset, scale).source
        stands = "" if title(source) == title(dataset) else f"(stands in for {title(dataset)})"
        data[dataset] = (title(source), one.pair.split, stands)
    counts = sorted({len(one.pair.seeds) for one in ran})
    used = dict.fromkeys(" ".join(filter(None, texts)) for texts in data.values())
    seeds = " or ".join(map(str, counts))
    more = f"; {seeds} {'pair' if counts == [1] else 'pairs'} of seeds" if counts else ""
    return f"Scale {scale}: {', '.join(used)}{more}."


def counted(verdicts: Sequence[Verdict]) -> str:
    """Return how many claims have which verdict, such as '3 confirmed, 2 not decided of 5 claims'."""
    every = [one.verdict for one in verdicts]
    numbers = [f"{every.count(kind)} {kind}" for kind in COUNTED if kind in every]
    return f"{', '.join(numbers)} of {len(every)} {'claim' if len(every) == 1 else 'claims'}"


def notes(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the reasons of missing tests, the remarks on the data, and what the columns mean."""
    reasons: dict[str, list[str]] = {}
    for one in verdicts:
        if one.note:
            reasons.setdefault(one.note, []).append(f"{one.family}.{one.name}")
    remarks = dict.fromkeys(text for one in verdicts for text in one.pair.remarks)
    return [*(f"{', '.join(names)}: {note}." for note, names in reasons.items()), *remarks, *READING]
