"""Caption of a table: its setting, and the conditions for a comparison of its numbers."""

from __future__ import annotations

from ...datasets import title as dataset_title
from ...metrics import DELTA
from .cells import TOLERANCE, UNEXPLAINED, Content, listed, rounded
from .names import find
from .origin import Origin, pixels

MANY = 5  # number of intervals from which one is likely to exclude 0 by chance


def caption(origin: Origin, content: Content) -> list[str]:
    """Return the sentences of the caption; the first is the setting."""
    sentences = [f"Scale {origin.scale}: {origin.setting}.", *_best_epochs(origin)]
    if content.ran:
        sentences.append("Ours: mean ± sample standard deviation over seeds.")
    if any(line[f"{metric}_gain"] for line in content.ran for metric in content.metrics):
        sentences.append(
            f"Gain: the mean difference to {_reference(content)}, paired by seed, with its 95 % "
            "confidence interval (Student's t); bold where the interval excludes 0."
        )
        sentences += _fewer_pairs(content)
    sentences += [
        *_relative(origin, content),
        *chance(content),
        *_cost(origin, content),
        *_paper(origin, content),
    ]
    if any(line["status"] != "run" for line in content.lines.values()):
        known = "nothing of ours is there" if origin.partial else "only the paper's value is known"
        sentences.append(f"Not run: {known}.")
    return [*sentences, *origin.notes, *_explanations(content), *filter(None, [origin.partial])]


def _reference(content: Content) -> str:
    """Return the reference of a gain, in words."""
    paired = [line for line in content.ran if line["base"]]
    bases = [content.lines.get(line["base"], line) for line in paired]
    alike = all(line["params_m"] == base["params_m"] for line, base in zip(paired, bases, strict=True))
    return "the same network without DejaVu" if alike else "the row's base, a network without DejaVu"


def _best_epochs(origin: Origin) -> list[str]:
    """Describe the choice of best epochs and their number, with a warning that it is optimistic."""
    if not origin.epochs:
        return []
    counts = listed(
        [f"{measured} measured epochs (of {trained})" for measured, trained in origin.epochs], "or"
    )
    best = f"the highest {find(DELTA).name} there (of one task: with its own best value)"
    return [
        f"{origin.loud}: of each seed the one of {counts} with "
        f"{best if origin.single else 'the best value there'}, as the public code (MTPSL) does. Numbers "
        "that were chosen by looking at the test are optimistic, the more so the more epochs were measured: "
        "compare them with none of the last epoch."
    ]


def _relative(origin: Origin, content: Content) -> list[str]:
    """Define delta-MTL: a mean over these metrics, relative to these rows."""
    scored = [line for line in content.ran if line.get(f"{DELTA}_mean")]
    if not scored:
        return []
    changes = listed([find(metric).name for metric, _ in origin.single])
    lines = [content.lines.get(key) for _, key in origin.single]
    names = [
        f"'{content.name(line)}'" if line else key
        for (_, key), line in zip(origin.single, lines, strict=True)
    ]
    sentence = (
        f"{find(DELTA).name}: the mean of the relative changes of {changes}, each so signed that more is "
        f"better, against learning each task alone ({listed(names)}; same seed, last epoch)."
    )
    fewest = min((int(line["seeds"]) for line in lines if line), default=0)
    if lines.count(None) < len(lines) and any(int(line["seeds"]) > fewest for line in scored):
        sentence += " Seeds that these lack do not count there."
    return [sentence]


def _fewer_pairs(content: Content) -> list[str]:
    """Return a sentence for tables with gains that differ from the difference of the two means."""
    for line in content.ran:
        base = content.lines.get(line["base"])
        if base is not None and base["status"] == "run" and base["seeds"] != line["seeds"]:
            return ["Where a row and its base have different seeds, the gain is that of the common ones."]
    return []


def _explanations(content: Content) -> list[str]:
    """Return the numbered notes of the rows, and the meaning of the mark for a cost without a note."""
    sentences = [f"({number}) {text}" for number, text in enumerate(content.notes, 1)]
    if any(content.mark(line) == UNEXPLAINED for line in content.ran):
        sentences.append(
            f"{UNEXPLAINED} More than {TOLERANCE:.0%} off the paper's cost".replace("%", " %")
            + ", and nothing says why."
        )
    elif any(content.off(line) for line in content.ran):
        numbers = sorted({content.mark(line) for line in content.ran if content.off(line)})
        sentences.insert(
            0,
            f"Costs more than {TOLERANCE:.0%} off the paper's are marked: ".replace("%", " %")
            + f"see {listed([f'({number})' for number in numbers])}.",
        )
    return sentences


def chance(content: Content) -> list[str]:
    """Count the intervals that exclude 0, since some do by chance; no sentence for few intervals."""
    count, certain = len(content.intervals), sum(cell.certain for cell in content.intervals)
    if count < MANY:
        return []
    sentences = [by_chance(count, certain)]
    bases = [line["base"] for line in content.ran if line["base"]]
    if len(set(bases)) < len(bases):
        sentences.append(
            "Gains over the same base, or of the same row, share their luck: they rise and fall together."
        )
    return sentences


def by_chance(count: int, certain: int) -> str:
    """Compare the number of intervals that exclude 0 with the number expected by chance.

    >>> by_chance(20, 1)
    'Of 20 intervals 1 excludes 0; if nothing had any effect, about 1.0 would by chance.'
    """
    verb = "excludes" if certain == 1 else "exclude"
    return (
        f"Of {count} intervals {certain or 'none'} {verb} 0; if nothing had any effect, about "
        f"{count * 0.05:.1f} would by chance."
    )


def _cost(origin: Origin, content: Content) -> list[str]:
    """State the image size for the costs, and the cost itself if all rows have the same."""
    at = f"the full-size deployed network at {pixels(origin.input)}"
    if content.cost_columns:
        return [f"Ours GMACs and parameters (millions): {at}."] if content.ran else []
    if not content.ran:
        return []
    gmacs, params_m = (rounded(content.ran[0][key], 2) for key in ("gmacs", "params_m"))
    rows = "every row that was run, alike" if origin.partial else "every row alike"
    return [f"Cost of {rows}, {at}: {gmacs} GMACs, {params_m} million parameters."]


def _paper(origin: Origin, content: Content) -> list[str]:
    if content.paper.isdisjoint(content.metrics):
        return []
    if origin.real and origin.widths == origin.depths == (1.0,):
        return [f"Paper: the value as printed there, on {dataset_title(origin.dataset)}."]
    return [
        f"Paper: the value as printed there, on the real {dataset_title(origin.dataset)} with full-size "
        "images and networks, so its level is not comparable with ours."
    ]
