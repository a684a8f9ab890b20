"""NYU Depth v2: its layout, what prepare makes of it, and normals from depth against independent truth."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import download, prepare
from dejavu.config import DataSource, Source
from dejavu.datasets import nyudv2
from dejavu.datasets.formats.normals import Camera, from_depth
from dejavu.datasets.nyudv2_forms import codes as nyudv2_codes
from dejavu.datasets.nyudv2_forms import png
from dejavu.datasets.prepared import store
from dejavu.errors import DejavuError
from dejavu.system.files import sha256

CAMERA = Camera(130.0, 131.0, 81.0, 62.5)
SHAPE = (120, 160)


class Asked:
    """What the two stages read of params.yaml."""

    def __init__(self, part: DataSource, seed: int = 7) -> None:
        self._part = part
        own = Source(licence="own", seed=seed)
        self.datasets = {"nyudv2": Source(licence="research only"), "synthetic": own}

    def data_source(self, name: str, scale: str) -> DataSource:
        return self._part


SCENES: Any = Asked(DataSource(source="synthetic", size=(48, 64), train=3, val=2))
PREPARED = Path("data/smoke/prepared/nyudv2")
RAW = Path("data/smoke/raw/nyudv2")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smoke scale's raw data, made once."""
    folder = tmp_path_factory.mktemp("rendered")
    before = os.getcwd()
    os.chdir(folder)
    try:
        download.download_dataset(SCENES, "nyudv2", "smoke")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def rendered(scenes: Path, here: Path) -> Path:
    shutil.copytree(scenes, here, dirs_exist_ok=True)
    return here


# normals from depth


def angles(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors (..., 3)."""
    return np.degrees(np.arccos(np.clip((found * true).sum(axis=-1), -1, 1)))


def plane(normal: tuple[float, float, float], distance: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) of the plane `normal . point = -distance`, and its unit normal."""
    unit = np.array(normal) / np.linalg.norm(normal)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones(SHAPE)], axis=-1)
    return -distance / (rays @ unit), unit


PLANES = [(0.0, 0.0, -1.0), (0.4, 0.0, -1.0), (0.0, -0.8, -1.0), (-0.3, 0.5, -1.0)]


@pytest.mark.parametrize("normal", PLANES)
def test_the_normal_of_a_plane_is_found_exactly_and_faces_the_camera(
    normal: tuple[float, float, float],
) -> None:
    depth, unit = plane(normal)
    found = from_depth(depth.astype(np.float32), CAMERA)
    assert found.shape == (*SHAPE, 3) and found.dtype == np.float32
    assert angles(found, unit).max() < 0.1


@pytest.mark.parametrize("normal", PLANES)
def test_the_normal_of_a_plane_that_is_known_in_coarse_steps_is_found(
    normal: tuple[float, float, float],
) -> None:
    """Steps of 4 cm, as NYUD-v2's."""
    step = 0.04
    depth, unit = plane(normal)
    codes = (np.floor(depth / step) + 0.5) * step
    error = angles(from_depth(codes, CAMERA, step), unit)
    naive = angles(from_depth(codes, CAMERA), unit)
    assert error.mean() < 1
    assert error.mean() <= 0.5 * naive.mean()


def test_what_has_no_depth_has_no_normal_and_does_not_change_its_neighbours() -> None:
    depth, unit = plane((0.3, -0.4, -1.0))
    hole = np.zeros(SHAPE, bool)
    hole[30:70, 40:90] = True
    hole[0, :5] = True
    found = from_depth(np.where(hole, 0, depth), CAMERA)
    assert (found[hole] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found[~hole], axis=-1), 1, atol=1e-5)
    assert angles(found[~hole], unit).max() < 0.1
    assert (from_depth(np.zeros(SHAPE), CAMERA) == 0).all()


def test_two_surfaces_at_a_depth_edge_keep_their_normals() -> None:
    """A board in front of a slanted wall: neither bends towards the other."""
    step = 0.04
    wall, of_wall = plane((0.5, 0.0, -1.0), 4.0)
    board, of_board = plane((-0.4, 0.2, -1.0), 1.5)
    front = np.zeros(SHAPE, bool)
    front[:, 80:] = True
    depth = (np.floor(np.where(front, board, wall) / step) + 0.5) * step
    found = from_depth(depth, CAMERA, step)
    assert angles(found[:, :70], of_wall).mean() < 5 and angles(found[:, 90:], of_board).mean() < 3


