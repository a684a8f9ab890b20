"""Short table of the repository's README: pairs with values in the paper, beside our values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..config import Params
from ..config.paths import Paths
from ..datasets import title as dataset_title
from ..errors import DejavuError
from .tables import read_content
from .tables.caption import by_chance
from .tables.cells import Cell, Content, cell
from .tables.markdown import escaped, gain_text, pipe_table
from .tables.names import head

BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"


def short_table(params: Params, scale: str, root: Path = Path()) -> str:
    """Return one line for each metric of each pair 'X' and 'X + DejaVu' with our and the paper's values.

    A pair is not chosen by its result. `root` is the repository's folder. Raises DejavuError if there is no
    such pair.
    """
    lines: dict[tuple[str, str], dict[str, str]] = {}
    certain = 0
    for name, table in params.tables.items():
        path = Paths(scale, root).table(name, "csv")
        if table.epoch != "last" or not path.exists():
            continue
        content = read_content(path)
        for row, metric in _pairs(content):
            if (row, metric) in lines:  # in two tables
                continue
            shown = cell(content.lines[row], metric)
            certain += shown.certain
            lines[row, metric] = _line(content, row, metric, shown, table.dataset)
    from pandas import DataFrame  # late, as it costs every command half a second

    if not lines:
        raise DejavuError(f"no pair with values of the paper was run at scale {scale}: see `dejavu tables`")
    notes = [
        by_chance(len(lines), certain),
        f"The level of ours (scale `{scale}`) cannot be compared with the paper's, only the gain.",
        f"[All tables, figures and settings](results/{scale}/README.md).",
    ]
    return f"{pipe_table(DataFrame(lines.values()), labels=3)}\n\n{' '.join(notes)}\n"


def fill(text: str, block: str, path: Path) -> str:
    """Return a file's text with the block between its marks. Raises DejavuError if it has no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise DejavuError(
            f"{path} has no lines '{BEGIN.strip()}' and '{END.strip()}': results are written between them"
        )
    return before + begin + block + end + after


def _pairs(content: Content) -> Iterator[tuple[str, str]]:
    """Yield ids of DejaVu rows with each metric for which the paper prints both values of the pair."""
    for line in content.ran:
        base = content.lines.get(line["base"])
        if base is None or base["method"] != line["method"] or base["status"] != "run":
            continue
        for metric in content.metrics:
            if line[f"paper_{metric}"] and base[f"paper_{metric}"] and line[f"{metric}_gain"]:
                yield line["id"], metric


def _line(content: Content, row: str, metric: str, ours: Cell, dataset: str) -> dict[str, str]:
    line, base = content.lines[row], cell(content.lines[content.lines[row]["base"]], metric)
    used, meant = dataset_title(line["dataset"]), dataset_title(dataset)
    return {
        "Data": used if used == meant else f"{used}, for {meant}",
        "Network": escaped(f"{line['method']}, {line['backbone']}"),
        "Metric": head(metric),
        "Paper: base → DejaVu": f"{base.paper} → {ours.paper}",
        "Ours: base → DejaVu": f"{base.mean} → {ours.mean}",
        "Our gain [95 % interval]": gain_text(ours),
        "Seeds": line["seeds"],
    }
