"""ADE20K: its classes against the published list, its layout, and what prepare makes of its many sizes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import download, prepare
from dejavu.config import DataSource, KeepAspect, Source
from dejavu.datasets import ade20k
from dejavu.datasets.prepared import store
from dejavu.datasets.scenes import raw_files
from dejavu.datasets.scenes.objects import LABELS
from dejavu.errors import DejavuError

PREPARED = Path("data/smoke/prepared/ade20k")
RAW = Path("data/smoke/raw/ade20k")
SIZE = KeepAspect(short=24, long=40)


class Asked:
    """What the two stages read of params.yaml."""

    def __init__(self, **part: Any) -> None:
        self._part = DataSource(**part)
        self.datasets = {"ade20k": Source(licence="research"), "synthetic": Source(licence="own", seed=7)}

    def data_source(self, name: str, scale: str) -> DataSource:
        return self._part


SCENES: Any = Asked(source="synthetic", size=SIZE, train=5, val=3)
REAL: Any = Asked(source="ade20k", size={"short": 64, "long": 80})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def samples(mirror: Path) -> Path:
    folder = mirror / "ade20k_samples"
    if not folder.is_dir():
        pytest.skip(f"no samples of ADE20K at {folder}")
    return folder


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of an image."""
    with Image.open(path) as image:
        return image.height, image.width


def real_layout(samples: Path, root: Path) -> Path:
    """The samples as both splits of a mirror's ade20k."""
    for folder in ade20k.FOLDERS.values():
        shutil.copytree(samples / "images", root / "ade20k" / "images" / folder)
        shutil.copytree(samples / "annotations", root / "ade20k" / "annotations" / folder)
    return root


def test_classes_are_the_first_names_of_the_published_list(samples: Path) -> None:
    lines = (samples / "objectInfo150.txt").read_text().splitlines()[1:]
    assert list(ade20k.NAMES) == [line.split("\t")[-1].split(",")[0].strip() for line in lines]


def test_labels_of_real_files_are_their_values_less_one(samples: Path) -> None:
    for path in sorted((samples / "annotations").glob("*.png")):
        with Image.open(path) as image:
            values = np.asarray(image).astype(int)
        label = ade20k.decode_label(path)
        np.testing.assert_array_equal(label, np.where(values == 0, 255, values - 1))
        names = {ade20k.NAMES[n] for n in np.unique(label[label != 255])}
        assert {"wall", "sky", "building", "floor"} & names  # what nearly every photograph shows


