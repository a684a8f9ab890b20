"""Dependencies of a table and its figures, for both engines.

Snakemake needs the name of each file. DVC needs a folder for each experiment, since it cannot list seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config import Params, Table, claim
from ..config.paths import Paths, printed_values
from ..registry import figure_needs


@dataclass(frozen=True)
class Dependencies:
    """Inputs of a job, by names of params.yaml."""

    params: Params
    datasets: tuple[str, ...] = ()
    """datasets whose prepared arrays are read"""
    weights: tuple[str, ...] = ()
    """experiments whose weights are read, including those of a regenerator"""
    logs: tuple[str, ...] = ()
    """experiments whose learning curves are read"""
    metrics: tuple[str, ...] = ()
    """experiments whose metrics are read"""
    tables: tuple[str, ...] = ()
    """tables whose CSV file is read"""
    printed: tuple[str, ...] = ()
    """names of files in paper/ that are read"""

    def files(self, scale: str) -> list[Path]:
        """Return every file at a scale, for each seed of each experiment."""
        paths = Paths(scale)
        regenerated = [name for name in self.weights if self.params.experiments[name].dejavu is not None]
        return [
            *(paths.report(name) for name in self.datasets),
            *self._of_seeds(paths.weights, self.weights, scale),
            *self._of_seeds(paths.regenerator, regenerated, scale),
            *self._of_seeds(paths.log, self.logs, scale),
            *self._of_seeds(paths.metrics, self.metrics, scale),
            *(paths.table(name, "csv") for name in self.tables),
            *map(printed_values, self.printed),
        ]

    def _of_seeds(
        self, path: Callable[[str, int], Path], experiments: list[str] | tuple[str, ...], scale: str
    ) -> list[Path]:
        return [path(name, seed) for name in experiments for seed in self.params.run(name, scale).seeds]

    def folders(self, scale: str) -> list[Path]:
        """Return the folder of each dataset and experiment, and the CSV of each table.

        `scale` may be a variable of DVC.
        """
        paths = Paths(scale)
        return [
            *(paths.prepared(name) for name in self.datasets),
            *(paths.weights(name, "").parent for name in self.weights),
            *(paths.log(name, "").parent for name in self.logs),
            *(paths.metrics(name, "").parent for name in self.metrics),
            *(paths.table(name, "csv") for name in self.tables),
            *map(printed_values, self.printed),
        ]


def of_table(params: Params, name: str) -> Dependencies:
    """Return the dependencies of a table: metrics, and logs if it reports the best epoch."""
    table = params.get_table(name)
    logs = table.experiments if table.epoch == "best" else ()
    return Dependencies(params, metrics=table.experiments, logs=logs, printed=_printed(table))


def of_figures(params: Params, name: str) -> Dependencies:
    """Return the dependencies of all figures of a table, which one job draws."""
    table = params.get_table(name)
    needs = {need for kind in table.figures for need in figure_needs(kind)}
    return Dependencies(
        params,
        datasets=(table.dataset,) if "data" in needs else (),
        weights=table.experiments if "weights" in needs else (),
        logs=table.experiments if "logs" in needs else (),
        metrics=table.experiments if "metrics" in needs else (),
        tables=(name,) if "table" in needs else (),
        printed=_printed(table),
    )


def of_verdicts(params: Params, scale: str) -> Dependencies:
    """Return the dependencies of the verdicts on all claims at a scale."""
    return Dependencies(params, metrics=claim.experiments(params, scale))


def _printed(table: Table) -> tuple[str, ...]:
    return () if table.paper is None else (table.paper,)


def figure_kinds(params: Params) -> dict[str, tuple[str, ...]]:
    """Return the figure kinds of each table that has a DejaVu row with an experiment."""
    return {
        name: table.figures
        for name, table in params.tables.items()
        if table.figures and any(params.experiments[row].dejavu is not None for row in table.experiments)
    }
