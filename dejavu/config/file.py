"""params.yaml as written, and its completion into `Params`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from ..errors import nearest
from .experiment import Experiment, ExperimentEntry
from .params import Params, Sections
from .paths import printed_values
from .printed import read_printed
from .scale import ALL
from .table import Table, TableEntry
from .values import Name


class ParamsFile(Sections):
    """params.yaml: the only configuration."""

    experiments: dict[Name, ExperimentEntry]
    tables: dict[Name, TableEntry]

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

    def complete(self, folder: Path) -> Params:
        """Complete each row with its whole method, and each table with its rows.

        The paper's values are read from `folder`. Raises ValueError, one sentence.
        """
        experiments = {name: self._experiment(name, entry) for name, entry in self.experiments.items()}
        tables = {name: self._table(name, entry, folder, experiments) for name, entry in self.tables.items()}
        shared = {key: getattr(self, key) for key in Sections.model_fields}
        return Params(**shared, experiments=experiments, tables=tables)

    def _experiment(self, name: str, entry: ExperimentEntry) -> Experiment:
        for scale in self.scales.values():
            for budget in (ALL, entry.budget):
                if budget not in scale.budget:
                    raise ValueError(
                        f"experiments.{name}.budget: scales.{scale.name}.budget.{budget} is missing, "
                        f"{nearest(budget, scale.budget)} ({{}} where a scale changes nothing)"
                    )
        given = {key: getattr(entry, key) for key in entry.model_fields_set}
        if entry.dejavu is not None:
            try:
                given["dejavu"] = entry.dejavu.over(self.dejavu)
            except ValueError as error:
                raise ValueError(f"experiments.{name}.dejavu.{error}") from None
        return Experiment(**given)

    def _table(self, name: str, entry: TableEntry, folder: Path, experiments: dict[str, Experiment]) -> Table:
        try:
            printed = {} if entry.paper is None else read_printed(folder / printed_values(entry.paper))
            return entry.with_rows(experiments, printed)
        except ValueError as error:
            raise ValueError(f"tables.{name}.{error}") from None
