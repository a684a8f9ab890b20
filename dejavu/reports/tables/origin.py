"""The setting of a table: on which data, at which size, how trained, over which seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...config import KeepAspect, Params, Recipe, Run, Table
from ...datasets import title as dataset_title
from ...metrics import main_metric
from .cells import listed

RECIPES = 2  # different trainings that a line still has room for
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW", "adam": "Adam"}


@dataclass(frozen=True)
class Origin:
    """The setting of a table, which its CSV does not have.

    `dataset` is the paper's, `source` the one that was used; sizes are (height, width) in pixels: `size` of
    the images, `input` of those for which GMACs are counted. `split` is '' where it is not known.
    `seeds` and `training` have an entry for each way in which rows were run: none, where none was.
    `single` names, for each task's main metric, the line (or experiment) that delta-MTL compares with.
    `epochs`: of a table of best epochs, how many were measured of how many trained, as rows differ.
    """

    title: str
    dataset: str
    source: str
    split: str
    scale: str
    size: tuple[int, int] | KeepAspect
    widths: tuple[float, ...]
    depths: tuple[float, ...]
    seeds: tuple[tuple[int, ...], ...]
    training: tuple[str, ...]
    input: tuple[int, int]
    notes: tuple[str, ...] = ()
    partial: str = ""
    single: tuple[tuple[str, str], ...] = ()
    epochs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(
        cls,
        params: Params,
        name: str,
        scale: str,
        split: str,
        measured: Mapping[str, tuple[int, ...]] | None = None,
        epochs: tuple[tuple[int, int], ...] = (),
        remarks: tuple[str, ...] = (),
    ) -> Origin:
        """The setting of the named table at a scale; `split` is the split that was measured.

        `measured` has the seeds that there are of each experiment that was run, where not all were;
        `remarks` are sentences about the data.
        """
        table, size = params.get_table(name), params.get_scale(scale)
        part = params.data_source(table.dataset, scale)
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
            widths=tuple(sorted({run.network.width for run in ran})) or (size.width,),
            depths=tuple(sorted({run.network.depth for run in ran})) or (size.depth,),
            seeds=tuple(sorted({measured[run.experiment] for run in ran}, key=len)),
            training=_different(_training(run.train) for run in ran),
            input=params.cost_input(table.dataset),
            notes=(*table.notes, *remarks),
            partial=_partial(table, runs, measured),
            single=_single(table),
            epochs=epochs,
        )

    @property
    def data(self) -> str:
        """The data actually used, e.g. 'CamVid test (stands in for Cityscapes)'."""
        used = " ".join(filter(None, (dataset_title(self.source), self.split)))
        return used if self.real else f"{used} (stands in for {dataset_title(self.dataset)})"

    @property
    def real(self) -> bool:
        """Whether it is the paper's own dataset."""
        return self.source == self.dataset

    @property
    def loud(self) -> str:
        """The warning that the epochs were chosen on the test split; '' for last epochs."""
        return f"BEST EPOCH, CHOSEN ON THE {self.split.upper()} SPLIT" if self.epochs else ""

    @property
    def setting(self) -> str:
        """Data, image size, network width, training and seeds in one line."""
        width = "full-width networks" if self.widths == (1.0,) else f"width factor {_factors(self.widths)}"
        depth = "" if self.depths == (1.0,) else f"depth factor {_factors(self.depths)}"
        training = listed(self.training, "or") if self.training else ""
        training = training if len(self.training) <= RECIPES else "recipes by row"
        return ", ".join(filter(None, (self.data, pixels(self.size), width, depth, training, self._seeds)))

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


def _training(recipe: Recipe) -> str:
    """'15 epochs of batch 8 with AdamW'."""
    count, unit = (recipe.epochs, "epoch") if recipe.epochs else (recipe.iterations or 0, "step")
    length = f"{count:,} {unit}{'s' if count > 1 else ''}"
    return f"{length} of batch {recipe.batch_size} with {OPTIMIZERS[recipe.optimizer.name]}"


def _partial(table: Table, runs: Sequence[Run], measured: Mapping[str, tuple[int, ...]]) -> str:
    """A sentence on how many rows were run; '' where all were."""
    fewer = {run.experiment for run in runs if len(measured.get(run.experiment, ())) < len(run.seeds)}
    rows = [row.experiment for row in table.rows if row.experiment]
    there = [name for name in rows if name in measured]
    short = sum(name in fewer for name in there)
    if not fewer:
        return ""
    text = f"Unfinished: {len(there)} of {len(rows)} rows that have an experiment were run"
    return f"{text}, {short} of them with a part of their seeds." if short else f"{text}."


def _single(table: Table) -> tuple[tuple[str, str], ...]:
    """For each task's main metric the line of the experiment of it alone, or its name if it has no line."""
    rows = {row.experiment: row.id for row in reversed(table.rows) if row.experiment}
    return tuple((main_metric(task), rows.get(name, name)) for task, name in table.single.items())


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(texts))


def _span(seeds: tuple[int, ...]) -> str:
    """'0-4' for a range, '0, 7' otherwise."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))


def _factors(values: tuple[float, ...]) -> str:
    """'0.25', or '0.25 or 0.5' where rows differ."""
    return listed([f"{value:g}" for value in values], "or")