def test_normals_are_close_to_the_official_map(mirror: Path) -> None:
    """Ladicky's map of frame 3 (B, G, R = x, y, z), of which ours takes every other pixel."""
    stored = np.asarray(Image.open(mirror / "nyudv2/normals_check/00003_ladicky_640x480_BGR.png"))
    official = stored[1::2, 1::2, ::-1] / 127.5 - 1
    official /= np.linalg.norm(official, axis=-1, keepdims=True)
    pair = nyudv2.pairs(mirror / "nyudv2", "train")[0]
    assert pair.name == "00003" and pair.depth is not None and pair.normals is None
    error = angles(nyudv2.decode_normals(pair, nyudv2.decode_depth(pair.depth)), official)
    assert error.mean() < 10.5 and np.median(error) < 5.5 and (error < 11.25).mean() > 0.74


# the real set


def test_the_splits_are_the_official_ones(mirror: Path) -> None:
    names = {split: [pair.name for pair in nyudv2.pairs(mirror / "nyudv2", split)] for split in nyudv2.SPLITS}
    assert {split: len(found) for split, found in names.items()} == {"train": 795, "test": 654}
    assert sorted(names["train"] + names["test"]) == [f"{n:05d}" for n in range(1, 1450)]


def test_names_and_table_of_classes_are_those_of_the_mirror(mirror: Path) -> None:
    said = json.loads((mirror / "nyudv2" / "meta.json").read_text())
    assert list(nyudv2.CLASSES.names) == said["classes13"] and list(nyudv2_codes.TO_13) == said["map40to13"]
    assert list(nyudv2_codes.VOID) == said["void"] and list(png.SIZE) == said["size_hw"]
    assert png.CAMERA._asdict() == said["intrinsics_320x240"]


def test_pixel_shares_and_depths_are_the_published_ones(mirror: Path) -> None:
    raw = mirror / "nyudv2"
    meta = json.loads((raw / "meta.json").read_text())
    pairs = nyudv2.pairs(raw, "test")
    counts = [np.bincount(nyudv2.decode_label(pair.label).ravel(), minlength=256) for pair in pairs]
    count = np.sum(counts, axis=0)
    expected = np.zeros(256)
    for value, share in meta["pixel_percent"]["test"].items():
        expected[255 if int(value) in meta["void"] else meta["map40to13"][int(value)]] += share
    np.testing.assert_allclose(100 * count / count.sum(), expected, atol=0.01)
    depths = np.stack([nyudv2.decode_depth(pair.depth) for pair in pairs[::40] if pair.depth])
    assert depths.min() >= 0.7133 - nyudv2_codes.STEP and depths.max() <= 9.99547
    assert 2.3 < depths.mean() < 3.3


def test_floors_point_up_ceilings_down_and_all_towards_the_camera(mirror: Path) -> None:
    floor, ceiling = nyudv2.CLASSES.names.index("floor"), nyudv2.CLASSES.names.index("ceiling")
    seen: dict[int, list[np.ndarray]] = {floor: [], ceiling: []}
    y, x = np.mgrid[: png.SIZE[0], : png.SIZE[1]]
    camera = png.CAMERA
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(x.shape)], axis=-1)
    for pair in nyudv2.pairs(mirror / "nyudv2", "train")[::160]:
        assert pair.depth is not None
        normals, labels = (
            nyudv2.decode_normals(pair, nyudv2.decode_depth(pair.depth)),
            nyudv2.decode_label(pair.label),
        )
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
        assert ((normals * rays).sum(axis=-1) < 0).mean() > 0.98  # smoothing turns some at silhouettes
        for label, found in seen.items():
            found.append(normals[labels == label])
    assert (
        np.concatenate(seen[floor])[:, 1].mean() < -0.6 and np.concatenate(seen[ceiling])[:, 1].mean() > 0.2
    )


