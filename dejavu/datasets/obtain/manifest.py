"""The manifest of a dataset's raw files: counts, bytes, and one checksum over their contents.

Raw files are the user's where they are linked, or where their source has no address: nothing verifies them,
and they may change. `renew` notices that before an engine plans its jobs. It compares names, sizes, times and
inodes with those of the download; only where these differ, or are too young to be trusted, it reads the
files. A program can set a file's time of modification but not that of its last change (ctime), so that an
edit which keeps size and time is noticed, too.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DejavuError
from ...system.files import naming, read_json, sha256, write_json
from ...system.locks import locked
from ...system.progress import track
from .. import folder_settings, reader, stands_in_for
from ..dataset import UNLABELLED
from ..folder import LINK
from ..prepared.sizes import as_plain
from . import unlabelled

if TYPE_CHECKING:
    from ...config import DataSource, Source
    from ..dataset import Dataset

YOUNG = 2.0
"""seconds in which a second change may leave a file's times as they are: file systems have coarse clocks"""


@dataclass(frozen=True)
class RawFiles:
    """The raw files of dataset `name` of params.yaml in `folder`; their manifest lies beside it."""

    name: str
    folder: Path
    part: DataSource
    """the scale's entry for the dataset"""
    source: Source
    """the entry of `datasets` that `part` names"""

    @property
    def manifest(self) -> Path:
        return self.folder.with_name(f"{self.name}.json")

    @property
    def state(self) -> Path:
        """The file with checksums over names, sizes and times, which differ between machines."""
        return self.folder.with_name(f".{self.name}.state.json")

    @property
    def is_elsewhere(self) -> bool:
        """Return whether the user's folder is no longer where it was linked: it was moved with the clone."""
        settings = folder_settings(self.source)
        path = None if settings is None else settings.path
        return (
            path is not None
            and Path(path).is_dir()
            and Path(path).resolve() != (self.folder / LINK).resolve()
        )

    @property
    def origin(self) -> dict[str, Any]:
        """The settings that determine the raw files; a manifest with other settings is out of date."""
        scenes = None
        if self.part.source == "synthetic":
            scenes = {"seed": self.source.seed, "size": as_plain(self.part.size)}
        settings: dict[str, Any] = {"source": self.part.source, "scenes": scenes}
        if unlabelled.requested(self.part, self.source):
            settings["unlabelled"] = self.source.unlabelled or self.part.unlabelled
        folder = folder_settings(self.source)
        return settings if folder is None else settings | {"folder": folder.model_dump(mode="json")}


def obtain(raw: RawFiles) -> dict[str, Any]:
    """Obtain the raw files and write their manifest, last; returns its content.

    The manifest depends on the files alone: a repeated download writes the same bytes.

    Raises DejavuError where the files cannot be obtained, or do not belong together.
    """
    with locked(raw.folder.with_name(f".{raw.name}.lock")):
        raw.folder.mkdir(parents=True, exist_ok=True)  # first: where that fails, the manifest stays
        raw.manifest.unlink(missing_ok=True)  # it must not describe a folder that changes now
        dataset, files = _bring(raw)
        state = _state(raw, files)  # before the contents are read: a change in between is noticed later
        content = _content(raw, dataset, files)
        write_json(raw.manifest, content)
        write_json(raw.state, state)
    return content


def renew(raw: RawFiles, write: bool = True) -> bool:
    """Write the manifest again if the user's files have changed since; returns whether it is another one.

    Without `write` nothing is written, and the answer is the same.

    A manifest of files that do not belong together any more has the sentence that says so as `fault`, with
    which `dejavu prepare` stops. Where there is no manifest, or one of other settings, nothing is done: an
    engine downloads anyway.

    Raises OSError where the files are out of reach, as on a disk that is not mounted.
    """
    if not raw.manifest.exists():
        return False
    recorded = read_json(raw.state, "delete it") if raw.state.exists() else {}
    if not raw.is_elsewhere:
        folder = _users_state(raw)
        if not folder.files or (folder.digest is not None and folder.digest == recorded.get("folder")):
            return False
    lock = locked(raw.folder.with_name(f".{raw.name}.lock")) if write else nullcontext()
    with lock:
        before = read_json(raw.manifest, f"delete it, and download {raw.name} again")
        if not isinstance(before, dict) or any(before.get(key) != raw.origin[key] for key in raw.origin):
            return False
        if not write:
            return _would_change(raw, before, recorded)
        content, state = _compared(raw, before, recorded)
        if content != before:
            write_json(raw.manifest, content)
        write_json(raw.state, state)
    return content != before


