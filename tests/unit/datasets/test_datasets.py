"""Dataset modules: what every one must offer, and each one's own layout and labels."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dejavu import datasets
from dejavu.datasets import camvid, cityscapes, nyudv2
from dejavu.datasets.formats import images
from dejavu.datasets.obtain import mirror
from dejavu.datasets.prepared import store
from dejavu.errors import DejavuError


def save(path: Path, array: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path)
    return path


# every dataset

WITH_CLASSES = [name for name in datasets.names() if datasets.find(name).task == "semantic"]


@pytest.mark.parametrize("name", datasets.names())
def test_a_dataset_says_what_its_labels_mean(name: str) -> None:
    dataset = datasets.find(name)
    classes = dataset.classes
    assert (len(classes) > 0) == (dataset.task in ("semantic", "panoptic"))
    assert len(set(classes.names)) == len(classes.names) == len(classes.palette) < datasets.IGNORE
    assert len({tuple(colour) for colour in classes.palette}) == len(classes.palette)
    assert all(np.shape(colour) == (3,) for colour in classes.palette)
    assert {"train", dataset.evaluate, dataset.validate} <= set(dataset.splits)
    assert dataset.validate != "train"
    assert datasets.class_names(name) == list(classes.names)
    assert all(count is None or count > 0 for count in dataset.splits.values())
    assert datasets.title(name) == dataset.title and dataset.title.strip()


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_labels_become_train_ids_and_all_classes_are_reached(name: str, tmp_path: Path) -> None:
    dataset = datasets.find(name)
    reached = set()
    for value in range(256):
        path = save(tmp_path / "label.png", np.full((2, 3), value))
        try:
            decoded = dataset.decode_label(path)
        except DejavuError as error:
            assert str(path) in str(error) and f"label value {value}," in str(error)
            continue
        assert decoded.dtype == np.uint8 and decoded.shape == (2, 3)
        reached |= set(np.unique(decoded).tolist())
    assert reached == {*range(len(dataset.classes)), datasets.IGNORE}


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_what_stands_in_for_a_dataset_has_as_many_classes(name: str) -> None:
    dataset = datasets.find(name)
    for source in (name, "synthetic"):
        classes = dataset.classes_of(source)
        colours = set(map(tuple, classes.palette))
        assert len(set(classes.names)) == len(classes.names) == len(dataset.classes) == len(colours)
    assert dataset.classes_of(name) is dataset.classes


@pytest.mark.parametrize("name", datasets.names())
def test_every_class_has_one_entry_in_each_list_that_there_is(name: str) -> None:
    dataset = datasets.find(name)
    for source in (name, "synthetic"):
        classes = dataset.classes_of(source)
        for entries in (classes.categories, classes.things, classes.ids):
            assert entries is None or len(entries) == len(classes)
        if classes.categories is not None:
            assert len(classes) > len(set(classes.categories)) > 1
            # the names mean the same everywhere
            assert set(classes.categories) <= set(cityscapes.CLASSES.categories or ())


@pytest.mark.parametrize("name", datasets.names())
def test_a_dataset_can_read_its_targets(name: str) -> None:
    dataset = datasets.find(name)
    assert dataset.targets[0] == "labels" and set(dataset.targets) <= set(store.KINDS)
    assert "normals" not in dataset.targets or "depth" in dataset.targets
    assert ("panoptic" in dataset.targets) == (dataset.classes.things is not None)
    assert dataset.task == "semantic" or dataset.task in dataset.targets


@pytest.mark.parametrize("name", datasets.names())
def test_an_empty_folder_is_refused_with_its_name(name: str, tmp_path: Path) -> None:
    for split in datasets.find(name).splits:
        with pytest.raises(DejavuError, match=str(tmp_path)):
            datasets.find(name).pairs(tmp_path, split)


def test_an_unknown_dataset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DejavuError, match="no dataset 'cityscape' .did you mean 'cityscapes'"):
        datasets.find("cityscape")
    with pytest.raises(DejavuError, match="no dataset 'fetch'"):
        datasets.find("fetch")  # a module there, and no dataset


def test_scenes_are_read_as_what_they_stand_in_for() -> None:
    assert datasets.reader("cityscapes", "synthetic") is cityscapes.DATASET
    assert datasets.reader("cityscapes", "camvid") is camvid.DATASET
    assert datasets.reader("nyudv2", "synthetic") is nyudv2.DATASET
    assert datasets.reader("nyudv2_large", "synthetic") is nyudv2.DATASET


# Datasets to choose settings on


def test_camvid_for_choosing_has_no_test_split(tmp_path: Path) -> None:
    chosen = datasets.find("camvid_val")
    assert chosen.splits == {"train": 367, "val": 101} and chosen.evaluate == chosen.validate == "val"
    assert chosen.pairs is camvid.pairs and chosen.classes is camvid.CLASSES


def test_nyudv2_for_choosing_divides_the_training_images(tmp_path: Path) -> None:
    """Its lists are read, no image is in both splits, and none is of the test split."""
    for split, names in (("train", ["00001", "00002", "00003"]), ("test", ["00009"])):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            for kind in ("rgb", "label40", "depth"):
                save(
                    tmp_path / split / kind / f"{name}.png", np.zeros((2, 2, 3)[: 3 if kind == "rgb" else 2])
                )
    (tmp_path / "train_sub381.txt").write_text("00003\n00001\n")
    (tmp_path / "val_sub414.txt").write_text("00002\n")
    chosen = datasets.find("nyudv2_val")
    assert [pair.name for pair in chosen.pairs(tmp_path, "train")] == ["00003", "00001"]
    assert [pair.name for pair in chosen.pairs(tmp_path, "val")] == ["00002"]
    (tmp_path / "val_sub414.txt").write_text("00009\n")
    with pytest.raises(
        DejavuError, match="val_sub414.txt, line 1: '00009' is no image of the training images"
    ):
        chosen.pairs(tmp_path, "val")
    (tmp_path / "val_sub414.txt").unlink()
    with pytest.raises(DejavuError, match="val_sub414.txt is missing"):
        chosen.pairs(tmp_path, "val")


# Cityscapes


def test_cityscapes_train_ids_are_the_official_ones() -> None:
    """The evaluated ids in order, as published in the official scripts' labels.py."""
    official = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert [cityscapes.TRAIN_IDS[label] for label in official] == list(range(19))
    others = set(range(34)) - set(official)
    assert len(others) == 15 and {cityscapes.TRAIN_IDS[label] for label in others} == {255}
    assert set(cityscapes.TRAIN_IDS) == set(range(34))
    assert cityscapes.CLASSES.names[0] == "road" and cityscapes.CLASSES.names[13] == "car"


