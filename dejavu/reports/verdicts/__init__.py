"""Verdicts on the claims of params.yaml, as a table and a forest plot (docs/evidence.md has the rules).

- `values`: the values of two rows by seed, read from their metrics
- `decide`: a verdict for each claim, the only place where a number is computed
- `forms`: CSV, Markdown and LaTeX; `caption`: their sentences; `forest`: the figure; `write`: all files
"""

from __future__ import annotations
