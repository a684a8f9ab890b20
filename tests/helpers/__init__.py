"""What tests of several folders share."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""the repository's root"""


def copy_params(folder: Path) -> Path:
    """Copy params.yaml, and paper/ which it reads, into a folder; the copy's path."""
    shutil.copytree(ROOT / "paper", folder / "paper", dirs_exist_ok=True)
    return Path(shutil.copy(ROOT / "params.yaml", folder / "params.yaml"))
