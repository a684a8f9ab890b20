"""The whole of params.yaml: scales, experiments, tables, and how one experiment at one scale is resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from ..errors import DejavuError, nearest
from ..registry import figure_kinds
from .data import Part, Source
from .method import Balance, Consistency, Method
from .recipe import AtScale, Overrides, Protocol, Recipe
from .run import Run, RunNetwork
from .values import Flag, Name, Number, Section, Seed, Size, Task, Tasks, Text, Width, WithOptions


class Scale(Section):
    """How large every experiment is run."""

    name: Name
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    width: Width
    depth: Width = 1.0
    """Of every network's full depth: the number of blocks of a stage, at least one."""
    pretrained: Flag = False
    """Whether networks start from their `pretrained` weights, which exist at full width only."""
    frozen_width: Width = 1.0
    """Width of the frozen networks that losses ask (CLIP, VGG). Below 1 they have random weights."""
    data: dict[Name, Part]
    train: dict[Name, AtScale] = {}
    """For each recipe what this scale lays over it."""

    @model_validator(mode="after")
    def _pretrained_is_full_width(self) -> Scale:
        sizes = {self.width, self.depth, self.frozen_width}
        for layer in self.train.values():
            sizes |= {layer.width or 1.0, layer.depth or 1.0}
        if self.pretrained and sizes != {1.0}:
            raise ValueError(
                "pretrained weights exist at full size only: set width, depth and frozen_width to 1.0 or "
                "pretrained to false"
            )
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Scale:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ from each other, not {list(self.seeds)}")
        for recipe, layer in self.train.items():
            if (layer.seeds or 1) > len(self.seeds):
                raise ValueError(
                    f"train.{recipe}.seeds must be at most {len(self.seeds)}, the seeds of the scale, "
                    f"not {layer.seeds}"
                )
        return self

    def seeds_of(self, recipe: str) -> tuple[Seed, ...]:
        """The seeds that experiments with this recipe are run with."""
        layer = self.train.get(recipe)
        return self.seeds[: layer.seeds] if layer is not None else self.seeds


class Network(WithOptions):
    """A network: its file in dejavu/networks and that file's options."""

    module: Name


class Experiment(Section):
    """A named row: what is trained."""

    task: Tasks
    dataset: Name
    network: Name
    recipe: Name
    protocol: Name = "whole"
    """How it is evaluated."""
    train: Overrides = Overrides()
    balance: Balance | None = None
    """Of several tasks: how their losses are weighed; None is their sum."""
    consistency: Consistency | None = None
    """XTC, of several tasks."""
    base: Name | None = None
    dejavu: Method | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is predicted, one or several."""
        return (self.task,) if isinstance(self.task, str) else self.task


if TYPE_CHECKING:
    Figure = str
else:
    Figure = Literal[*figure_kinds()]


class Row(Section):
    """A line of a table, as the paper prints it."""

    id: Name
    method: Text
    backbone: Text = ""
    paper: dict[str, Number | Annotated[int, Strict()] | None] = {}
    base: Name | None = None
    experiment: Name | None = None
    note: Text | None = None
    """A sentence below the table: why a cost is not the paper's, or why the row is not run."""


class Table(Section):
    """Which experiments fill which lines."""

    title: Text
    dataset: Name
    metrics: Annotated[tuple[Name, ...], Field(min_length=1)]
    figures: tuple[Figure, ...] = ("curves", "panel")
    notes: tuple[Text, ...] = ()
    """Sentences below the table."""
    single: dict[Task, Name] = {}
    """For each task the experiment of it alone, which delta_mtl compares with."""
    epoch: Literal["last", "best"] = "last"
    """best: of those measured for the learning curve, chosen on the split that the table reports."""
    rows: tuple[Row, ...]

    @property
    def experiments(self) -> tuple[str, ...]:
        """The experiments that this table is made from: of its lines in their order, and of `single`."""
        named = [row.experiment for row in self.rows if row.experiment]
        return tuple(dict.fromkeys([*named, *self.single.values()]))


class Params(Section):
    """The whole of params.yaml."""

    scales: dict[Name, Scale]
    scale: Scale
    datasets: dict[Name, Source]
    networks: dict[Name, Network]
    recipes: dict[Name, Recipe]
    protocols: dict[Name, Protocol]
    experiments: dict[Name, Experiment]
    tables: dict[Name, Table]

    @model_validator(mode="before")
    @classmethod
    def _scale_is_an_alias(cls, value: Any) -> Any:
        # DVC reads scale.name and scale.seeds from here, so a bare name would do for us but not for it.
        if isinstance(value, dict) and isinstance(value.get("scale"), str):
            name = value["scale"]
            known = value.get("scales")
            hint = nearest(name, known) if isinstance(known, dict) and name not in known else f"write *{name}"
            raise ValueError(f"scale: must be an alias, not the text '{name}', {hint}")
        return value

    def get_scale(self, scale: str | None) -> Scale:
        """The named scale; None is params.yaml's own choice."""
        return self.scale if scale is None else _lookup(self.scales, scale, "scale")

    def part(self, dataset: str, scale: str) -> Part:
        """What plays `dataset`'s part at `scale`."""
        parts = self.get_scale(scale).data
        if dataset not in parts:
            raise DejavuError(
                f"dataset '{dataset}' has no part at scale '{scale}', {nearest(dataset, parts)}"
            )
        return parts[dataset]

    def cost_input(self, dataset: str) -> Size:
        """Height and width at which costs are counted for `dataset`, whatever plays its part."""
        source = self.datasets.get(dataset)
        if source is None or source.cost_input is None:
            raise DejavuError(f"datasets.{dataset}.cost_input is missing in params.yaml")
        return source.cost_input

    def run(self, experiment: str, scale: str) -> Run:
        """Resolve one experiment: recipe <- scale's `train` <- the row's `train`."""
        row = _lookup(self.experiments, experiment, "experiment")
        size = self.get_scale(scale)
        part = self.part(row.dataset, scale)
        recipe = self.recipes[row.recipe].model_dump(exclude_unset=True)
        for layer in (size.train.get(row.recipe), row.train):
            if layer is not None:
                recipe = layer.over(recipe)
        layer, network = size.train.get(row.recipe, AtScale()), self.networks[row.network]
        if layer.gpus == 1:
            recipe.pop("sync_norm", None)  # all statistics are of the whole batch anyway
        options = {
            key: value for key, value in network.options.items() if key != "pretrained" or size.pretrained
        }
        return Run(
            experiment=experiment,
            scale=size.name,
            seeds=size.seeds_of(row.recipe),
            task=row.task,
            balance=row.balance,
            consistency=row.consistency,
            dataset=row.dataset,
            base=row.base,
            data=part,
            source=self.datasets[part.source],
            network=RunNetwork(
                name=row.network,
                module=network.module,
                options=options,
                width=layer.width or size.width,
                depth=layer.depth or size.depth,
            ),
            pretrained=size.pretrained,
            frozen_width=size.frozen_width,
            gpus=layer.gpus,
            train=Recipe(**recipe),
            protocol=self.get_protocol(layer.protocol or row.protocol),
            dejavu=row.dejavu,
        )

    def get_protocol(self, protocol: str) -> Protocol:
        return _lookup(self.protocols, protocol, "protocol")

    def get_table(self, table: str) -> Table:
        return _lookup(self.tables, table, "table")


def _lookup(section: dict[str, Any], name: str, kind: str) -> Any:
    if name not in section:
        listed = " (see `dejavu list`)" if kind in ("experiment", "table") else ""
        raise DejavuError(f"unknown {kind} '{name}', {nearest(name, section)}{listed}")
    return section[name]
