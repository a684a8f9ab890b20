"""KITTI depth: its layout, real frames in it, and the way from there to the metrics of its protocol."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import download, prepare
from dejavu.config import DataSource, KeepAspect, Source
from dejavu.datasets import kitti
from dejavu.datasets.formats.images import read_image
from dejavu.datasets.prepared import store
from dejavu.errors import DejavuError
from dejavu.metrics.depth import DepthMetrics

DRIVE = "2011_09_26_drive_0002_sync"
RAW, PREPARED = Path("data/smoke/raw/kitti"), Path("data/smoke/prepared/kitti")


class Asked:
    """What the two stages read of params.yaml."""

    datasets = {"kitti": Source(licence="CC BY-NC-SA 3.0", manual="by hand")}

    def __init__(self, size: Any) -> None:
        self.size = size

    def data_source(self, name: str, scale: str) -> DataSource:
        return DataSource(source="kitti", size=self.size)


def add(folder: Path, number: int, image: Path, depth: Path, side: str = "l", part: str = "train") -> str:
    """Put a frame into KITTI's layout, by links; returns its line."""
    camera = kitti.CAMERAS[side]
    for origin, place in (
        (image, f"2011_09_26/{DRIVE}/{camera}/data/{number:010d}{image.suffix}"),
        (depth, f"{part}/{DRIVE}/proj_depth/groundtruth/{camera}/{number:010d}.png"),
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).symlink_to(origin)
    return f"2011_09_26/{DRIVE} {number:010d} {side}\n"


@pytest.fixture
def frames(mirror: Path) -> list[tuple[Path, Path]]:
    """Six real frames with one sweep of the scanner: image, depth."""
    depths = sorted((mirror / "kitti_depth" / "depth").glob("*.png"))
    if not depths:
        pytest.skip(f"no KITTI depth in {mirror}")
    return [(mirror / "kitti_depth" / "rgb" / f"{path.stem}.jpg", path) for path in depths]