def test_real_images_keep_their_shape_and_measured_labels_their_size(
    here: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEJAVU_MIRROR", str(real_layout(samples, here / "mirror")))
    download.download_dataset(REAL, "ade20k", "smoke")
    assert (RAW / "images").is_symlink()
    prepare.prepare_dataset(REAL, "ade20k", "smoke")
    report = store.read_report(PREPARED, REAL.data_source("", ""))
    assert report["classes"] == list(ade20k.NAMES) and report["stands_in_for"] is None
    train, val = (store.open_split(PREPARED, split) for split in ("train", "val"))
    for number, pair in enumerate(ade20k.pairs(RAW, "val")):
        height, width = size_of(pair.image)
        short, long = sorted(val.images[number].shape[:2])
        assert short == 64 or long == 80
        assert abs(short * max(width, height) - long * min(width, height)) <= max(width, height)
        assert train.labels[number].shape == train.images[number].shape[:2] == val.images[number].shape[:2]
        np.testing.assert_array_equal(val.labels[number], ade20k.decode_label(pair.label))
        # every value of a shrunk label is one that the whole label has
        assert set(np.unique(train.labels[number])) <= set(np.unique(val.labels[number]))
    assert report["splits"]["train"]["pixel_shares"]["wall"] == pytest.approx(
        report["splits"]["val"]["pixel_shares"]["wall"], abs=0.02
    )


@pytest.mark.parametrize("which", ["images", "annotations"])
def test_a_file_without_its_partner_is_named(here: Path, which: str) -> None:
    for kind, end in (("images", "jpg"), ("annotations", "png")):
        (here / kind / "training").mkdir(parents=True)
        for name in ("a", "b"):
            if (kind, name) != (which, "b"):
                (here / kind / "training" / f"{name}.{end}").touch()
    with pytest.raises(DejavuError, match=r"training/b\.png"):
        ade20k.pairs(here, "train")


# scenes in this layout


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smoke scale's raw data, made once."""
    folder = tmp_path_factory.mktemp("rendered")
    before = os.getcwd()
    os.chdir(folder)
    try:
        download.download_dataset(SCENES, "ade20k", "smoke")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def rendered(scenes: Path) -> Path:
    return scenes / RAW


def test_scenes_have_sizes_and_orientations_of_their_own(rendered: Path) -> None:
    sizes = [size_of(pair.image) for split in ade20k.SPLITS for pair in ade20k.pairs(rendered, split)]
    assert all(24 <= min(size) <= 30 for size in sizes) and len(set(sizes)) > 5
    numbers = [
        raw_files.scene_index(split, n) for split, count in (("train", 5), ("val", 3)) for n in range(count)
    ]
    assert sizes == [raw_files.scene_size(7, number, SIZE) for number in numbers]
    many = [raw_files.scene_size(7, number, SIZE) for number in range(60)]
    assert {height < width for height, width in many if height != width} == {True, False}
    assert {min(size) for size in many} == set(range(24, 31)) and any(
        height == width for height, width in many
    )


def test_scene_labels_are_the_renderers_own_under_ade20ks_names(rendered: Path) -> None:
    pair = ade20k.pairs(rendered, "train")[2]
    scene = raw_files.render(7, 4, raw_files.scene_size(7, 4, SIZE))
    label = ade20k.decode_label(pair.label)
    for name, expected in (
        ("road", "road"),
        ("sky", "sky"),
        ("vegetation", "tree"),
        ("rider", "person"),
        ("person", "person"),
    ):
        where = scene.semantic == LABELS[name]
        assert (label[where] == ade20k.NAMES.index(expected)).all()
    np.testing.assert_array_equal(label == 255, scene.semantic == LABELS["ego vehicle"])
    with Image.open(pair.image) as stored:
        image = np.asarray(stored).astype(int)
    assert np.abs(image - scene.image).mean() < 6  # a JPEG file


def test_all_that_scenes_hold_has_a_class() -> None:
    assert set(raw_files.ADE20K_VALUES) == set(LABELS) - {"ego vehicle"}
    named = {label: ade20k.NAMES[value - 1] for label, value in raw_files.ADE20K_VALUES.items()}
    same = ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "sky", "person", "car")
    assert all(named[name] == name for name in (*same, "bus", "bicycle"))
    assert named["static"] == "ashcan" and named["terrain"] == "grass" and named["vegetation"] == "tree"
    assert named["traffic sign"] == "signboard"


def test_scenes_go_through_both_stages(scenes: Path, here: Path) -> None:
    shutil.copytree(scenes, here, dirs_exist_ok=True)
    prepare.prepare_dataset(SCENES, "ade20k", "smoke")
    contents = {path.name: path.read_bytes() for path in PREPARED.iterdir()}
    prepare.prepare_dataset(SCENES, "ade20k", "smoke")
    assert {path.name: path.read_bytes() for path in PREPARED.iterdir()} == contents
    report = store.read_report(PREPARED, SCENES.data_source("", ""))
    assert report["size"] == {"short": 24, "long": 40} and "categories" not in report
    train, val = (store.open_split(PREPARED, split) for split in ("train", "val"))
    assert all(min(image.shape[:2]) == 24 or max(image.shape[:2]) == 40 for image in train.images)
    assert [label.shape for label in train.labels] == [image.shape[:2] for image in train.images]
    raw = [size_of(pair.image) for pair in ade20k.pairs(RAW, "val")]
    assert [label.shape for label in val.labels] == raw
    other: Any = Asked(source="synthetic", size={"short": 32, "long": 64}, train=5, val=3)
    with pytest.raises(DejavuError, match="scenes .*dejavu download ade20k"):
        prepare.prepare_dataset(other, "ade20k", "smoke")


def test_scenes_of_one_size_are_allowed_and_make_way_for_real_data(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    scenes = SimpleNamespace(source="synthetic", size=(16, 32), train=1, val=1)
    for _ in range(2):  # over their like they are written
        ade20k.download(here, scenes, SimpleNamespace(seed=7))
    assert size_of(ade20k.pairs(here, "val")[0].image) == (16, 32)
    with pytest.raises(DejavuError, match=r"unpack ADEChallengeData2016\.zip into"):
        ade20k.download(here, SimpleNamespace(source="ade20k"), SimpleNamespace(url=None, sha256=None))
    assert not list(here.iterdir())
    (here / "images" / "training").mkdir(parents=True)
    (here / "images" / "training" / "ADE_train_00000001.jpg").touch()
    with pytest.raises(DejavuError, match="images was not rendered"):
        ade20k.download(here, scenes, SimpleNamespace(seed=7))
