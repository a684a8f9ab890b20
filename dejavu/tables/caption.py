"""What a reader must know before comparing a table's numbers: its setting and its caption."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..schema import Params, Recipe
from .forms import Content, Layout, listed, rounded
from .labels import dataset_name

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
    size: tuple[int, int]
    width: float
    seeds: tuple[tuple[int, ...], ...]
    training: tuple[str, ...]
    input: tuple[int, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, params: Params, name: str, scale: str, split: str) -> Origin:
        """That of the named table at a scale; `split` is the part of the data that was measured."""
        table, size = params.get_table(name), params.get_scale(scale)
        part = params.part(table.dataset, scale)
        runs = [params.run(experiment, scale) for experiment in table.experiments]
        return cls(
            title=table.title,
            dataset=table.dataset,
            source=part.source,
            split=split,
            scale=scale,
            size=part.size,
            width=size.width,
            seeds=tuple(sorted({run.seeds for run in runs}, key=len)),
            training=_different(_training(run.train) for run in runs),
            input=params.cost_input(table.dataset),
            notes=table.notes,
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
        return ", ".join(filter(None, (self.data, pixels(self.size), width, training, self._seeds)))

    @property
    def _seeds(self) -> str:
        """'8 seeds (0-7)'; '3 or 8 seeds (of 0-7)' where rows differ."""
        if not self.seeds:
            return ""
        counts, most = [str(len(seeds)) for seeds in self.seeds], self.seeds[-1]
        word = "seed" if len(most) == 1 else "seeds"
        return f"{listed(counts, 'or')} {word} ({'of ' if len(counts) > 1 else ''}{_span(most)})"


def pixels(size: tuple[int, int]) -> str:
    """Height × width.

    >>> pixels((96, 128))
    '96×128'
    """
    return f"{size[0]}×{size[1]}"


def caption(origin: Origin, content: Content) -> list[str]:
    """What a reader must know before comparing numbers, as sentences; the first is the setting."""
    layout = Layout.of(content)
    sentences = [f"Scale {origin.scale}: {origin.setting}."]
    if content.ran:
        sentences.append("Ours: mean ± sample standard deviation over seeds.")
    if any(line[f"{metric}_gain"] for line in content.ran for metric in content.metrics):
        sentences.append(
            "Gain: the mean difference to the same network without DejaVu, paired by seed, with its 95 % "
            "confidence interval (Student's t); bold where the interval excludes 0."
        )
    sentences += [*chance(content), *_cost(origin, content, layout), *_paper(origin, layout)]
    if any(line["status"] != "run" for line in content.lines.values()):
        sentences.append("Not run: only the paper's value is known.")
    return [*sentences, *origin.notes]


def chance(content: Content) -> list[str]:
    """Of many intervals some exclude 0 whatever is true."""
    count, certain = len(content.intervals), sum(found.certain for found in content.intervals)
    if count < MANY:
        return []
    verb = "excludes" if certain == 1 else "exclude"
    said = [
        f"Of {count} intervals {certain or 'none'} {verb} 0; if nothing had any effect, about "
        f"{count * 0.05:.1f} would by chance."
    ]
    bases = [line["base"] for line in content.ran if line["base"]]
    if len(set(bases)) < len(bases):
        said.append(
            "Gains over the same base, or of the same row, share their luck: they rise and fall together."
        )
    return said


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
    epochs = f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}"
    return f"{epochs} of batch {recipe.batch_size} with {OPTIMIZERS[recipe.optimizer.name]}"


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(texts))


def _span(seeds: tuple[int, ...]) -> str:
    """'0-4' for a range, '0, 7' otherwise."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
