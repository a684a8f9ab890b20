"""Tables: one CSV line for every line of the paper's table, and readable forms made from that CSV.

- `results`: the metrics that `evaluate` wrote, read and checked
- `frame`: results beside the paper's values as a pandas DataFrame, the only place where a number is computed
- `delta_mtl`, `best_epoch`: results that are made from those of other rows, or from training logs
- `cells`, `names`, `origin`, `caption`: cells, names and the setting, shared by readable forms and figures
- `readable`: the table of the readable forms as a DataFrame; `markdown`, `latex`: its two spellings

pandas is imported where a table is made, and not by figures, which read its CSV.
"""

from __future__ import annotations

from .cells import Content, read_content
from .frame import columns, csv_text, table_frame
from .latex import latex
from .markdown import markdown
from .origin import Origin
from .results import Result, measured_seeds, read_result

__all__ = [
    "Content",
    "Origin",
    "Result",
    "columns",
    "csv_text",
    "latex",
    "markdown",
    "measured_seeds",
    "read_content",
    "read_result",
    "table_frame",
]