def test_cityscapes_categories_are_the_official_ones() -> None:
    """How many evaluated classes each of the seven has, as published in the official scripts' labels.py."""
    assert Counter(cityscapes.CLASSES.categories) == {
        "flat": 2, "construction": 3, "object": 3, "nature": 2, "sky": 1, "human": 2, "vehicle": 6,
    }  # fmt: skip
    groups = dict(zip(cityscapes.CLASSES.names, cityscapes.CLASSES.categories or (), strict=True))
    assert (groups["terrain"], groups["rider"], groups["bicycle"]) == ("nature", "human", "vehicle")


def test_camvid_categories_agree_with_those_of_cityscapes() -> None:
    theirs = dict(zip(cityscapes.CLASSES.names, cityscapes.CLASSES.categories or (), strict=True))
    same = {
        "pavement": "sidewalk",
        "tree": "vegetation",
        "sign symbol": "traffic sign",
        "pedestrian": "person",
    }
    same |= {"bicyclist": "rider"}
    for name, category in zip(camvid.CLASSES.names, camvid.CLASSES.categories or (), strict=True):
        assert category == theirs[same.get(name, name)]


def city_pair(raw: Path, city: str, frame: int) -> tuple[Path, Path]:
    stem = f"{city}/{city}_{frame:06d}_000019"
    return (
        save(raw / "leftImg8bit" / "train" / f"{stem}_leftImg8bit.png", np.zeros((4, 8, 3))),
        save(raw / "gtFine" / "train" / f"{stem}_gtFine_labelIds.png", np.full((4, 8), 7)),
    )


def test_cityscapes_pairs_are_in_order_whatever_else_lies_there(tmp_path: Path) -> None:
    made = [city_pair(tmp_path, city, frame) for city, frame in (("ulm", 1), ("aachen", 7), ("aachen", 2))]
    save(made[0][1].with_name("ulm_000001_000019_gtFine_color.png"), np.zeros((4, 8, 3)))
    found = cityscapes.pairs(tmp_path, "train")
    assert [pair.name for pair in found] == [
        "aachen_000002_000019",
        "aachen_000007_000019",
        "ulm_000001_000019",
    ]
    assert [(pair.image, pair.label) for pair in found] == made[::-1]


@pytest.mark.parametrize("which", [0, 1])
def test_a_cityscapes_file_without_its_partner_is_named(tmp_path: Path, which: int) -> None:
    city_pair(tmp_path, "ulm", 1)
    pair = city_pair(tmp_path, "ulm", 2)
    pair[which].unlink()
    with pytest.raises(DejavuError, match="ulm_000002_000019"):
        cityscapes.pairs(tmp_path, "train")


def test_cityscapes_that_is_not_there_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    part = SimpleNamespace(source="cityscapes", size=(4, 8), train=None, val=None)
    source = SimpleNamespace(manual="register and unpack", seed=None)
    with pytest.raises(DejavuError, match="register and unpack") as error:
        cityscapes.download(tmp_path, part, source)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_cityscapes_of_a_mirror_is_linked_and_rendered_scenes_make_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, real = tmp_path / "raw", tmp_path / "mirror" / "cityscapes"
    city_pair(real, "ulm", 1)
    for path in (real / "leftImg8bit", real / "gtFine"):
        (path / "val").symlink_to(path / "train", target_is_directory=True)
    scenes = SimpleNamespace(source="synthetic", size=(8, 16), train=1, val=1)
    source = SimpleNamespace(manual="", seed=1)
    cityscapes.download(raw, scenes, source)
    assert [pair.name for pair in cityscapes.pairs(raw, "train")] == ["rendered_000000_000019"]
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path / "mirror"))
    part = SimpleNamespace(source="cityscapes", size=(4, 8), train=None, val=None)
    for _ in range(2):  # and again
        files = cityscapes.download(raw, part, source)
        assert (raw / "gtFine").is_symlink() and len(files) == 4
        assert [pair.name for pair in cityscapes.pairs(raw, "train")] == ["ulm_000001_000019"]
    with pytest.raises(DejavuError, match="was not rendered"):
        cityscapes.download(raw, scenes, source)
    assert cityscapes.pairs(real, "train")  # the mirror is as it was


