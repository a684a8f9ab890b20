"""Tables: one CSV line for every line of the paper's table, and readable forms made from that CSV.

- `results`: what `evaluate` measured, read back and checked
- `lines`: results beside the paper's values, the only place where a number is computed or rounded
- `delta`, `best`: what is made of the results of several rows, or of their logs: delta-MTL, best epochs
- `forms`, `origin`, `caption`: what Markdown, LaTeX and figures share: names, columns, cells, the setting
- `markdown`, `latex`: their spelling
"""

from __future__ import annotations

from .csv_lines import columns, csv_text, table_lines
from .latex import latex
from .markdown import markdown
from .origin import Origin
from .results import Result, measured_seeds, read_result

__all__ = [
    "Origin",
    "Result",
    "columns",
    "csv_text",
    "latex",
    "markdown",
    "measured_seeds",
    "read_result",
    "table_lines",
]
