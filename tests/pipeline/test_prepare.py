"""The compact form: what prepare writes, what it refuses, and what the store opens."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import copy_params
from PIL import Image

from dejavu.commands import download, prepare
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.datasets import Pair, camvid, cityscapes
from dejavu.datasets.prepared import convert, store
from dejavu.errors import DejavuError
from dejavu.system.files import sha256

PREPARED = Path("data/smoke/prepared/cityscapes")
RAW = Path("data/smoke/raw/cityscapes")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Smoke scale's raw data, made once."""
    folder = tmp_path_factory.mktemp("rendered")
    copy_params(folder)
    before = os.getcwd()
    os.chdir(folder)
    try:
        download.download_dataset(loading.load("params.yaml"), "cityscapes", "smoke")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(rendered, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run() -> None:
    prepare.prepare_dataset(loading.load("params.yaml"), "cityscapes", "smoke")


def test_arrays_hold_what_the_files_hold(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    for split, count in (("train", 8), ("val", 4)):
        opened = store.open_split(PREPARED, split)
        pairs = cityscapes.pairs(RAW, split)
        assert opened.names == [pair.name for pair in pairs] and len(opened.names) == count
        for pair, image, label in zip(pairs, opened.images, opened.labels, strict=True):
            np.testing.assert_array_equal(image, np.asarray(Image.open(pair.image)))
            np.testing.assert_array_equal(label, cityscapes.decode_label(pair.label))
        assert isinstance(opened.images, np.memmap) and not opened.images.flags.writeable
    assert capsys.readouterr().out.count("\n") == 1


def test_the_report_says_what_was_written(here: Path) -> None:
    run()
    report = store.read_report(PREPARED)
    said = {
        key: report[key] for key in ("dataset", "source", "stands_in_for", "task", "evaluate", "unreadable")
    }
    assert said == {
        "dataset": "cityscapes", "source": "synthetic", "stands_in_for": "cityscapes", "task": "semantic",
        "evaluate": "val", "unreadable": [],
    }  # fmt: skip
    assert report["size"] == [64, 128] and report["ignore_index"] == 255
    assert report["classes"] == list(cityscapes.CLASSES.names) and len(report["palette"]) == 19
    assert report["categories"] == list(cityscapes.CLASSES.categories or ())
    labels = np.load(PREPARED / "train_labels.npy")
    train = report["splits"]["train"]
    for number, name in enumerate(report["classes"]):
        assert train["pixel_shares"][name] == pytest.approx((labels == number).mean(), abs=1e-6)
    assert train["ignored_share"] == pytest.approx((labels == 255).mean(), abs=1e-6)
    assert train["raw_size"] == {"min": [64, 128], "max": [64, 128]}
    for kind in ("images", "labels"):
        assert train[kind]["sha256"] == sha256(PREPARED / f"train_{kind}.npy")


def test_a_second_run_writes_the_same_bytes_and_leaves_nothing_else(here: Path) -> None:
    contents = []
    for _ in range(2):
        run()
        (PREPARED / "left_over.npy").touch() if not contents else None
        contents.append({p.name: p.read_bytes() for p in PREPARED.iterdir() if p.name != "left_over.npy"})
    assert contents[0] == contents[1]
    assert {p.name for p in PREPARED.iterdir()} == set(contents[0])
    assert not (PREPARED.parent / ".cityscapes.partial").exists()


def damage(pair: Pair, how: str) -> str:
    """Spoil a file of the pair; returns the name that the error must give."""
    if how == "label missing":
        pair.label.unlink()
    elif how == "image missing":
        pair.image.unlink()
    elif how == "image truncated":
        pair.image.write_bytes(pair.image.read_bytes()[:-200])
    elif how == "label is text":
        pair.label.write_text("no image")
    elif how == "sizes differ":
        Image.fromarray(np.zeros((64, 127), np.uint8)).save(pair.label)
    elif how == "label outside the list":
        Image.fromarray(np.full((64, 128), 34, np.uint8)).save(pair.label)
    # what remains of a pair without its image is the label
    return pair.image.name if how == "image truncated" else pair.label.name


FAULTS = (
    "label missing", "image missing", "image truncated", "label is text", "sizes differ",
    "label outside the list",
)  # fmt: skip


@pytest.mark.parametrize("how", FAULTS)
def test_a_bad_pair_stops_with_its_name_and_the_earlier_result_stays(here: Path, how: str) -> None:
    run()
    before = {file.name: file.read_bytes() for file in PREPARED.iterdir()}
    name = damage(cityscapes.pairs(RAW, "val")[2], how)
    with pytest.raises(DejavuError, match=name) as error:
        run()
    assert "\n" not in str(error.value)
    assert {file.name: file.read_bytes() for file in PREPARED.iterdir()} == before
    assert not list(PREPARED.parent.glob(".*partial*"))


@pytest.mark.parametrize(
    "gone", ["classes", "splits.train.count", "splits.val.images", "splits.val.labels.sha256"]
)
def test_a_report_that_lacks_a_part_is_refused(here: Path, gone: str) -> None:
    run()
    report = section = json.loads((PREPARED / "report.json").read_text())
    *parents, last = gone.split(".")
    for key in parents:
        section = section[key]
    del section[last]
    (PREPARED / "report.json").write_text(json.dumps(report))
    with pytest.raises(
        DejavuError, match=r"report\.json is not a report.*dejavu prepare cityscapes --scale smoke"
    ):
        store.read_report(PREPARED)


def test_all_bad_files_are_listed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = cityscapes.pairs(RAW, "train")[2:4] + cityscapes.pairs(RAW, "val")[:1]
    names = [damage(pair, how) for pair, how in zip(pairs, FAULTS[2:5], strict=True)]
    with pytest.raises(DejavuError, match=f"{names[0]} cannot be read.*one of 3 files"):
        run()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all(name in line for name, line in zip(names, said, strict=True))


def test_params_that_changed_since_the_download_are_noticed(here: Path) -> None:
    text = Path("params.yaml").read_text()
    for old, new, key in (
        ("size: [64, 128], train: 8", "size: [32, 64], train: 8", "scenes"),
        ("seed: 2303", "seed: 2304", "scenes"),
        ("train: 8, val: 4", "train: 9, val: 4", "8 train scenes"),
    ):
        assert old in text
        Path("params.yaml").write_text(text.replace(old, new))
        with pytest.raises(DejavuError, match=f"{key}.*dejavu download cityscapes"):
            run()


def test_without_a_download_the_command_is_named(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DejavuError, match="cityscapes.json is missing: run `dejavu download cityscapes"):
        prepare.prepare_dataset(loading.load(root / "params.yaml"), "cityscapes", "smoke")


def test_shrinking_averages_images_and_picks_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    label = rng.integers(0, 12, (40, 60), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "i.png")
    Image.fromarray(label).save(tmp_path / "l.png")
    item = convert.load(camvid.DATASET, Pair("i", tmp_path / "i.png", tmp_path / "l.png"), (10, 20))
    assert item.image.shape == (10, 20, 3) and item.raw_size == (40, 60)
    # every value is one of the block that its pixel covers: no value in between is invented
    blocks = np.where(label == 11, 255, label).reshape(10, 4, 20, 3)
    assert (blocks == item.label[:, None, :, None]).any(axis=(1, 3)).all()
    # the mean is kept, and the noise of single pixels is averaged away
    assert abs(item.image.mean() - image.mean()) < 2
    assert item.image.std() < 0.5 * image.std()


def test_a_uniform_shift_of_image_and_label_stays_aligned(tmp_path: Path) -> None:
    """A bright square of class 1 still covers the same pixels in both after shrinking."""
    image, label = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8)
    image[16:40, 32:80], label[16:40, 32:80] = 255, 1
    Image.fromarray(image).save(tmp_path / "i.png")
    Image.fromarray(label).save(tmp_path / "l.png")
    item = convert.load(camvid.DATASET, Pair("i", tmp_path / "i.png", tmp_path / "l.png"), (16, 24))
    assert ((item.image[..., 0] > 127) == (item.label == 1)).all()


def some_of(full: Path, folder: Path) -> Path:
    """A mirror with the first seven pairs of each split; files are links."""
    sums = []
    for split in camvid.SPLITS:
        (folder / f"{split}annot").mkdir(parents=True)
        (folder / split).mkdir()
        names = (full / f"{split}.txt").read_text().split()[:7]
        (folder / f"{split}.txt").write_text("\n".join(names))
        files = [file for name in names for file in (f"{split}/{name}.jpg", f"{split}annot/{name}.png")]
        for file in files:
            (folder / file).symlink_to(full / file)
        sums += [f"{sha256(folder / file)}  ./{file}\n" for file in [f"{split}.txt", *files]]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def test_a_scale_limits_the_number_of_real_images(
    tmp_path: Path, root: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real CamVid, end to end (from a mirror that is cut down to seven pairs a split)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEJAVU_MIRROR", str(some_of(mirror / "camvid", tmp_path / "some" / "camvid").parent))
    text = (root / "params.yaml").read_text()
    text = text.replace("{source: camvid,", "{source: camvid, train: 5, val: 3,")
    text = text.replace("batch_size: 8", "batch_size: 5").replace("gpus: 8", "gpus: 1")
    copy_params(tmp_path).write_text(text)
    params = loading.load("params.yaml")
    height, width = params.data_source("cityscapes", "open").size
    download.download_dataset(params, "cityscapes", "open")
    prepare.prepare_dataset(params, "cityscapes", "open")
    prepared = Paths("open").prepared("cityscapes")
    report = store.read_report(prepared)
    assert {split: said["count"] for split, said in report["splits"].items()} == {
        "train": 5,
        "val": 3,
        "test": 3,
    }
    assert (report["source"], report["stands_in_for"], report["evaluate"]) == ("camvid", "cityscapes", "test")
    assert report["splits"]["train"]["raw_size"]["min"] == [360, 480]
    train = store.open_split(prepared, "train")
    assert train.names == (mirror / "camvid" / "train.txt").read_text().split()[:5]
    assert train.images.shape == (5, height, width, 3)
    assert set(np.unique(train.labels)) <= {*range(11), 255}


def test_the_store_refuses_what_does_not_match_its_report(here: Path) -> None:
    run()
    labels = PREPARED / "train_labels.npy"
    good = labels.read_bytes()
    with pytest.raises(DejavuError, match="no split 'tset'"):
        store.open_split(PREPARED, "tset")
    np.save(labels, np.zeros((8, 64, 127), np.uint8))
    with pytest.raises(DejavuError, match=r"train_labels.npy is uint8 \[8, 64, 127\]"):
        store.open_split(PREPARED, "train")
    for content in (b"", b"rubbish", good[:-1]):
        labels.write_bytes(content)
        with pytest.raises(DejavuError, match="train_labels.npy is not a whole array"):
            store.open_split(PREPARED, "train")
    np.save(labels, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DejavuError, match="train_labels.npy"):
        store.open_split(PREPARED, "train")
    labels.unlink()
    with pytest.raises(DejavuError, match="train_labels.npy is missing"):
        store.open_split(PREPARED, "train")
    labels.write_bytes(good)
    (PREPARED / "train.txt").write_text("one\n")
    with pytest.raises(DejavuError, match="train.txt has 1 names"):
        store.open_split(PREPARED, "train")
    (PREPARED / "report.json").write_text(json.dumps([]))
    with pytest.raises(DejavuError, match="is not a report"):
        store.open_split(PREPARED, "train")
