"""A local copy of the data, for machines without internet: `$DEJAVU_MIRROR/<dataset>/`.

Its SHA256SUMS (lines of checksum and path, as sha256sum writes them) lists its files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ...errors import DejavuError
from ...system.files import atomic, sha256
from ...system.progress import track

_CHUNK = 1 << 20


def find(dataset: str) -> Path | None:
    """Return the mirror's folder of `dataset`; None where there is no mirror or it lacks the dataset."""
    root = os.environ.get("DEJAVU_MIRROR")
    if not root:
        return None
    if not Path(root).is_dir():
        raise DejavuError(f"DEJAVU_MIRROR is {root}, which is not a folder")
    folder = Path(root) / dataset
    return folder.resolve() if folder.is_dir() else None


def read_checksums(path: Path) -> dict[str, str]:
    """Read `{relative path: sha256}` from a file in the format of sha256sum.

    Raises DejavuError for a line of another form, and for a path that leads out of the folder.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: it says which files belong to the data set") from None
    except UnicodeDecodeError:
        raise DejavuError(f"{path} is not a text file of checksums") from None
    checksums = {}
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if not match:
            raise DejavuError(f"{path}, line {number}, is not a checksum and a path")
        name = PurePosixPath(match[2])
        if name.is_absolute() or ".." in name.parts:
            raise DejavuError(f"{path}, line {number}: '{match[2]}' leads out of the folder")
        checksums[str(name)] = match[1]
    return checksums


def copy_all(folder: Path, target: Path, keep: Callable[[str], bool] = lambda name: True) -> dict[str, str]:
    """Copy the files that `folder`/SHA256SUMS lists and `keep` accepts; returns them with checksums.

    What `target` has already with the right checksum is left alone. Raises DejavuError at the first
    file that is missing or differs.
    """
    listed = read_checksums(folder / "SHA256SUMS")
    files = {name: digest for name, digest in listed.items() if keep(name)}
    if not files:
        raise DejavuError(f"{folder / 'SHA256SUMS'} lists none of the files of this dataset")
    for name, digest in track(files.items(), total=len(files), description="copy"):
        if not ((target / name).is_file() and sha256(target / name) == digest):
            _copy(folder / name, target / name, digest)
    return files


def _copy(origin: Path, target: Path, digest: str) -> None:
    """Copy one file, hashing the very bytes that are written."""
    if not origin.is_file():
        raise DejavuError(f"{origin} is missing, though SHA256SUMS lists it")
    with atomic(target) as temporary:
        sum_ = hashlib.sha256()
        with open(origin, "rb") as source, open(temporary, "wb") as copy:
            while chunk := source.read(_CHUNK):
                sum_.update(chunk)
                copy.write(chunk)
        if sum_.hexdigest() != digest:
            raise DejavuError(f"{origin} has sha256 {sum_.hexdigest()}, and SHA256SUMS says {digest}")


def link(origin: Path, target: Path) -> None:
    """Make `target` a link to folder `origin`; a real folder that is there already stays."""
    if target.is_dir() and not target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(origin.resolve(), target_is_directory=True)
    os.replace(temporary, target)
