"""NYU Depth v2's official file and MTAN's release: small copies made here, and what becomes of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from dejavu.commands import download, prepare
from dejavu.config import DataSource, Source
from dejavu.datasets import nyudv2
from dejavu.datasets.formats.normals import Camera, from_depth
from dejavu.datasets.nyudv2_forms import classes, mtan, official
from dejavu.datasets.prepared import store
from dejavu.errors import DejavuError

RAW, PREPARED = Path("data/smoke/raw/nyudv2"), Path("data/smoke/prepared/nyudv2")
SMALL = (72, 96)  # of MTAN's arrays here
SIGNS = np.array([1, -1, -1])


class Asked:
    """What the two stages read of params.yaml: two frames of each split."""

    datasets = {"nyudv2": Source(licence="research only", manual="by hand")}

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def data_source(self, name: str, scale: str) -> DataSource:
        return DataSource(source="nyudv2", size=self.size, train=2, val=2)


def angles(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((found * true).sum(axis=-1), -1, 1)))


def room(camera: Camera, size: tuple[int, int], turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and unit normals of the inside of a box, whose faces point at the camera."""
    y, x = np.mgrid[: size[0], : size[1]]
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones(size)], axis=-1)
    yaw = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    faces = [((0, 0, -1), 3.0), ((1, 0, 0), 1.2), ((-1, 0, 0), 1.4), ((0, -1, 0), 1.1), ((0, 1, 0), 1.3)]
    units = np.array([yaw @ np.array(face) for face, _ in faces])
    facing = -(rays @ units.T)  # of a plane normal . point = -distance
    depths = np.where(facing > 1e-9, np.array([d for _, d in faces]) / np.maximum(facing, 1e-9), np.inf)
    return depths.min(axis=-1), units[depths.argmin(axis=-1)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    RAW.mkdir(parents=True)
    return tmp_path


# the official file


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of its 1449 frames, of which the first two of each split hold something."""
    path = tmp_path_factory.mktemp("official") / official.FILE
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for key, shape, dtype in (
            ("images", (1449, 3, 640, 480), "u1"),
            ("depths", (1449, 640, 480), "f4"),
            ("labels", (1449, 640, 480), "u2"),
        ):
            file.create_dataset(
                key, shape, dtype, chunks=(1, *shape[1:]), compression="gzip", compression_opts=1
            )
        for number in (1, 2, 3, 4):
            depth, _ = room(official.CAMERA, official.SIZE, 0.1 * number)
            file["depths"][number - 1] = depth.T
            coarse = rng.integers(0, 895, (16, 12)).astype("u2")
            file["labels"][number - 1] = np.kron(coarse, np.ones((40, 40), "u2"))
            file["images"][number - 1] = np.kron(rng.integers(0, 256, (3, 16, 12)), np.ones((40, 40))).astype(
                "u1"
            )
    return path


def stored(path: Path, key: str, number: int) -> np.ndarray:
    """A frame (H, W, ...) by MATLAB's order of axes, read the long way round."""
    with h5py.File(path) as file:
        whole = file[key][number - 1]
    return np.array([[whole[..., x, y] for x in range(640)] for y in range(480)])


def test_the_official_file_becomes_what_the_others_do(
    here: Path, labeled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mirror" / "nyudv2").mkdir(parents=True)
    shutil.copy(labeled, here / "mirror" / "nyudv2")
    monkeypatch.setenv("DEJAVU_MIRROR", str(here / "mirror"))
    asked: Any = Asked(official.SIZE)
    download.download_dataset(asked, "nyudv2", "smoke")
    assert (RAW / official.FILE).is_symlink()
    prepare.prepare_dataset(asked, "nyudv2", "smoke")
    report = store.read_report(PREPARED)
    assert (
        report["classes"] == list(nyudv2.CLASSES.names)
        and report["splits"]["train"]["normals"]["from"] == "depth"
    )
    train, test = (store.open_split(PREPARED, split) for split in ("train", "test"))
    assert train.names == ["00003", "00004"] and test.names == ["00001", "00002"]
    assert train.depth is not None and train.normals is not None and test.depth is not None
    np.testing.assert_array_equal(train.images[0], stored(labeled, "images", 3))
    np.testing.assert_array_equal(test.depth[1], stored(labeled, "depths", 2))
    np.testing.assert_array_equal(train.labels[1], classes.to_13()[stored(labeled, "labels", 4)])
    _, true = room(official.CAMERA, official.SIZE, 0.3)
    error = angles(train.normals[0].astype(float), true)
    assert error.mean() < 2.5 and np.median(error) < 0.5  # corners are smoothed


def test_each_frame_is_of_one_split_and_the_lists_are_the_official_ones(mirror: Path) -> None:
    """And the training frames' checksum is that of `trainNdxs` in splits.mat."""
    train = np.array(classes.frames("train"), "<u2")
    published = "3e06f93e72a123ac410290a2cd39492ab1db8f922e19871ef292ba6f5048c30e"
    assert hashlib.sha256(train.tobytes()).hexdigest() == published
    for split in nyudv2.SPLITS:
        names = [f"{number:05d}" for number in classes.frames(split)]
        assert names == (mirror / "nyudv2" / f"{split}.txt").read_text().split()


def test_labels_become_the_published_40_classes() -> None:
    """The checksum of `mapClass` in classMapping40.mat, and what the official file calls some labels."""
    table = classes.to_40()
    published = hashlib.sha256((table[1:] + 1).tobytes()).hexdigest()
    assert published == "9c75cdc1ff39748751966fe8d8493b1d2ca3acda9ec861b2f70f52221d65a7bd" and table[0] == 255
    named = {21: "wall", 11: "floor", 157: "bed", 5: "chair", 83: "sofa", 19: "table", 59: "window"}
    named |= {4: "ceiling", 64: "picture", 172: "tv", 85: "books", 1: "objects", 3: "furniture"}
    for label, name in named.items():
        assert nyudv2.CLASSES.names[classes.to_13()[label]] == name


@pytest.mark.parametrize("turn", [0.2, 0.4])
def test_normals_are_found_between_the_sensors_steps(turn: float) -> None:
    """Whole steps of disparity, as the authors' calibration has them; those of the steps are far off."""
    depth, true = room(official.CAMERA, official.SIZE, turn)
    coarse = (351.3 / np.rint(351.3 / depth)).astype(np.float32)
    pair: Any = None
    found = angles(official.decode_normals(pair, coarse), true)
    naive = angles(from_depth(coarse, official.CAMERA, finer=2), true)
    assert found.mean() < 2.5 < 0.5 * naive.mean() and np.median(found) < 1


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def replaced(key: str, shape: tuple[int, ...], dtype: str) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[key]
        file.create_dataset(key, shape, dtype)

    return change


def spoiled(key: str, value: float) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        file[key][0] = value

    return change


BAD_FILES = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is no whole MATLAB 7.3 file"),
    "text": (lambda path: path.write_text("<html>"), "is no whole MATLAB 7.3 file"),
    "no key": (lambda path: rewrite(path, lambda file: file.pop("depths")), "has no array 'depths'"),
    "shape": (
        lambda path: rewrite(path, replaced("images", (1449, 3, 480, 640), "u1")),
        r"'images' of uint8 \[1449, 3, 480, 640\], and in the official file it is uint8 \[1449, 3, 640",
    ),
    "type": (lambda path: rewrite(path, replaced("labels", (1449, 640, 480), "i4")), "'labels' of int32"),
    "label": (lambda path: rewrite(path, spoiled("labels", 895)), "labels/00001 has label value 895"),
    "not finite": (
        lambda path: rewrite(path, spoiled("depths", np.nan)),
        "depths/00001 holds depths that are no",
    ),
    "negative": (lambda path: rewrite(path, spoiled("depths", -1)), "depths/00001 holds depths that are no"),
    "no depth": (lambda path: rewrite(path, spoiled("depths", 0)), "depths/00001 has no depth at all"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_damaged_official_file_is_refused_in_one_sentence(here: Path, labeled: Path, fault: str) -> None:
    damage, says = BAD_FILES[fault]
    damage(Path(shutil.copy(labeled, RAW)))
    with pytest.raises(DejavuError, match=says) as error:
        pair = nyudv2.pairs(RAW, "test")[0]
        nyudv2.decode_label(pair.label)
        assert pair.depth is not None
        nyudv2.decode_depth(pair.depth)
    assert "\n" not in str(error.value) and official.FILE in str(error.value)


# MTAN's release


def frame(number: int) -> dict[str, np.ndarray]:
    """One frame as MTAN stores it, but for the order of the normals' axes, which is ours."""
    rng = np.random.default_rng(number)
    depth, normals = room(mtan._camera(*SMALL), SMALL, 0.15 * number)
    hole = rng.random(SMALL) < 0.1
    return {
        "image": rng.random((*SMALL, 3)).astype(np.float32),
        "label": rng.integers(-1, 13, SMALL).astype(np.float64),
        "depth": np.where(hole, 0, depth)[..., None].astype(np.float32),
        "normal": np.where(hole[..., None], 0, normals).astype(np.float32),
    }


def release(folder: Path, order: tuple[int, ...] = (0, 1, 2), signs: tuple[int, ...] = (1, 1, 1)) -> Path:
    """The whole release: three frames, which all others are links to. Channel c is axis order[c]."""
    for split, name in mtan.FOLDERS.items():
        for number in range(mtan.COUNTS[split]):
            arrays = frame(number) if number < 3 else {}
            for kind in mtan.KINDS:
                path = folder / name / kind / f"{number}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                if number >= 3:
                    path.symlink_to(f"{number % 3}.npy")
                elif kind == "normal":
                    np.save(path, arrays[kind][..., order] * np.array(signs, np.float32))
                else:
                    np.save(path, arrays[kind])
    return folder


@pytest.mark.parametrize(
    ("order", "signs"),
    [((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (1, -1, -1)), ((0, 2, 1), (1, 1, -1)), ((2, 1, 0), (-1, 1, 1))],
    ids=["ours", "y up", "z second", "blue red"],
)
def test_the_axes_of_the_normals_are_found(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    for split in nyudv2.SPLITS:
        pair = nyudv2.pairs(release(tmp_path, order, signs) if split == "train" else tmp_path, split)[1]
        assert pair.depth is not None
        found = nyudv2.decode_normals(pair, nyudv2.decode_depth(pair.depth))
        np.testing.assert_allclose(found, frame(1)["normal"], atol=1e-6)


def test_mtans_release_becomes_what_the_others_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(here / "mirror" / "nyudv2", signs=(1, -1, -1))
    monkeypatch.setenv("DEJAVU_MIRROR", str(here / "mirror"))
    asked: Any = Asked(SMALL)
    download.download_dataset(asked, "nyudv2", "smoke")
    assert (RAW / "train").is_symlink() and (RAW / "val").is_symlink()
    prepare.prepare_dataset(asked, "nyudv2", "smoke")
    report = store.read_report(PREPARED)
    assert report["splits"]["train"]["normals"]["from"] == "files"
    for split in nyudv2.SPLITS:
        opened = store.open_split(PREPARED, split)
        assert opened.names == ["0000", "0001"]
        assert opened.depth is not None and opened.normals is not None
        for number in range(2):
            expected = frame(number)
            assert np.abs(opened.images[number] / 255 - expected["image"]).max() <= 1 / 510 + 1e-7
            label = expected["label"]
            np.testing.assert_array_equal(opened.labels[number], np.where(label < 0, 255, label))
            np.testing.assert_array_equal(opened.depth[number], expected["depth"][..., 0])
            np.testing.assert_allclose(opened.normals[number], expected["normal"], atol=5e-4)
    download.download_dataset(asked, "nyudv2", "smoke")  # again: the links stay


def test_mtans_images_of_8_bits_are_kept(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    for name, array in (("bytes", values.astype(np.uint8)), ("floats", values / 255)):
        np.save(tmp_path / f"{name}.npy", array)
        pair: Any = SimpleNamespace(image=tmp_path / f"{name}.npy")
        np.testing.assert_array_equal(np.asarray(nyudv2.decode_image(pair.image)), values)


BAD_ARRAYS = {
    "truncated": ("depth", None, "is not a whole array"),
    "objects": ("label", np.array([{}] * 4, object), "is not a whole array .*allow_pickle"),
    "shape": (
        "image",
        np.zeros((3, *SMALL)),
        r"is float64 \[3, 72, 96\], and numbers \(H, W, 3\) are needed",
    ),
    "flat": ("depth", np.zeros(7), r"and numbers \(H, W\) are needed"),
    "text": ("label", np.full(SMALL, "bed"), "and numbers"),
    "range": ("image", np.full((*SMALL, 3), 200.0), r"values from 200 to 200, and an image is in \[0, 1\]"),
    "nan": ("image", np.full((*SMALL, 3), np.nan), r"an image is in \[0, 1\]"),
    "class": ("label", np.full(SMALL, 13), "has label value 13, and labels are -1..12"),
    "half": ("label", np.full(SMALL, 0.5), "has label value 0.5"),
    "negative": ("depth", np.full(SMALL, -1.0), "holds depths that are no metres"),
    "no number": ("normal", np.full((*SMALL, 3), np.inf), "holds vectors that are no numbers"),
}


@pytest.mark.parametrize("fault", BAD_ARRAYS)
def test_a_damaged_array_is_refused_in_one_sentence(tmp_path: Path, fault: str) -> None:
    kind, array, says = BAD_ARRAYS[fault]
    path = tmp_path / f"{kind}.npy"
    np.save(path, np.zeros(SMALL) if array is None else array, allow_pickle=True)
    if array is None:
        path.write_bytes(path.read_bytes()[:-1])
    read = {
        "image": nyudv2.decode_image,
        "label": nyudv2.decode_label,
        "depth": nyudv2.decode_depth,
        "normal": mtan._stored_normals,
    }[kind]
    with pytest.raises(DejavuError, match=says) as error:
        read(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_normals_that_do_not_fit_the_depth_are_refused(tmp_path: Path) -> None:
    release(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(3):
        np.save(tmp_path / "train" / "normal" / f"{number}.npy", rng.standard_normal((*SMALL, 3)))
    with pytest.raises(DejavuError, match=r"normal does not fit the depth beside it: .* mean cosine is 0\.0"):
        nyudv2.pairs(tmp_path, "train")


def test_a_release_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    (release(tmp_path) / "val" / "depth" / "653.npy").unlink()
    assert len(nyudv2.pairs(tmp_path, "train")) == 795
    with pytest.raises(DejavuError, match=r"val/depth/653.npy is missing: MTAN's release has 654"):
        nyudv2.pairs(tmp_path, "test")


# which form there is


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_several_forms_and_none_are_refused(here: Path) -> None:
    asked: Any = SimpleNamespace(source="nyudv2")
    source: Any = SimpleNamespace(manual="by hand")
    with pytest.raises(DejavuError, match=r"set DEJAVU_MIRROR .* or put it into .*nyudv2 \(by hand\)"):
        nyudv2.download(RAW, asked, source)
    with pytest.raises(
        DejavuError, match="in no form that is read, which are: the official .*; MTAN's .*; PNG"
    ):
        nyudv2.pairs(RAW, "train")
    touch(RAW, official.FILE, "train.txt")
    with pytest.raises(DejavuError, match="in several forms, the official .* and PNG files"):
        nyudv2.download(RAW, asked, source)


def test_a_mirror_of_another_form_than_the_folder_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(here / "mirror" / "nyudv2", official.FILE)
    touch(RAW, "train/image/0.npy")
    monkeypatch.setenv("DEJAVU_MIRROR", str(here / "mirror"))
    with pytest.raises(DejavuError, match=r"has MTAN's release.* has the official .*: remove one of them"):
        nyudv2.download(RAW, SimpleNamespace(source="nyudv2"), SimpleNamespace(manual=None))
    assert not (RAW / official.FILE).exists()


def test_what_was_put_there_by_hand_is_used(here: Path, labeled: Path) -> None:
    shutil.copy(labeled, RAW)
    asked: Any = Asked(official.SIZE)
    assert nyudv2.download(RAW, asked.data_source("nyudv2", "smoke"), asked.datasets["nyudv2"]) == [
        official.FILE
    ]