# CamVid


def camvid_split(raw: Path, split: str, lines: list[str], suffix: str = ".png") -> None:
    raw.mkdir(parents=True, exist_ok=True)
    (raw / f"{split}.txt").write_text("\n".join(lines) + "\n")
    for line in lines:
        name = Path(line.split()[0]).stem
        save(raw / split / f"{name}{suffix}", np.zeros((4, 6, 3)))
        save(raw / f"{split}annot" / f"{name}.png", np.zeros((4, 6)))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("form", ["{0}", "/SegNet/CamVid/train/{0}.png /SegNet/CamVid/trainannot/{0}.png"])
def test_camvid_lists_of_both_forms_keep_their_order(tmp_path: Path, form: str, suffix: str) -> None:
    camvid_split(tmp_path, "train", [form.format(name) for name in ("b_2", "a_1")], suffix)
    found = camvid.pairs(tmp_path, "train")
    assert [pair.name for pair in found] == ["b_2", "a_1"]
    assert [pair.image.suffix for pair in found] == [suffix] * 2


@pytest.mark.parametrize("missing", ["train/a_1.png", "trainannot/a_1.png"])
def test_a_camvid_file_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    camvid_split(tmp_path, "train", ["a_1"])
    (tmp_path / missing).unlink()
    with pytest.raises(DejavuError, match=missing.replace(".", r"\.")):
        camvid.pairs(tmp_path, "train")


def test_camvid_classes_and_colours_are_those_of_the_mirror(mirror: Path) -> None:
    said = json.loads((mirror / "camvid" / "meta.json").read_text())
    assert [name.replace(" ", "_") for name in camvid.CLASSES.names] == said["classes"]
    assert [list(colour) for colour in camvid.CLASSES.palette] == said["palette"][:-1]
    assert said["void"] == camvid.VOID


def test_camvid_pixel_shares_are_the_published_ones(mirror: Path) -> None:
    raw = mirror / "camvid"
    said = json.loads((raw / "meta.json").read_text())["pixel_percent"]["val"]
    found = camvid.pairs(raw, "val")
    assert len(found) == 101
    count = sum(np.bincount(camvid.decode_label(pair.label).ravel(), minlength=256) for pair in found)
    percent = 100 * count / count.sum()
    for value, share in said.items():
        index = datasets.IGNORE if int(value) == camvid.VOID else int(value)
        assert percent[index] == pytest.approx(share, abs=6e-4)


# files that are broken


def corrupt(path: Path, how: str) -> Path:
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "empty": b"",
        "text": b"this is not an image",
        "half": data[:middle],
        "no end": data[:-14],
        "flipped": data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :],
    }[how]
    path.write_bytes(changed)
    return path


READERS = [images.read_image, images.read_indices, camvid.decode_label, nyudv2.decode_depth]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("how", ["empty", "text", "half", "no end", "flipped"])
def test_a_corrupt_png_is_named(tmp_path: Path, read: object, how: str) -> None:
    shape = (30, 40, 3) if read is images.read_image else (30, 40)
    path = save(tmp_path / "broken.png", np.random.default_rng(0).integers(0, 11, shape))
    assert read(path) is not None  # type: ignore[operator]
    with pytest.raises(DejavuError, match="broken.png cannot be read"):
        read(corrupt(path, how))  # type: ignore[operator]


@pytest.mark.parametrize("how", ["empty", "text", "half"])
def test_a_corrupt_jpeg_is_named(tmp_path: Path, how: str) -> None:
    path = save(tmp_path / "broken.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3)))
    with pytest.raises(DejavuError, match="broken.jpg cannot be read"):
        images.read_image(corrupt(path, how))


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as outside of the tests
@pytest.mark.parametrize("side", [11_000, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(DejavuError, match="bomb.png claims"):
        images.read_indices(path)


def test_a_colour_image_is_no_label(tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="label.png is of mode RGB"):
        camvid.decode_label(save(tmp_path / "label.png", np.zeros((4, 4, 3))))


# lists of checksums


@pytest.mark.parametrize("line", ["0" * 64 + "  ../x", "0" * 64 + "  /etc/x", "0" * 63 + "  x", "hello"])
def test_a_list_of_checksums_that_is_not_one_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "SHA256SUMS"
    path.write_text(f"{'1' * 64}  good\n{line}\n")
    with pytest.raises(DejavuError, match="SHA256SUMS, line 2"):
        mirror.read_checksums(path)