def some_of(full: Path, folder: Path, count: int) -> Path:
    """A mirror with the first pairs of each split; files are links."""
    sums = []
    for split in nyudv2.SPLITS:
        names = (full / f"{split}.txt").read_text().split()[:count]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
        kinds = (("rgb", "jpg"), ("label40", "png"), ("depth", "png"))
        files = [f"{split}/{kind}/{name}.{end}" for name in names for kind, end in kinds]
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).symlink_to(full / file)
        sums += [f"{sha256(folder / file)}  ./{file}\n" for file in [f"{split}.txt", *files]]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def test_a_mirror_is_copied_and_prepared_and_scenes_make_way(
    rendered: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = some_of(mirror / "nyudv2", rendered / "mirror" / "nyudv2", 2)
    monkeypatch.setenv("DEJAVU_MIRROR", str(some.parent))
    asked: Any = Asked(DataSource(source="nyudv2", size=(60, 80)))
    download.download_dataset(asked, "nyudv2", "smoke")
    assert not list(RAW.rglob("rendered*")) and not list(RAW.rglob("normals"))
    prepare.prepare_dataset(asked, "nyudv2", "smoke")
    report = store.read_report(PREPARED)
    assert report["classes"] == list(nyudv2.CLASSES.names) and report["stands_in_for"] is None
    assert report["splits"]["test"]["normals"]["from"] == "depth"
    test, pair = store.open_split(PREPARED, "test"), nyudv2.pairs(RAW, "test")[1]
    assert test.depth is not None and test.normals is not None and pair.depth is not None
    assert test.depth.shape == (2, 60, 80) and test.normals.shape == (2, 60, 80, 3)
    # one raw pixel gives label, depth and normal of a prepared one
    depth = nyudv2.decode_depth(pair.depth)
    normals = nyudv2.decode_normals(pair, depth)
    at = (slice(2, None, 4), slice(2, None, 4))
    np.testing.assert_array_equal(test.depth[1], depth[at])
    np.testing.assert_array_equal(test.normals[1], normals[at].astype(np.float16))
    np.testing.assert_array_equal(test.labels[1], nyudv2.decode_label(pair.label)[at])
    with pytest.raises(DejavuError, match="was not rendered"):
        download.download_dataset(SCENES, "nyudv2", "smoke")


def test_a_mirror_whose_file_differs_is_refused(
    here: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = some_of(mirror / "nyudv2", here / "mirror" / "nyudv2", 1)
    depth = next((some / "test" / "depth").iterdir())
    data = depth.read_bytes()
    depth.unlink()
    depth.write_bytes(data + b"0")
    monkeypatch.setenv("DEJAVU_MIRROR", str(some.parent))
    with pytest.raises(DejavuError, match=rf"depth/{depth.name} has sha256"):
        nyudv2.download(RAW, SimpleNamespace(source="nyudv2"), SimpleNamespace(manual=None))


def test_without_a_mirror_it_is_asked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    with pytest.raises(DejavuError, match="DEJAVU_MIRROR.*by hand"):
        nyudv2.download(RAW, SimpleNamespace(source="nyudv2"), SimpleNamespace(manual="by hand"))


# what prepare makes of scenes in this layout


def test_scenes_are_prepared_with_depth_and_normals(rendered: Path) -> None:
    prepare.prepare_dataset(SCENES, "nyudv2", "smoke")
    report = store.read_report(PREPARED, SCENES.data_source("nyudv2", "smoke"))
    assert report["targets"] == ["labels", "depth", "normals"] and report["classes"][0] == "road"
    assert store.validation_split(report) == report["evaluate"] == "test"
    for split, count in (("train", 3), ("test", 2)):
        opened, said = store.open_split(PREPARED, split), report["splits"][split]
        assert opened.depth is not None and opened.normals is not None
        assert (opened.depth.dtype, opened.depth.shape) == (np.float32, (count, 48, 64))
        assert (opened.normals.dtype, opened.normals.shape) == (np.float16, (count, 48, 64, 3))
        for n, pair in enumerate(nyudv2.pairs(RAW, split)):
            assert pair.depth is not None
            depth = nyudv2.decode_depth(pair.depth)
            np.testing.assert_array_equal(opened.depth[n], depth)
            np.testing.assert_allclose(opened.normals[n], nyudv2.decode_normals(pair, depth), atol=5e-4)
        for kind in ("depth", "normals"):
            assert said[kind]["sha256"] == sha256(PREPARED / f"{split}_{kind}.npy")
        assert said["depth"]["known_share"] == pytest.approx((opened.depth > 0).mean(), abs=1e-6)
        assert said["normals"]["known_share"] == pytest.approx(opened.normals.any(-1).mean(), abs=1e-6)
        known = opened.depth[opened.depth > 0]
        assert said["depth"]["metres"]["min"] == pytest.approx(known.min(), abs=1e-4)
        assert said["depth"]["metres"]["max"] == pytest.approx(known.max(), abs=1e-4)
        assert said["normals"]["from"] == "files"


def test_downloads_and_preparations_can_be_repeated_to_the_byte(rendered: Path) -> None:
    contents = []
    for _ in range(2):
        download.download_dataset(SCENES, "nyudv2", "smoke")
        prepare.prepare_dataset(SCENES, "nyudv2", "smoke")
        contents.append({p: p.read_bytes() for p in Path("data").rglob("*") if p.is_file()})
    assert contents[0] == contents[1]
    assert {p.name for p in PREPARED.iterdir()} == {
        "report.json",
        *(
            f"{split}{end}"
            for split in nyudv2.SPLITS
            for end in (".txt", *(f"_{k}.npy" for k in ("images", *nyudv2.DATASET.targets)))
        ),
    }


def damage(how: str) -> str:
    """Spoil the second test scene; returns the name that the error must give."""
    pair = nyudv2.pairs(RAW, "test")[1]
    assert pair.depth is not None and pair.normals is not None
    kind, _, fault = how.partition(" ")
    path = {"depth": pair.depth, "normals": pair.normals, "label": pair.label}[kind]
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif fault == "missing":
        path.unlink()
    elif fault == "of another size":
        Image.fromarray(np.full((48, 63), 7, np.uint8)).convert("RGB" if kind == "normals" else "L").save(
            path
        )
    elif fault == "in colour":
        Image.fromarray(np.full((48, 64, 3), 7, np.uint8)).save(path)
    elif fault == "in 16 bits":
        Image.fromarray(np.full((48, 64), 700, np.uint16)).save(path)
    elif fault == "without a value":
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
    elif fault == "of short vectors":
        Image.fromarray(np.full((48, 64, 3), 150, np.uint8)).save(path)
    elif fault == "outside the list":
        Image.fromarray(np.full((48, 64), 40, np.uint8)).save(path)
    return path.relative_to(RAW).as_posix()


FAULTS = [
    "depth truncated", "depth missing", "depth of another size", "depth in colour", "depth in 16 bits",
    "depth without a value", "normals truncated", "normals missing", "normals of short vectors",
    "label missing", "label outside the list",
]  # fmt: skip


@pytest.mark.parametrize("how", FAULTS)
def test_a_damaged_file_stops_with_its_name_and_leaves_nothing(rendered: Path, how: str) -> None:
    name = damage(how)
    with pytest.raises(DejavuError, match=name) as error:
        prepare.prepare_dataset(SCENES, "nyudv2", "smoke")
    assert "\n" not in str(error.value)
    assert not PREPARED.exists() and not list(PREPARED.parent.glob(".*partial*"))


def test_normals_of_another_size_are_not_derived(rendered: Path) -> None:
    for path in (RAW / "test" / "normals").iterdir():
        path.unlink()
    with pytest.raises(DejavuError, match="is 64x48 pixels: normals are derived at 320x240 only"):
        prepare.prepare_dataset(SCENES, "nyudv2", "smoke")


@pytest.mark.parametrize("gone", ["depth", "normals"])
def test_a_report_that_lacks_a_target_is_refused(rendered: Path, gone: str) -> None:
    prepare.prepare_dataset(SCENES, "nyudv2", "smoke")
    report = json.loads((PREPARED / "report.json").read_text())
    del report["splits"]["test"][gone]
    (PREPARED / "report.json").write_text(json.dumps(report))
    with pytest.raises(DejavuError, match=r"report\.json is not a report"):
        store.read_report(PREPARED)


@pytest.mark.parametrize("kind", ["depth", "normals"])
def test_the_store_refuses_another_array_of_a_target(rendered: Path, kind: str) -> None:
    prepare.prepare_dataset(SCENES, "nyudv2", "smoke")
    np.save(PREPARED / f"test_{kind}.npy", np.zeros((2, 48, 64, 2), np.float32))
    with pytest.raises(DejavuError, match=rf"test_{kind}.npy is float32 \[2, 48, 64, 2\]"):
        store.open_split(PREPARED, "test")
    (PREPARED / f"test_{kind}.npy").unlink()
    with pytest.raises(DejavuError, match=rf"test_{kind}.npy is missing"):
        store.open_split(PREPARED, "test")
