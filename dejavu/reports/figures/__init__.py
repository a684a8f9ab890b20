"""Figures, one kind a file: params.yaml names a kind by its file, and a new file is a new kind.

A kind's file holds

- `NEEDS`: which files of the pipeline it is drawn from, a tuple of names in `dejavu.registry.FIGURE_FILES`.
  Both engines compute dependencies from it, and read it from the source, without an import;
- `collect(params, table, scale, partial)`: plain data from those files, for the table of that name. With
  `partial`, rows whose files are missing are left out. Raises DejavuError where a file is missing or wrong,
  NothingToDraw where no row has what the figure shows;
- `draw(data)`: the figure, from what `collect` returned.

What kinds share is in elements/.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...errors import DejavuError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...config import Params


class NothingToDraw(DejavuError):
    """No row has what a figure shows."""


class Kind(Protocol):
    """The module of a figure kind."""

    def collect(self, params: Params, name: str, scale: str, partial: bool = False) -> Any:
        """Data of the table `name` at a scale."""

    def draw(self, data: Any) -> Figure:
        """The figure of these data."""


def load_kind(name: str) -> Kind:
    """The module of a kind that params.yaml names; imports matplotlib."""
    return cast(Kind, importlib.import_module(f"{__name__}.{name}"))
