"""The path of every file, relative to the repository root. No other module builds these paths.

Both engines use it, with wildcards in place of names: `Paths("{scale}").weights("{experiment}", "{seed}")` is
what Snakemake calls a pattern, and `Paths("${scale.name}").prepared("${key}")` is a path of dvc.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FORMS = ("csv", "md", "tex")
"""the formats of a table's files"""
VERDICTS = "verdicts"
"""the name of the files with the verdicts on all claims, beside those of the tables"""
NETWORK_COSTS = Path("runs/costs")
"""a cache that no rule declares: parameters and GMACs of networks, by a hash of all that they depend on"""
STEP_COSTS = Path("runs/plan")
"""a cache that no rule declares: memory and operations of training steps, by such a hash"""


def printed_values(name: str) -> Path:
    """Return the path of the paper's values for a table: beside params.yaml, the same at all scales."""
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

    @property
    def compared(self) -> Path:
        """Return the path of the output of DVC's stage that compares raw files with their manifests."""
        return self.root / "data" / self.scale / "raw" / "compared.txt"

    def prepared(self, dataset: str) -> Path:
        return self.root / "data" / self.scale / "prepared" / dataset

    def report(self, dataset: str) -> Path:
        return self.prepared(dataset) / "report.json"

    # checkpoints/ and runs/: what train makes
    def weights(self, experiment: str, seed: int | str) -> Path:
        """Return the path of the plain base network's weights, which are deployed."""
        return self.root / "checkpoints" / self.scale / experiment / f"seed{seed}.safetensors"

    def regenerator(self, experiment: str, seed: int | str) -> Path:
        """Return the path of the regenerator's weights (DejaVu rows only): for figures, never deployed."""
        return self.weights(experiment, seed).with_name(f"seed{seed}.regenerator.safetensors")

    def run(self, experiment: str, seed: int | str) -> Path:
        """Return the folder that a killed training needs to resume. No rule declares it."""
        return self.root / "runs" / self.scale / experiment / f"seed{seed}"

    # results/
    @property
    def results(self) -> Path:
        return self.root / "results" / self.scale

    @property
    def page(self) -> Path:
        """The page with all tables and figures of the scale; a browser shows it with the folder."""
        return self.results / "README.md"

    @property
    def remarks(self) -> Path:
        """Remarks on the scale's tables, written by people."""
        return self.results / "remarks.md"

    def log(self, experiment: str, seed: int | str) -> Path:
        return self.results / "logs" / experiment / f"seed{seed}.csv"

    def metrics(self, experiment: str, seed: int | str) -> Path:
        return self.results / "metrics" / experiment / f"seed{seed}.json"

    def sidecar(self, experiment: str, seed: int | str) -> Path:
        """Return the path of the values that differ between identical runs, beside the metrics."""
        return self.metrics(experiment, seed).with_suffix(".run.json")

    def table(self, table: str, form: str) -> Path:
        return self.results / "tables" / f"{table}.{form}"

    def figure(self, table: str, kind: str) -> Path:
        return self.results / "figures" / f"{table}_{kind}.png"

    @property
    def verdicts(self) -> list[Path]:
        """The files with the verdicts on all claims: the table's, and the forest plot."""
        return [*(self.table(VERDICTS, form) for form in FORMS), self.figure(VERDICTS, "forest")]

    def speed(self) -> Path:
        """Return the path of the step times of `dejavu plan --measure`. No job reads or writes it."""
        return self.results / "speed.json"

    # predictions/: what predict writes for other tools
    def predictions(self, experiment: str) -> Path:
        return self.root / "predictions" / self.scale / experiment


def drop_other_seeds(folder: Path, seeds: Collection[int]) -> None:
    """Remove the files of seeds that params.yaml no longer lists."""
    for file in folder.glob("seed*"):
        number = re.match(r"seed(\d+)\.", file.name)
        if number and int(number[1]) not in seeds:
            file.unlink()
