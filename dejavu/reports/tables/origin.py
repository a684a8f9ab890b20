"""Setting of a table: data, image size, training and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...config import KeepAspect, Params, Recipe, Run, Table
from ...datasets import title as dataset_title
from ...metrics import main_metric
from .cells import listed

RECIPES = 2  # most recipes that fit into one line
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW", "adam": "Adam"}


@dataclass(frozen=True)
class Origin:
    """Setting of a table, which its CSV does not contain.

    `dataset` is the paper's dataset, `source` the dataset that was used. Sizes are (height, width) in pixels:
    `size` for the images, `input` for the count of GMACs. `split` is '' if it is not known. `seeds` and
    `training` have one entry for each different value among the rows that were run. `single` names, for each
    task's main metric, the reference line (or experiment) of delta-MTL. `epochs`: in a table of best epochs,
    the different pairs (measured, trained) of the rows.
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
        """Return the setting of the named table at a scale; `split` is the measured split.

        `measured` has the measured seeds of each experiment, if the table is partial; `remarks` are sentences
        about the data.
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
        """Data that was used, e.g. 'CamVid test (stands in for Cityscapes)'."""
        used = " ".join(filter(None, (dataset_title(self.source), self.split)))
        return used if self.real else f"{used} (stands in for {dataset_title(self.dataset)})"

    @property
    def real(self) -> bool:
        """True for the paper's own dataset."""
        return self.source == self.dataset

    @property
    def loud(self) -> str:
        """Warning that the epochs were chosen on the test split; '' for last epochs."""
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
        """Seeds in words: '8 seeds (0-7)', or '3 or 8 seeds (of 0-7)' if rows differ."""
        if not self.seeds:
            return ""
        counts, most = [str(len(seeds)) for seeds in self.seeds], self.seeds[-1]
        word = "seed" if len(most) == 1 else "seeds"
        return f"{listed(counts, 'or')} {word} ({'of ' if len(counts) > 1 else ''}{_span(most)})"


def pixels(size: tuple[int, int] | KeepAspect) -> str:
    """Return height × width, or the shorter side for images that keep their aspect ratio.

    >>> pixels((96, 128)), pixels(KeepAspect(short=64, long=256))
    ('96×128', '64 pixels on the short side')
    """
    return (
        f"{size.short} pixels on the short side" if isinstance(size, KeepAspect) else f"{size[0]}×{size[1]}"
    )


def _training(recipe: Recipe) -> str:
    """Describe a recipe, such as '15 epochs of batch 8 with AdamW'."""
    count, unit = (recipe.epochs, "epoch") if recipe.epochs else (recipe.iterations or 0, "step")
    length = f"{count:,} {unit}{'s' if count > 1 else ''}"
    return f"{length} of batch {recipe.batch_size} with {OPTIMIZERS[recipe.optimizer.name]}"


def _partial(table: Table, runs: Sequence[Run], measured: Mapping[str, tuple[int, ...]]) -> str:
    """Return a sentence with the number of rows that were run; '' if all were."""
    fewer = {run.experiment for run in runs if len(measured.get(run.experiment, ())) < len(run.seeds)}
    rows = [row.experiment for row in table.rows if row.experiment]
    ran = [name for name in rows if name in measured]
    short = sum(name in fewer for name in ran)
    if not fewer:
        return ""
    text = f"Unfinished: {len(ran)} of {len(rows)} rows that have an experiment were run"
    return f"{text}, {short} of them with a part of their seeds." if short else f"{text}."


def _single(table: Table) -> tuple[tuple[str, str], ...]:
    """Return each task's main metric with the row of its single-task experiment, or the experiment's name."""
    rows = {row.experiment: row.id for row in reversed(table.rows) if row.experiment}
    return tuple((main_metric(task), rows.get(name, name)) for task, name in table.single.items())


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Return each text once, in order."""
    return tuple(dict.fromkeys(texts))


def _span(seeds: tuple[int, ...]) -> str:
    """Return '0-4' for a range, '0, 7' otherwise."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))


def _factors(values: tuple[float, ...]) -> str:
    """Return '0.25', or '0.25 or 0.5' if rows differ."""
    return listed([f"{value:g}" for value in values], "or")
