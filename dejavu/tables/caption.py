"""What a reader must know before comparing a table's numbers: its setting and its caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..schema import KeepAspect, Params, Recipe, Run, Table
from .forms import TOLERANCE, UNEXPLAINED, Content, Layout, listed, rounded
from .labels import dataset_name

RECIPES = 2  # different trainings that a line still has room for
MANY = 5  # intervals: of so many, one that excludes 0 is no surprise any more
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}


@dataclass(frozen=True)
class Origin:
    """What a caption says beyond the CSV.

    `dataset` is the paper's, `source` what was really used; sizes are (height, width) in pixels: `size`
    of the images, `input` of those for which GMACs are counted. `split` is '' where it is not known.
    `seeds` and `training` have an entry for each way in which rows were run: none, where none was.
    """

    title: str
    dataset: str
    source: str
    split: str
    scale: str
    size: tuple[int, int] | KeepAspect
    width: float
    seeds: tuple[tuple[int, ...], ...]
    training: tuple[str, ...]
    input: tuple[int, int]
    notes: tuple[str, ...] = ()
    partial: str = ""

    @classmethod
    def of(
        cls,
        params: Params,
        name: str,
        scale: str,
        split: str,
        measured: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Origin:
        """That of the named table at a scale; `split` is the part of the data that was measured.

        `measured` has the seeds that there are of each experiment that was run, where not all were.
        """
        table, size = params.get_table(name), params.get_scale(scale)
        part = params.part(table.dataset, scale)
        runs = [params.run(experiment, scale) for experiment in table.experiments]
        if measured is None:
            measured = {run.experiment: run.seeds for run in runs}
        ran = [run for run in runs if run.experiment in measured]
        return cls(
            title=table.title,
            dataset=table.dataset,
            source=part.source,
            split=split,
            scale=scale,
            size=part.size,
            width=size.width,
            seeds=tuple(sorted({measured[run.experiment] for run in ran}, key=len)),
            training=_different(_training(run.train) for run in ran),
            input=params.cost_input(table.dataset),
            notes=table.notes,
            partial=_partial(table, runs, measured),
        )

    @property
    def data(self) -> str:
        """The data actually used, e.g. 'CamVid test (stands in for Cityscapes)'."""
        used = " ".join(filter(None, (dataset_name(self.source), self.split)))
        return used if self.real else f"{used} (stands in for {dataset_name(self.dataset)})"

    @property
    def real(self) -> bool:
        """Whether it is the paper's own dataset."""
        return self.source == self.dataset

    @property
    def setting(self) -> str:
        """Data, image size, network width, training and seeds in one line."""
        width = "full-width networks" if self.width == 1 else f"width factor {self.width:g}"
        training = listed(self.training, "or") if self.training else ""
        training = training if len(self.training) <= RECIPES else "recipes by row"
        return ", ".join(filter(None, (self.data, pixels(self.size), width, training, self._seeds)))

    @property
    def _seeds(self) -> str:
        """'8 seeds (0-7)'; '3 or 8 seeds (of 0-7)' where rows differ."""
        if not self.seeds:
            return ""
        counts, most = [str(len(seeds)) for seeds in self.seeds], self.seeds[-1]
        word = "seed" if len(most) == 1 else "seeds"
        return f"{listed(counts, 'or')} {word} ({'of ' if len(counts) > 1 else ''}{_span(most)})"


def pixels(size: tuple[int, int] | KeepAspect) -> str:
    """Height × width; of images that keep their shape, their shorter side.

    >>> pixels((96, 128)), pixels(KeepAspect(short=64, long=256))
    ('96×128', '64 pixels on the short side')
    """
    return (
        f"{size.short} pixels on the short side" if isinstance(size, KeepAspect) else f"{size[0]}×{size[1]}"
    )


def caption(origin: Origin, content: Content) -> list[str]:
    """What a reader must know before comparing numbers, as sentences; the first is the setting."""
    layout = Layout.of(content)
    sentences = [f"Scale {origin.scale}: {origin.setting}."]
    if content.ran:
        sentences.append("Ours: mean ± sample standard deviation over seeds.")
    if any(line[f"{metric}_gain"] for line in content.ran for metric in content.metrics):
        sentences.append(
            f"Gain: the mean difference to {_what_to(content)}, paired by seed, with its 95 % "
            "confidence interval (Student's t); bold where the interval excludes 0."
        )
        sentences += _fewer_pairs(content)
    sentences += [*chance(content), *_cost(origin, content, layout), *_paper(origin, layout)]
    if any(line["status"] != "run" for line in content.lines.values()):
        known = "nothing of ours is there" if origin.partial else "only the paper's value is known"
        sentences.append(f"Not run: {known}.")
    return [*sentences, *origin.notes, *_explanations(content), *filter(None, [origin.partial])]


