"""Unpacking a zip archive that came over the network: nothing outside the folder, nothing but files.

`zipfile` mends paths that lead out of a folder, and unpacks links as files. Both are refused here, before
anything is written: an archive that has them is not the data set.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ...errors import DejavuError
from ...system.progress import track

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, folder: Path, keep: Callable[[str], str | None], limit: int) -> list[str]:
    """Unpack the files for whose name `keep` returns a path below `folder`; None leaves a file out.

    Files that are there already, with the size and checksum (CRC-32) of the archive, stay. At most `limit`
    bytes are unpacked in all. Returns the paths, sorted. Raises DejavuError, before anything is written, for
    what is no zip archive, an entry that leads out of the folder, a link, an encrypted entry, two entries of
    one path, and more bytes than the limit; and for an entry whose content is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            chosen = _chosen(archive, opened, keep, limit)
            for path, entry in track(chosen.items(), len(chosen), f"unpack {archive.name}"):
                target = folder / path
                if not target.parent.resolve().is_relative_to(folder.resolve()):
                    raise DejavuError(f"{target.parent} is a link out of {folder}: remove it first")
                if not _is_there(target, entry):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.unlink(missing_ok=True)  # never through a link
                    # An unfinished file has another size or checksum, and is written anew by the next run.
                    with opened.open(entry) as source, open(target, "xb") as file:
                        shutil.copyfileobj(source, file)  # at most file_size bytes; zipfile checks the CRC
    except FileNotFoundError:
        raise DejavuError(f"{archive} is missing") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DejavuError(f"{archive} cannot be unpacked ({error}): delete it to fetch it again") from None
    return sorted(chosen)


def _chosen(
    archive: Path, opened: zipfile.ZipFile, keep: Callable[[str], str | None], limit: int
) -> dict[str, zipfile.ZipInfo]:
    """Return the entries to write, by their path below the folder."""
    chosen: dict[str, zipfile.ZipInfo] = {}
    for entry in opened.infolist():
        path = None if entry.is_dir() else keep(entry.filename)
        if path is None:
            continue
        fault = "is there twice" if path in chosen else _fault(entry, path)
        if fault is not None:
            raise DejavuError(f"{archive} is not unpacked: its entry '{entry.filename}' {fault}")
        chosen[path] = entry
    total = sum(entry.file_size for entry in chosen.values())
    if total > limit:
        raise DejavuError(f"{archive} is not unpacked: it would become {total} bytes, more than {limit}")
    return chosen


def _fault(entry: zipfile.ZipInfo, path: str) -> str | None:
    """Describe why an entry is not unpacked; None where it is."""
    name = PurePosixPath(path)
    if name.is_absolute() or ".." in name.parts or "\\" in path or ":" in path or not name.parts:
        return "leads out of the folder"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is no plain file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    return None if entry.compress_type in _METHODS else "is compressed in a way that is not read"


def _is_there(path: Path, entry: zipfile.ZipInfo) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.file_size:
        return False
    return zlib.crc32(path.read_bytes()) == entry.CRC
