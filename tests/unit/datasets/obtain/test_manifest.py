"""Manifests of raw files that the user changes, in the layouts of datasets that are linked or put there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dejavu.config import DataSource, Source
from dejavu.datasets import ade20k, cityscapes, coco_panoptic
from dejavu.datasets.obtain import manifest
from dejavu.datasets.obtain.manifest import RawFiles, obtain, renew
from dejavu.datasets.scenes import raw_coco, raw_files
from dejavu.system.files import read_json

COUNTS = {"train": 2, "val": 1}
SIZE = (32, 64)


def _cityscapes(folder: Path) -> None:
    raw_files.write_cityscapes(folder, 0, SIZE, COUNTS)


def _ade20k(folder: Path) -> None:
    raw_files.write_ade20k(folder, 0, SIZE, COUNTS)


def _coco(folder: Path) -> None:
    raw_coco.write(folder, 0, SIZE, COUNTS, coco_panoptic.TABLE)


LAYOUTS = {"cityscapes": _cityscapes, "ade20k": _ade20k, "coco_panoptic": _coco}
FOLDERS = {"cityscapes": cityscapes.FOLDERS, "ade20k": ade20k.KINDS}
FOLDERS["coco_panoptic"] = ("train2017", "val2017", "annotations")


def link_folders(origin: Path, raw: Path, name: str) -> None:
    raw.mkdir(parents=True)
    for folder in FOLDERS[name]:
        (raw / folder).symlink_to(origin / folder)


def link_all(origin: Path, raw: Path, name: str) -> None:
    raw.parent.mkdir(parents=True)
    raw.symlink_to(origin)


def link_files(origin: Path, raw: Path, name: str) -> None:
    shutil.copytree(origin, raw, copy_function=lambda source, target: Path(target).symlink_to(source))


def copy(origin: Path, raw: Path, name: str) -> None:
    shutil.copytree(origin, raw)


WAYS = [(way, name) for way in (link_folders, link_all, link_files) for name in LAYOUTS] + [
    (copy, "cityscapes")
]


@pytest.fixture(params=WAYS, ids=lambda case: f"{case[0].__name__} {case[1]}")
def raw(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawFiles:
    """Raw files that have been described."""
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    monkeypatch.setattr(manifest, "YOUNG", 0.0)  # with the clock of the kernel's ticks
    way, name = request.param
    LAYOUTS[name](tmp_path / "origin")
    for module, function in ((raw_files, "remove"), (raw_files, "remove_ade20k"), (raw_coco, "remove")):
        monkeypatch.setattr(
            module, function, lambda raw: None
        )  # of the scenes that are the user's files here
    way(tmp_path / "origin", tmp_path / "data/raw" / name, name)
    url = None if name == "cityscapes" else "http://127.0.0.1:9/"
    part = DataSource(source=name, size=SIZE)
    files = RawFiles(name, tmp_path / "data/raw" / name, part, Source(licence="mine", url=url, manual="here"))
    obtain(files)
    return files


def test_nothing_changed_is_known_without_reading(raw: RawFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(raw)
    settle(raw)
    monkeypatch.setattr(manifest, "reader", None)  # which would be called
    monkeypatch.setattr(manifest, "sha256", None)
    assert not renew(raw)
    assert written(raw) == before


def settle(raw: RawFiles) -> None:
    """Compare until all files are old enough to be trusted."""
    renew(raw)
    assert read_json(raw.state)["folder"] is not None


def written(raw: RawFiles) -> tuple[int, int]:
    """Return the time and the inode of the manifest: one that was written again has others."""
    state = raw.manifest.stat()
    return state.st_mtime_ns, state.st_ino


def used_file(raw: RawFiles) -> Path:
    dataset = manifest.reader(raw.name, raw.part.source, raw.source)
    return dataset.pairs(raw.folder, "train")[0].label


def test_an_edit_that_keeps_size_and_time_is_noticed(raw: RawFiles) -> None:
    settle(raw)
    before, path = read_json(raw.manifest), used_file(raw)
    state, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size and path.stat().st_mtime_ns == state.st_mtime_ns
    assert renew(raw)
    after = read_json(raw.manifest)
    assert {key for key in after if after[key] != before[key]} == {"sha256"}
    assert not renew(raw)


def test_new_times_alone_change_nothing(raw: RawFiles) -> None:
    settle(raw)
    before = written(raw)
    for path in raw.folder.rglob("*"):
        os.utime(path)
    assert not renew(raw)
    assert written(raw) == before


def test_a_missing_label_is_a_fault_until_it_is_there_again(raw: RawFiles, tmp_path: Path) -> None:
    settle(raw)
    is_link, path = used_file(raw).is_symlink(), used_file(raw).resolve()
    before = raw.manifest.read_bytes()
    path.rename(tmp_path / "label")
    if is_link:  # which leads nowhere now, as one to a disk that is not mounted
        with pytest.raises(FileNotFoundError):
            renew(raw)
        return
    assert renew(raw)
    assert path.name in read_json(raw.manifest)["fault"]
    (tmp_path / "label").rename(path)
    assert renew(raw)
    assert raw.manifest.read_bytes() == before


def test_fetched_files_and_scenes_are_not_compared(tmp_path: Path) -> None:
    folder = tmp_path / "raw/cityscapes"
    scenes = DataSource(source="synthetic", size=SIZE, train=2, val=1)
    raw = RawFiles("cityscapes", folder, scenes, Source(licence="own", seed=0))
    obtain(raw)
    used_file(raw).write_bytes(b"")
    assert not renew(raw)


def test_a_file_is_trusted_when_its_times_are_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes in one tick of the file system's clock would look alike."""
    state, path = manifest._State(), tmp_path / "file"
    path.touch()
    state.add("file", path.stat())
    assert state.digest is None
    monkeypatch.setattr(manifest, "YOUNG", -10.0)
    assert state.digest is not None


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    (tmp_path / "raw/inner").mkdir(parents=True)
    (tmp_path / "raw/inner/file").touch()
    (tmp_path / "raw/inner/up").symlink_to(tmp_path / "raw")
    (tmp_path / "raw/gone").mkdir()
    (tmp_path / "raw/gone/link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        list(manifest._files(tmp_path / "raw", linked=False))
    files = [Path(path).name for path, _, _ in manifest._files(tmp_path / "raw", linked=True)]
    assert 0 < len(files) < 10 and set(files) == {"file"}
