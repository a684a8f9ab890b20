"""Raw files that the user changes: noticed before an engine decides which jobs to run.

Snakemake calls `renew_one` when it decides about a dataset's rule `prepare`. DVC has no such moment, and has
a stage that always runs (`dejavu sources`). Either then compares manifests by content: what depends on
another one is made again, and nothing else. A dry run of Snakemake writes no manifest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from ..config import Params
from ..config.paths import Paths
from ..datasets.obtain import manifest
from ..system.files import write_text

COMPARED = "Raw files are compared with their manifests before any stage of DVC runs.\n"
"""the content of the output of DVC's stage, always the same: no other stage runs again because of it"""


def raw_files(params: Params, name: str, scale: str) -> manifest.RawFiles:
    """Return the raw files of dataset `name` at a scale. Raises DejavuError where it has none there."""
    part = params.data_source(name, scale)
    return manifest.RawFiles(name, Paths(scale).raw(name), part, params.datasets[part.source])


def renew(params: Params, scales: Iterable[str]) -> None:
    """Renew the manifests of raw files that have changed since their download.

    stderr names them, and those that are out of reach (their disk is not mounted, the clone is read-only).
    """
    for scale in scales:
        for name in params.scales[scale].data:
            renew_one(params, name, scale)


def renew_one(params: Params, name: str, scale: str, write: bool = True) -> Path | None:
    """Renew the manifest of one dataset if its raw files have changed, or only notice it without `write`.

    Returns the file or folder that was modified last where they have changed, else None.
    """
    raw = raw_files(params, name, scale)
    if not raw.manifest.exists():
        return None
    try:
        if write:
            mark(scale)
        if manifest.renew(raw, write):
            print(f"{raw.folder} has changed: what was made from it is out of date", file=sys.stderr)
            return manifest.newest(raw)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}: changes of {name} go unnoticed", file=sys.stderr)
    return None


def mark(scale: str) -> None:
    """Write the output of DVC's stage, which `dvc commit` requires after a run of Snakemake."""
    path = Paths(scale).compared
    if not path.exists():
        write_text(path, COMPARED)
