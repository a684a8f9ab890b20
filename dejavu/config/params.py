"""The whole configuration, and the resolution of one experiment at one scale."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from ..errors import DejavuError, nearest
from .claim import Claim
from .data import DataSource, Source
from .experiment import Experiment
from .method import MethodChanges
from .recipe import Protocol, Recipe
from .run import Run, RunNetwork
from .scale import Scale
from .table import Table
from .values import Module, Name, Section, Size, WithOptions

SECTIONS = ("experiments", "tables", "networks", "datasets", "scales", "protocols", "recipes")
"""keys whose entries have names"""


class Network(WithOptions):
    """A network: its file in dejavu/networks, or package.module:function, and the options of it."""

    module: Module


class Sections(Section):
    """The sections of params.yaml that are used as they are written."""

    scales: dict[Name, Scale]
    scale: Scale
    """The scale of commands without `--scale`: an alias of one of `scales`."""
    datasets: dict[Name, Source]
    networks: dict[Name, Network]
    recipes: dict[Name, Recipe]
    protocols: dict[Name, Protocol]
    dejavu: MethodChanges = MethodChanges()
    """The method of every DejaVu row; a row names only what it changes."""
    claims: dict[Name, Annotated[dict[Name, Claim], Field(min_length=1)]] = {}
    """Families of statements for `dejavu verdicts`: p values are corrected over a family."""


class Params(Sections):
    """The whole configuration: experiments with their whole method, tables with their rows."""

    experiments: dict[Name, Experiment]
    tables: dict[Name, Table]

    def get_scale(self, scale: str | None) -> Scale:
        """Return the named scale; None is the scale that params.yaml selects."""
        return self.scale if scale is None else self._get("scale", scale)

    def at(self, scale: str) -> Params:
        """Return what the engines run at a scale: its tables, and all rows but those of others alone."""
        tables = {
            name: table
            for name, table in self.tables.items()
            if table.scales is None or scale in table.scales
        }
        left, shown = (
            {row for one in each.values() for row in one.experiments} for each in (tables, self.tables)
        )
        rows = {name: row for name, row in self.experiments.items() if name in left or name not in shown}
        return self.model_copy(update={"tables": tables, "experiments": rows})

    def data_source(self, dataset: str, scale: str) -> DataSource:
        """Return the source of `dataset` at `scale`, with the size and number of its images."""
        sources = self.get_scale(scale).data
        if dataset not in sources:
            raise DejavuError(
                f"dataset '{dataset}' has no part at scale '{scale}', {nearest(dataset, sources)}"
            )
        return sources[dataset]

    def cost_input(self, dataset: str) -> Size:
        """Return the height and width at which costs are counted for `dataset`, at every scale."""
        source = self.datasets.get(dataset)
        if source is None or source.cost_input is None:
            raise DejavuError(f"datasets.{dataset}.cost_input is missing in params.yaml")
        return source.cost_input

    def run(self, experiment: str, scale: str) -> Run:
        """Resolve one experiment: recipe <- the scale's budgets <- the row's `train`."""
        row = self._get("experiment", experiment)
        size, network = self.get_scale(scale), self.networks[row.network]
        data = self.data_source(row.dataset, scale)
        recipe = self.recipes[row.recipe].model_dump(exclude_unset=True)
        for layer in (*size.layers(row.budget), row.train):
            recipe = layer.over(recipe)
        budget = partial(size.value, row.budget)
        if (gpus := budget("gpus", 1)) == 1:
            recipe.pop("sync_norm", None)  # all statistics are of the whole batch anyway
        pretrained = budget("pretrained", size.pretrained)
        options = {key: value for key, value in network.options.items() if key != "pretrained" or pretrained}
        return Run(
            experiment=experiment,
            scale=size.name,
            seeds=size.seeds[: budget("seeds", None)],
            task=row.task,
            head=row.head,
            balance=row.balance,
            consistency=row.consistency,
            dataset=row.dataset,
            base=row.base,
            data=data,
            source=self.datasets[data.source],
            network=RunNetwork(
                name=row.network,
                module=network.module,
                options=options,
                width=budget("width", size.width),
                depth=budget("depth", size.depth),
            ),
            pretrained=size.pretrained,
            frozen_width=size.frozen_width,
            gpus=gpus,
            train=Recipe(**recipe),
            protocol=self.get_protocol(budget("protocol", row.protocol)),
            dejavu=row.dejavu,
        )

    def get_protocol(self, protocol: str) -> Protocol:
        return self._get("protocol", protocol)

    def get_table(self, table: str) -> Table:
        return self._get("table", table)

    def _get(self, kind: str, name: str) -> Any:
        """Return an entry. Raises DejavuError with the nearest name, or the sections that have this one."""
        section = getattr(self, f"{kind}s")
        if name in section:
            return section[name]
        others = [one for one in SECTIONS if name in getattr(self, one)]
        hint = f"which is one of the {' and the '.join(others)}" if others else nearest(name, section)
        listed = " (see `dejavu list`)" if kind in ("experiment", "table") else ""
        raise DejavuError(f"unknown {kind} '{name}', {hint}{listed}")
