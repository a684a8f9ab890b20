"""Images without labels: raw/<dataset>/unlabelled/, rendered scenes or a link to the folder of the user.

`datasets.<source>.unlabelled` of params.yaml names the folder, whatever the dataset's own layout is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DejavuError
from ...system.folders import files_below
from ..dataset import UNLABELLED
from ..scenes import raw_files
from . import mirror

if TYPE_CHECKING:
    from ...config import DataSource, Source

_ENDINGS = (".png", ".jpg", ".jpeg")


def requested(part: DataSource, source: Source) -> bool:
    """Return whether params.yaml asks for images without labels."""
    return bool(part.unlabelled if part.source == "synthetic" else source.unlabelled)


def bring(raw: Path, part: DataSource, source: Source) -> list[str]:
    """Render the images or link their folder; returns their paths below `raw`, sorted, none where not asked.

    Raises DejavuError where the folder is not there, or has no image.
    """
    folder = raw / UNLABELLED
    raw_files.remove_unlabelled(folder)
    if folder.is_symlink() and (part.source == "synthetic" or not requested(part, source)):
        folder.unlink()
    if not requested(part, source):
        return []
    if part.source == "synthetic":
        return raw_files.write_unlabelled(raw, source.seed, part.size, {UNLABELLED: part.unlabelled})
    origin, key = Path(source.unlabelled or ""), f"datasets.{part.source}.unlabelled"
    if not origin.is_dir():
        raise DejavuError(f"{key} is {origin}, which is not a folder")
    if folder.is_dir() and not folder.is_symlink():
        raise DejavuError(f"{folder} is no link: move it away, since {key} names another folder")
    mirror.link(origin, folder)
    return [path.relative_to(raw).as_posix() for path in images(raw)]


def images(raw: Path) -> list[Path]:
    """Return the images without labels in `raw`, sorted. Raises DejavuError where there is none."""
    folder = raw / UNLABELLED
    below = files_below(folder) if folder.is_dir() else []
    found = [path for path in below if path.suffix.lower() in _ENDINGS]
    if not found:
        raise DejavuError(f"{folder} has no image: a .png, .jpg or .jpeg file is needed")
    return sorted(found)