def _what_to(content: Content) -> str:
    """What a row with a gain is compared with."""
    paired = [line for line in content.ran if line["base"]]
    bases = [content.lines.get(line["base"], line) for line in paired]
    alike = all(line["params_m"] == base["params_m"] for line, base in zip(paired, bases, strict=True))
    return "the same network without DejaVu" if alike else "the row's base, a network without DejaVu"


def _fewer_pairs(content: Content) -> list[str]:
    """Said where a gain is no difference of the two means that stand there."""
    for line in content.ran:
        base = content.lines.get(line["base"])
        if base is not None and base["status"] == "run" and base["seeds"] != line["seeds"]:
            return ["Where a row and its base have different seeds, the gain is that of the common ones."]
    return []


def _explanations(content: Content) -> list[str]:
    """The rows' numbered notes, and what the sign of a difference without one means."""
    told = [f"({number}) {text}" for number, text in enumerate(content.notes, 1)]
    if any(content.mark(line) == UNEXPLAINED for line in content.ran):
        told.append(
            f"{UNEXPLAINED} More than {TOLERANCE:.0%} off the paper's cost".replace("%", " %")
            + ", and nothing says why."
        )
    elif any(content.off(line) for line in content.ran):
        numbers = sorted({content.mark(line) for line in content.ran if content.off(line)})
        told.insert(
            0,
            f"Costs more than {TOLERANCE:.0%} off the paper's are marked: ".replace("%", " %")
            + f"see {listed([f'({number})' for number in numbers])}.",
        )
    return told


def chance(content: Content) -> list[str]:
    """Of many intervals some exclude 0 whatever is true."""
    count, certain = len(content.intervals), sum(found.certain for found in content.intervals)
    if count < MANY:
        return []
    said = [by_chance(count, certain)]
    bases = [line["base"] for line in content.ran if line["base"]]
    if len(set(bases)) < len(bases):
        said.append(
            "Gains over the same base, or of the same row, share their luck: they rise and fall together."
        )
    return said


def by_chance(count: int, certain: int) -> str:
    """How many of so many intervals exclude 0, and how many would if nothing had any effect.

    >>> by_chance(20, 1)
    'Of 20 intervals 1 excludes 0; if nothing had any effect, about 1.0 would by chance.'
    """
    verb = "excludes" if certain == 1 else "exclude"
    return (
        f"Of {count} intervals {certain or 'none'} {verb} 0; if nothing had any effect, about "
        f"{count * 0.05:.1f} would by chance."
    )


def _cost(origin: Origin, content: Content, layout: Layout) -> list[str]:
    """At which size costs are counted; the cost itself where it is the same everywhere."""
    at = f"the full-size deployed network at {pixels(origin.input)}"
    if layout.cost:
        return [f"Ours GMACs and parameters (millions): {at}."] if content.ran else []
    if not content.ran:
        return []
    gmacs, params_m = (rounded(content.ran[0][key], 2) for key in ("gmacs", "params_m"))
    return [f"Cost of every row alike, {at}: {gmacs} GMACs, {params_m} million parameters."]


def _paper(origin: Origin, layout: Layout) -> list[str]:
    if not layout.paper:
        return []
    if origin.real and origin.width == 1:
        return [f"Paper: the value as printed there, on {dataset_name(origin.dataset)}."]
    return [
        f"Paper: the value as printed there, on the real {dataset_name(origin.dataset)} with full-size "
        "images and networks, so its level is not comparable with ours."
    ]


def _training(recipe: Recipe) -> str:
    """'15 epochs of batch 8 with AdamW'."""
    count, unit = (recipe.epochs, "epoch") if recipe.epochs else (recipe.iterations or 0, "step")
    length = f"{count:,} {unit}{'s' if count > 1 else ''}"
    return f"{length} of batch {recipe.batch_size} with {OPTIMIZERS[recipe.optimizer.name]}"


def _partial(table: Table, runs: Sequence[Run], measured: Mapping[str, tuple[int, ...]]) -> str:
    """How many of the rows there are; '' where all are."""
    fewer = {run.experiment for run in runs if len(measured.get(run.experiment, ())) < len(run.seeds)}
    rows = [row.experiment for row in table.rows if row.experiment]
    there = [name for name in rows if name in measured]
    short = sum(name in fewer for name in there)
    if not fewer:
        return ""
    text = f"Unfinished: {len(there)} of {len(rows)} rows that have an experiment were run"
    return f"{text}, {short} of them with a part of their seeds." if short else f"{text}."


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(texts))


def _span(seeds: tuple[int, ...]) -> str:
    """'0-4' for a range, '0, 7' otherwise."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
