"""The page of a scale's results: `results/<scale>/README.md`, which code hosts show with the folder.

It has the verdicts on the claims and every table of params.yaml, as far as they were written at this scale,
with figures and remarks. People write remarks in `results/<scale>/remarks.md`: the page's introduction, then
a section `## <table>` for a table.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..config import Params, claim
from ..config.paths import VERDICTS, Paths
from ..errors import DejavuError, nearest
from ..system.files import read_json, read_text
from .tables.markdown import escaped

READING = """\
## How to read a table

- A table has one line for each line of the paper's table. Its CSV holds all digits; Markdown and LaTeX
  show the same numbers, rounded. "not run" means that nothing of ours was measured.
- *Paper* is the value as printed there. *Ours* is the mean ± sample standard deviation over seeds,
  measured at the last epoch. A table of best epochs names that in its setting.
- *Gain* is the mean difference to the same network without DejaVu, paired by seed: same initial weights,
  same batches, same augmentation. Its 95 % confidence interval follows in brackets. A gain is bold where
  the interval excludes zero.
- At a reduced scale, or on other data than the paper's, the levels of *paper* and *ours* cannot be
  compared: only whether there is a gain.
- GMACs and parameters are those of the full-size network at every scale.
- `metrics/<experiment>/seed<N>.json` has all metrics of a run (for segmentation mIoU, boundary mIoU,
  pixel accuracy and the IoU of each class) and its resolved configuration. `seed<N>.run.json` beside it
  has what differs between identical runs: commit, versions, host, seconds, date. `logs/` has the learning
  curves."""


def results_page(params: Params, scale: str, root: Path = Path()) -> str:
    """Return the page as Markdown.

    `root` is the repository's folder. Raises DejavuError if no table is written at this scale, or if a
    remark belongs to no table.
    """
    paths = Paths(scale, root)
    written = [name for name in params.tables if paths.table(name, "md").exists()]
    if not written:
        raise DejavuError(f"{paths.results / 'tables'} has no table: make one with `dejavu tables`")
    remarks = read_remarks(params, paths.remarks)
    decided = bool(params.claims) and paths.table(VERDICTS, "md").exists()
    missing = [f"`{name}`" for name in params.at(scale).tables if name not in written]
    blocks = [
        f"# Results at scale `{scale}`",
        f"Written by `dejavu index --scale {scale}` from the files in this folder. Remarks: `remarks.md`.",
        remarks.get("", ""),
        _verdicts(params, paths, remarks.get(VERDICTS, "")) if decided else "",
        READING,
        *(_section(params, paths, name, remarks.get(name, "")) for name in written),
        f"## Not run at this scale\n\nTables: {', '.join(missing)}." if missing else "",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def read_remarks(params: Params, path: Path) -> dict[str, str]:
    """Read remarks by table, with the introduction under ''; the result is empty without a file.

    Raises DejavuError if a section belongs to no table of params.yaml.
    """
    if not path.exists():
        return {}
    first, *rest = re.split(r"^## (.*)\n", read_text(path), flags=re.M)
    remarks = {"": first.strip()}
    for name, text in zip(rest[::2], rest[1::2], strict=True):
        if name not in params.tables and not (name == VERDICTS and params.claims):
            raise DejavuError(
                f"{path}: '## {name}' is no table of params.yaml, {nearest(name, params.tables)}"
            )
        remarks[name] = text.strip()
    return remarks


def _section(params: Params, paths: Paths, name: str, remark: str) -> str:
    """Return a table with its remark, figures and files."""
    table = params.tables[name]
    return _shown(
        paths, name, escaped(table.title), table.figures, remark, _time(params, paths, table.experiments)
    )


def _verdicts(params: Params, paths: Paths, remark: str) -> str:
    """Return the verdicts with their remark, figure and files."""
    time = _time(params, paths, claim.experiments(params, paths.scale))
    return _shown(paths, VERDICTS, "Verdicts on the claims", ("forest",), remark, time)


def _shown(paths: Paths, name: str, title: str, kinds: tuple[str, ...], remark: str, time: str) -> str:
    """Return a table with its remark, figures and files; its title moves up one heading level."""
    table = read_text(paths.table(name, "md")).strip().replace("### ", "## ", 1)
    drawn = [kind for kind in kinds if paths.figure(name, kind).exists()]
    figures = [f"![{title}: {kind}](figures/{paths.figure(name, kind).name})" for kind in drawn]
    forms = ", ".join(
        f"[{title}](tables/{name}.{form})" for title, form in (("CSV", "csv"), ("LaTeX", "tex"))
    )
    command = f"snakemake --cores 2 {paths.table(name, 'md').relative_to(paths.root).as_posix()}"
    files = f"Files: {forms}. Reproduce with `{command}`{time}."
    return "\n\n".join(filter(None, [table, remark, *figures, files]))


def _time(params: Params, paths: Paths, experiments: tuple[str, ...]) -> str:
    """Return the training time of a table's rows in words; '' if it is not recorded."""
    seconds: dict[str, float] = {}
    for experiment in experiments:
        for seed in params.run(experiment, paths.scale).seeds:
            sidecar = paths.sidecar(experiment, seed)
            train = read_json(sidecar, "delete it").get("train") if sidecar.exists() else None
            if train and "seconds" in train:
                device = "CPU" if train.get("device", "cpu") == "cpu" else "GPU"
                seconds[device] = seconds.get(device, 0) + train["seconds"]
    hours = " and ".join(f"{value / 3600:.1f} hours ({device})" for device, value in seconds.items())
    return f"; training all seeds of its rows one after another took {hours}" if hours else ""
