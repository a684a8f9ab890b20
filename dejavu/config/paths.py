"""Where everything lies, relative to the repository root: the one place that spells a path.

Both engines use it, with wildcards in place of names: `Paths("{scale}").weights("{experiment}", "{seed}")` is
what Snakemake calls a pattern, and `Paths("${scale.name}").prepared("${key}")` is a path of dvc.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FORMS = ("csv", "md", "tex")
"""a table's files"""
NETWORK_COSTS = Path("runs/costs")
"""undeclared: parameters and GMACs of networks that were counted once, by a hash of what they depend on"""
STEP_COSTS = Path("runs/plan")
"""undeclared: memory and operations of training steps, in the same way"""


def printed_values(name: str) -> Path:
    """The values that the paper prints in a table: beside params.yaml, of no scale."""
    return Path("paper") / f"{name}.csv"


@dataclass(frozen=True)
class Paths:
    """The files of one scale. `dataset`, `experiment` and `table` are names of params.yaml."""

    scale: str
    root: Path = Path()

    # data/: what download and prepare make
    def raw(self, dataset: str) -> Path:
        return self.root / "data" / self.scale / "raw" / dataset

    def raw_manifest(self, dataset: str) -> Path:
        return self.root / "data" / self.scale / "raw" / f"{dataset}.json"

    def prepared(self, dataset: str) -> Path:
        return self.root / "data" / self.scale / "prepared" / dataset

    def report(self, dataset: str) -> Path:
        return self.prepared(dataset) / "report.json"

    # checkpoints/ and runs/: what train makes
    def weights(self, experiment: str, seed: int | str) -> Path:
        """The plain base network's weights: what is deployed."""
        return self.root / "checkpoints" / self.scale / experiment / f"seed{seed}.safetensors"

    def regenerator(self, experiment: str, seed: int | str) -> Path:
        """The regenerator's weights (DejaVu rows only): used by the figures, never deployed."""
        return self.weights(experiment, seed).with_name(f"seed{seed}.regenerator.safetensors")

    def run(self, experiment: str, seed: int | str) -> Path:
        """Undeclared: what a killed training needs to go on."""
        return self.root / "runs" / self.scale / experiment / f"seed{seed}"

    # results/
    @property
    def results(self) -> Path:
        return self.root / "results" / self.scale

    @property
    def page(self) -> Path:
        """All tables and figures of the scale on one page, which a browser shows with the folder."""
        return self.results / "README.md"

    @property
    def remarks(self) -> Path:
        """Written by people: what they remark on the scale's tables."""
        return self.results / "remarks.md"

    def log(self, experiment: str, seed: int | str) -> Path:
        return self.results / "logs" / experiment / f"seed{seed}.csv"

    def metrics(self, experiment: str, seed: int | str) -> Path:
        return self.results / "metrics" / experiment / f"seed{seed}.json"

    def sidecar(self, experiment: str, seed: int | str) -> Path:
        """Beside the metrics: what differs between identical runs."""
        return self.metrics(experiment, seed).with_suffix(".run.json")

    def table(self, table: str, form: str) -> Path:
        return self.results / "tables" / f"{table}.{form}"

    def figure(self, table: str, kind: str) -> Path:
        return self.results / "figures" / f"{table}_{kind}.png"

    def speed(self) -> Path:
        """Seconds of training steps that `dejavu plan --measure` timed. No job reads or writes it."""
        return self.results / "speed.json"

    # predictions/: what predict writes for other tools
    def predictions(self, experiment: str) -> Path:
        return self.root / "predictions" / self.scale / experiment


def drop_other_seeds(folder: Path, seeds: Collection[int]) -> None:
    """Remove the files of seeds that params.yaml no longer lists, so that none lies beside the others."""
    for file in folder.glob("seed*"):
        number = re.match(r"seed(\d+)\.", file.name)
        if number and int(number[1]) not in seeds:
            file.unlink()
