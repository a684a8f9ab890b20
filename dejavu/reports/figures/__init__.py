"""Figure kinds, one file each: params.yaml names a kind by its file, and a new file adds a kind.

The file of a kind has

- `NEEDS`: its input files of the pipeline, a tuple of names in `dejavu.registry.FIGURE_FILES`.
  Both engines compute dependencies from it, and read it from the source, without an import;
- `collect(params, table, scale, partial)`: plain data from those files, for the table of that name. With
  `partial`, rows whose files are missing are left out. Raises DejavuError if a file is missing or wrong,
  NothingToDraw if no row has data for the figure;
- `draw(data)`: the figure, from the result of `collect`.

Common elements of the kinds are in elements/.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...errors import DejavuError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...config import Params


class NothingToDraw(DejavuError):
    """No row has data for a figure."""


class Kind(Protocol):
    """The module of a figure kind."""

    def collect(self, params: Params, name: str, scale: str, partial: bool = False) -> Any:
        """Return the data of the table `name` at a scale."""

    def draw(self, data: Any) -> Figure:
        """Draw the figure of these data."""


def load_kind(name: str) -> Kind:
    """Import the module of a kind of params.yaml; this imports matplotlib."""
    return cast(Kind, importlib.import_module(f"{__name__}.{name}"))