def newest(raw: RawFiles) -> Path:
    """Return the file or folder of the raw files that was modified last, or the manifest."""
    paths = [Path(path) for path, *_ in _files(raw.folder, raw.folder.is_symlink())]
    every = {raw.manifest, *paths, *(path.parent for path in paths)}
    return max(sorted(every), key=lambda path: path.stat().st_mtime_ns)


def _compared(
    raw: RawFiles, before: dict[str, Any], recorded: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the manifest of the files as they are, and their state; the others are the last ones."""
    state: dict[str, Any] = {}
    try:
        dataset, files = _bring(raw)
        state = _state(raw, files)
        same = state["files"] is not None and state["files"] == recorded.get("files")
        return before if same else _content(raw, dataset, files), state
    except (DejavuError, OSError) as error:
        return before | {"fault": str(error)}, state


def _would_change(raw: RawFiles, before: dict[str, Any], recorded: dict[str, Any]) -> bool:
    """Return whether the manifest would be another one: in a temporary folder of links to the raw files."""
    with tempfile.TemporaryDirectory() as folder:
        linked = replace(raw, folder=Path(folder, raw.name))
        linked.folder.mkdir()
        for entry in os.scandir(raw.folder):
            (linked.folder / entry.name).symlink_to(Path(entry.path).resolve())
        return _compared(linked, before, recorded)[0] != before


class _State:
    """A checksum over names, sizes, times and inodes of files."""

    def __init__(self) -> None:
        self.files = 0
        self._digest, self._newest, self._start = hashlib.sha256(), 0.0, time.time()

    def add(self, path: str, stat: os.stat_result) -> None:
        numbers = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} "
        self._digest.update(numbers.encode() + os.fsencode(path) + b"\n")
        self._newest = max(self._newest, stat.st_ctime)
        self.files += 1

    @property
    def digest(self) -> str | None:
        """The checksum; None where a later change might leave it as it is."""
        return self._digest.hexdigest() if self._newest < self._start - YOUNG else None


def _state(raw: RawFiles, files: list[str]) -> dict[str, str | None]:
    """Return the state of the user's folder, and of the `files` in it that belong to the dataset."""
    used = _State()
    for file in sorted(files):
        used.add(file, os.stat(raw.folder / file))
    return {"folder": _users_state(raw).digest, "files": used.digest}


def _users_state(raw: RawFiles) -> _State:
    """Return the state of the user's files. Raises OSError for what cannot be listed."""
    everything = raw.source.url is None and raw.part.source != "synthetic"
    state = _State()
    for path, stat, linked in _files(raw.folder, raw.folder.is_symlink()):
        if linked or everything:
            state.add(path, stat)
    return state


def _files(
    folder: str | os.PathLike[str], linked: bool, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Yield the files of a folder, in order, and whether each is linked or in a folder that is."""
    with os.scandir(folder) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    for entry in entries:
        try:
            stat = entry.stat()
        except FileNotFoundError:  # a link that leads nowhere
            if linked:
                continue
            raise
        inside, key = linked or entry.is_symlink(), (stat.st_dev, stat.st_ino)
        if not entry.is_dir():
            yield entry.path, stat, inside
        elif key not in above:  # a link to a folder above it would not end
            yield from _files(entry.path, inside, above | {key})


def _bring(raw: RawFiles) -> tuple[Dataset, list[str]]:
    """Obtain the files; returns their reader and their paths below the folder."""
    dataset = reader(raw.name, raw.part.source, raw.source)
    raw.folder.mkdir(parents=True, exist_ok=True)
    with naming(raw.folder):
        files = dataset.download(raw.folder, raw.part, raw.source)
        return dataset, sorted([*files, *unlabelled.bring(raw.folder, raw.part, raw.source)])


def _content(raw: RawFiles, dataset: Dataset, files: list[str]) -> dict[str, Any]:
    about = {
        "dataset": raw.name,
        "stands_in_for": stands_in_for(raw.name, raw.part.source),
        "licence": raw.source.licence,
    }
    content = describe(dataset, raw.folder, files) | about | raw.origin
    if "unlabelled" in raw.origin:
        content["splits"] |= {UNLABELLED: len(unlabelled.images(raw.folder))}
    return content


def describe(dataset: Dataset, folder: Path, files: list[str]) -> dict[str, Any]:
    """Return counts, bytes and one checksum over the contents of all `files` below `folder`."""
    splits = {split: len(dataset.checked_pairs(folder, split)) for split in dataset.splits}
    digest, size = hashlib.sha256(), 0
    for file in track(sorted(files), len(files), "checksums"):
        path = folder / file
        size += path.stat().st_size
        digest.update(f"{sha256(path)}  {file}\n".encode("utf-8", "surrogateescape"))
    return {"splits": splits, "files": len(files), "bytes": size, "sha256": digest.hexdigest()}