@pytest.fixture
def laid_out(frames: list[tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror in KITTI's layout with them, two in each split; the working directory is beside it."""
    folder = tmp_path / "mirror" / "kitti"
    lines = [
        add(folder, number, *pair, side="lr"[number % 2], part=kitti.ANNOTATED[number // 3])
        for number, pair in enumerate(frames)
    ]
    for place, split in enumerate(kitti.SPLITS):
        (folder / f"{split}.txt").write_text("".join(lines[2 * place : 2 * place + 2]))
    monkeypatch.setenv("DEJAVU_MIRROR", str(folder.parent))
    monkeypatch.chdir(tmp_path)
    return folder


def test_real_depth_is_in_metres(mirror: Path, frames: list[tuple[Path, Path]]) -> None:
    """Size, share and extremes are those that the frames' source states."""
    said = json.loads((mirror / "kitti_depth" / "meta.json").read_text())
    for _, path in frames:
        depth, about = kitti.decode_depth(path), said[path.stem]
        assert depth.dtype == np.float32 and depth.shape == (about["height"], about["width"])
        known = depth[depth > 0]
        assert 100 * known.size / depth.size == pytest.approx(about["valid_pct"], abs=0.01)
        assert known.min() == pytest.approx(about["min_m"], abs=0.002)
        assert known.max() == pytest.approx(about["max_m"], abs=0.005)
        assert (kitti.decode_label(path) == 255).all() and kitti.decode_label(path).shape == depth.shape


def test_real_frames_are_prepared_and_measured_at_their_own_size(laid_out: Path, frames: list) -> None:
    asked: Any = Asked(KeepAspect(short=96, long=320))
    download.download_dataset(asked, "kitti", "smoke")
    prepare.prepare_dataset(asked, "kitti", "smoke")
    report = store.read_report(PREPARED)
    assert report["task"] == "depth" and report["targets"] == ["labels", "depth"] and report["classes"] == []
    assert report["splits"]["test"]["ignored_share"] == 1
    test = store.open_split(PREPARED, "test")
    assert test.depth is not None and test.normals is None
    assert test.names == [f"{DRIVE}/image_02/0000000004", f"{DRIVE}/image_03/0000000005"]
    metrics = DepthMetrics(1e-3, 80, "garg", median_scaling=True)
    for found, (image, path), picture in zip(test.depth, frames[4:], test.images, strict=True):
        np.testing.assert_array_equal(found, np.asarray(Image.open(path)) / 256)
        assert picture.shape[0] == 96 and read_image(image).size == found.shape[::-1]
        metrics.update(found, np.where(found > 0, 3 * found, 1))  # right up to the scale
    assert metrics.compute()["abs_rel"] == pytest.approx(0, abs=1e-6) and metrics.images == 2
    train = store.open_split(PREPARED, "train")
    assert train.depth is not None and train.depth[0].shape == train.images[0].shape[:2]


def test_real_frames_are_prepared_at_one_size(laid_out: Path) -> None:
    asked: Any = Asked((96, 320))
    download.download_dataset(asked, "kitti", "smoke")
    prepare.prepare_dataset(asked, "kitti", "smoke")
    train = store.open_split(PREPARED, "train")
    assert train.depth is not None and train.depth.shape == (2, 96, 320) == train.labels.shape
    assert 0.02 < (train.depth > 0).mean() < 0.08 and (train.labels == 255).all()


@pytest.mark.parametrize(("name", "count"), [("kitti_eigen", 697), ("kitti_eigen_benchmark", 652)])
def test_the_eigen_splits_lists_are_read(mirror: Path, name: str, count: int) -> None:
    listing = mirror / "split_lists" / name / "test_files.txt"
    if not listing.is_file():
        pytest.skip(f"no split lists in {mirror}")
    matches = [kitti._LINE.fullmatch(line.strip()) for line in listing.read_text().splitlines()]
    assert len(matches) == count and all(matches)


def some(folder: Path) -> Path:
    """One frame, written here."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / "image.png")
    Image.fromarray(np.full((4, 6), 2560, np.uint16)).save(folder / "depth.png")
    for split in kitti.SPLITS:
        (folder / f"{split}.txt").write_text(f"2011_09_26/{DRIVE} 69 l\n")
    add(folder, 69, folder / "image.png", folder / "depth.png", part="val")
    return folder


def test_numbers_without_zeros_are_the_same_frames(tmp_path: Path) -> None:
    (pair,) = kitti.pairs(some(tmp_path), "test")
    assert pair.name == f"{DRIVE}/image_02/0000000069" and pair.depth is not None
    np.testing.assert_array_equal(kitti.decode_depth(pair.depth), np.full((4, 6), 10.0))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"2011_09_26/{DRIVE} 69", "line 1: .* is not DATE/DRIVE FRAME SIDE"),
        (f"2011_09_28/{DRIVE} 69 l", "is not DATE/DRIVE FRAME SIDE"),
        (f"../2011_09_26/{DRIVE} 69 l", "is not DATE/DRIVE FRAME SIDE"),
        (f"2011_09_26/{DRIVE} 70 l", r"0000000070.png \(or .jpg\) is missing, though test.txt lists it"),
        ("", "is empty"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused(tmp_path: Path, line: str, says: str) -> None:
    (some(tmp_path) / "test.txt").write_text(line)
    with pytest.raises(DejavuError, match=says) as error:
        kitti.pairs(tmp_path, "test")
    assert "\n" not in str(error.value)


def test_an_image_without_depth_is_refused(tmp_path: Path) -> None:
    (pair,) = kitti.pairs(some(tmp_path), "test")
    assert pair.depth is not None
    pair.depth.unlink()
    with pytest.raises(DejavuError, match=r"train/.*0000000069.png is missing.* and neither is it in val/"):
        kitti.pairs(tmp_path, "test")


@pytest.mark.parametrize(
    ("values", "says"),
    [(np.full((4, 6), 9, np.uint8), "8-bit"), (np.zeros((4, 6), np.uint16), "no depth at all")],
    ids=["8 bits", "empty"],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, values: np.ndarray, says: str) -> None:
    Image.fromarray(values).save(tmp_path / "depth.png")
    with pytest.raises(DejavuError, match=says):
        kitti.decode_depth(tmp_path / "depth.png")


def test_without_a_mirror_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    part, source = SimpleNamespace(source="kitti"), SimpleNamespace(manual="by hand")
    with pytest.raises(DejavuError, match=r"DEJAVU_MIRROR.*kitti.*\(by hand\)"):
        kitti.download(tmp_path, part, source)
    found = kitti.download(some(tmp_path), part, source)
    assert found[0].startswith("2011_09_26/") and {"train.txt", "val.txt", "test.txt"} < set(found)
    with pytest.raises(DejavuError, match="no synthetic scenes"):
        kitti.download(tmp_path, SimpleNamespace(source="synthetic"), source)
