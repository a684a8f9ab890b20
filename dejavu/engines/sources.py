"""Raw files that the user changes: noticed before an engine decides which jobs to run.

Snakemake calls `renew` when it reads its rules, also for a dry run. DVC has no such moment, and has a stage
that always runs (`dejavu sources`). Either then compares manifests by content: what depends on another one is
made again, and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

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
            raw = raw_files(params, name, scale)
            if not raw.manifest.exists():
                continue
            try:
                mark(scale)
                if manifest.renew(raw):
                    print(f"{raw.folder} has changed: what was made from it is out of date", file=sys.stderr)
            except OSError as error:
                print(f"{error.filename}: {error.strerror}: changes of {name} go unnoticed", file=sys.stderr)


def mark(scale: str) -> None:
    """Write the output of DVC's stage, which `dvc commit` requires after a run of Snakemake."""
    path = Paths(scale).compared
    if not path.exists():
        write_text(path, COMPARED)
