"""Tables: entries of params.yaml with the names of their rows, and tables with complete rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Strict, Tag

from ..errors import nearest
from ..registry import figure_kinds
from .experiment import Experiment
from .printed import Printed
from .values import Name, Number, Section, Task, Text

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
    """The paper's values."""
    base: Name | None = None
    """The row of this table that this one is compared with."""
    experiment: Name | None = None
    """The experiment that fills the row; None: it is not run."""
    note: Text | None = None
    """A sentence below the table: the reason for a cost unlike the paper's, or for a row that is not run."""


class _Table(Section):
    title: Text
    dataset: Name
    metrics: Annotated[tuple[Name, ...], Field(min_length=1)]
    figures: tuple[Figure, ...] = ("curves", "panel")
    notes: tuple[Text, ...] = ()
    """Sentences below the table."""
    single: dict[Task, Name] = {}
    """For each task the single-task experiment that delta_mtl compares with."""
    epoch: Literal["last", "best"] = "last"
    """best: the best of the validated epochs, chosen on the split that the table reports."""
    scales: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """The scales at which `all` makes this table, and trains rows that are in no other one. Default: all."""
    paper: Name | None = None
    """Titles, printed values and notes of rows are in paper/<this name>.csv. Default: there are none."""


class Table(_Table):
    """A table with its rows."""

    rows: tuple[Row, ...]

    @property
    def experiments(self) -> tuple[str, ...]:
        """The experiments of this table: those of its rows in their order, then those of `single`."""
        named = [row.experiment for row in self.rows if row.experiment]
        return tuple(dict.fromkeys([*named, *self.single.values()]))


Rows = Annotated[
    Annotated[tuple[Name, ...], Field(min_length=1), Tag("tuple[Name]")]
    | Annotated[dict[Name, Text], Field(min_length=1), Tag("dict[Text]")],
    Discriminator(lambda value: "dict[Text]" if isinstance(value, dict) else "tuple[Name]"),
]


class TableEntry(_Table):
    """A table as params.yaml defines it."""

    rows: Rows | None = None
    """Names of experiments, or names with titles. Default: all rows of paper/<paper>.csv."""

    def with_rows(self, experiments: Mapping[str, Experiment], printed: Mapping[str, Printed]) -> Table:
        """Return the table with complete rows.

        Raises ValueError, which begins with the key, if something that a row needs does not exist.
        """
        if self.rows is None and self.paper is None:
            raise ValueError("rows is missing: names of experiments, or 'paper', a file that has them")
        titles = self.rows if isinstance(self.rows, dict) else dict.fromkeys(self.rows or printed, "")
        if len(titles) < len(self.rows or ()):
            twice = next(name for name in titles if list(self.rows or ()).count(name) > 1)
            raise ValueError(f"rows: '{twice}' is given twice")
        filled: dict[str, str | None] = {}
        for name in titles:
            row = printed.get(name, Printed())
            experiment = row.experiment or name
            if experiment not in experiments and not row.note:
                raise ValueError(
                    f"rows: unknown experiment '{experiment}', {nearest(experiment, experiments)} "
                    "(a row that is not run needs a note in the file of 'paper')"
                )
            filled[name] = experiment if experiment in experiments else None
        rows = tuple(
            self._row(name, title, filled, experiments, printed.get(name, Printed()))
            for name, title in titles.items()
        )
        given = {key: getattr(self, key) for key in _Table.model_fields.keys() & self.model_fields_set}
        return Table(**given, rows=rows)

    def _row(
        self,
        name: str,
        title: str,
        filled: Mapping[str, str | None],
        experiments: Mapping[str, Experiment],
        printed: Printed,
    ) -> Row:
        """Build one row. `filled` has the experiment of each row of the table."""
        experiment = filled[name]
        base = experiments[experiment].base if experiment else None
        bases = [row for row, other in filled.items() if base is not None and other == base]
        if base in experiments and not bases:  # otherwise the experiment has the fault
            raise ValueError(f"rows.{name}: '{experiment}' is compared with '{base}': add it to the rows")
        return Row(
            id=name,
            method=title or printed.method or name,
            backbone=printed.backbone,
            paper=printed.values,
            base=bases[0] if bases else None,
            experiment=experiment,
            note=printed.note or None,
        )
