"""Any folder as a dataset: what it finds, what it refuses, and one entry in params.yaml that is enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import copy_params
from PIL import Image

from dejavu import datasets
from dejavu.commands import download, prepare
from dejavu.config import Folder as Settings
from dejavu.config import Source, loading
from dejavu.datasets import folder
from dejavu.datasets.formats import palette, patterns
from dejavu.datasets.prepared import store
from dejavu.errors import DejavuError

CLASSES = ("background", "road", "car")
SUBFOLDERS = {"images": "images/{split}/{name}.jpg", "labels": "labels/{split}/{name}.png"}
LISTS = {"images": "photos/{name}.jpg", "labels": "photos/{name}_mask.png", "lists": "{split}.txt"}
NAMES = {"train": ["b", "a.1", "c d"], "val": ["d/e", "f"]}
SIZES = {"b": (6, 8), "a.1": (8, 6), "c d": (12, 12), "d/e": (5, 9), "f": (6, 8)}


def label_of(name: str) -> np.ndarray:
    """Values 0, 1, 2 and 255, others for each name."""
    rng = np.random.default_rng(list(name.encode()))
    return np.array([0, 1, 2, 255], np.uint8)[rng.integers(0, 4, SIZES[name])]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make(root: Path, images: str, labels: str, lists: str | None = None) -> Path:
    """A folder in the layout of the patterns."""
    for split, names in NAMES.items():
        for name in names:
            places = [at.replace("{split}", split).replace("{name}", name) for at in (images, labels)]
            save(root / places[0], np.full((*SIZES[name], 3), 90, np.uint8))
            save(root / places[1], label_of(name))
        if lists is not None:
            (root / lists.replace("{split}", split)).write_text("".join(f"{name}\n" for name in names))
    return root


def reader(root: Path | None, **settings: Any) -> datasets.Dataset:
    given = {"path": None if root is None else str(root), "classes": CLASSES, **SUBFOLDERS, **settings}
    return folder.read_folder("mine", Settings(**given))


def downloaded(root: Path, raw: Path, **settings: Any) -> datasets.Dataset:
    found = reader(root, **settings)
    found.download(raw, None, None)
    return found


@pytest.mark.parametrize("layout", [SUBFOLDERS, LISTS], ids=["sub-folders", "lists"])
def test_both_layouts_give_the_same_pairs(tmp_path: Path, layout: dict[str, str]) -> None:
    make(tmp_path / "mine", **layout)
    found = reader(tmp_path / "mine", **layout)
    files = found.download(tmp_path / "raw", None, None)
    lists = 2 if layout is LISTS else 0  # which count as raw files, too
    assert len(files) == 10 + lists and all((tmp_path / "raw" / name).is_file() for name in files)
    for split, names in NAMES.items():
        pairs = found.pairs(tmp_path / "raw", split)
        # a list has an order; without one names are sorted
        assert [pair.name for pair in pairs] == (names if layout is LISTS else sorted(names))
        for pair in pairs:
            np.testing.assert_array_equal(found.decode_label(pair.label), label_of(pair.name))
            with Image.open(pair.image) as image:
                assert (image.height, image.width) == SIZES[pair.name]


@pytest.mark.parametrize(
    "form", ["{name}", "{name}.jpg", "photos/{name}.jpg", "photos/{name}.jpg photos/{name}_mask.png"]
)
def test_lists_may_have_names_or_paths(tmp_path: Path, form: str) -> None:
    root = make(tmp_path / "mine", **LISTS)
    names = ["f", "a.1", "b"]
    (root / "train.txt").write_text("\ufeff" + "\r\n".join(form.format(name=name) for name in names) + "\n\n")
    (root / "val.txt").write_text("c d\n")
    found = downloaded(root, tmp_path / "raw", **LISTS)
    assert [pair.name for pair in found.pairs(tmp_path / "raw", "train")] == names


def test_images_may_end_in_anything_and_hidden_files_are_none(tmp_path: Path) -> None:
    root = make(tmp_path / "mine", **SUBFOLDERS)
    (root / "images/train/b.jpg").rename(root / "images/train/b.JPEG")
    (root / "images/train/._b.jpg").touch()
    (root / "labels/train/.hidden").mkdir()
    (root / "labels/train/loop").symlink_to(root / "labels/train", target_is_directory=True)
    found = downloaded(root, tmp_path / "raw", images="images/{split}/{name}.*")
    assert [pair.image.name for pair in found.pairs(tmp_path / "raw", "train")] == [
        "a.1.jpg",
        "b.JPEG",
        "c d.jpg",
    ]


def test_splits_have_the_names_that_the_folder_has(tmp_path: Path) -> None:
    root = make(tmp_path / "mine", **SUBFOLDERS)
    for kind in ("images", "labels"):
        (root / kind / "train").rename(root / kind / "training")
    found = downloaded(root, tmp_path / "raw", splits={"train": "training", "test": "val"})
    assert (list(found.splits), found.evaluate, found.validate) == (["train", "test"], "test", "test")
    assert len(found.pairs(tmp_path / "raw", "train")) == 3
    three = reader(root, splits={"test": "x", "val": "y", "train": "z"})
    assert (list(three.splits), three.evaluate, three.validate) == (["train", "val", "test"], "test", "val")


def test_values_become_the_classes_that_they_are_given_to(tmp_path: Path) -> None:
    found = reader(None, values=[7, [8, 30], 0], ignore=[255, 9])
    save(tmp_path / "x.png", np.array([[0, 7, 8, 9, 30, 255]], np.uint8))
    assert found.decode_label(tmp_path / "x.png").tolist() == [[2, 0, 1, 255, 1, 255]]
    save(tmp_path / "x.png", np.array([[0, 3]], np.uint8))
    with pytest.raises(DejavuError, match=r"x\.png has label value 3, .*datasets\.mine\.folder\.ignore"):
        found.decode_label(tmp_path / "x.png")


def remove(name: str) -> Any:
    return lambda root: (root / name).unlink()


def listed(text: str) -> Any:
    return lambda root: (root / "train.txt").write_text(text)


FAULTS = [
    (SUBFOLDERS, remove("labels/train/b.png"), r"labels/train/b\.png is missing: it is the label of .*b\.j"),
    (SUBFOLDERS, remove("images/train/b.jpg"), r"labels/train/b\.png has no image .*images/train/b\.jpg"),
    (SUBFOLDERS | {"images": "image/{split}/{name}.jpg"}, None, r"image/train/\{name\}\.jpg is no file"),
    (LISTS, remove("train.txt"), r"train\.txt is missing: it lists .*datasets\.mine\.folder\.lists"),
    (LISTS, listed("b\nbb\n"), r"train\.txt, line 2: 'bb' is no image .*did you mean 'b'"),
    (LISTS, listed("b\nb.jpg\n"), r"train\.txt lists b twice"),
    (LISTS, listed("\n"), r"train\.txt is empty"),
    (LISTS, listed("b\nf\n"), r"photos/f\.jpg is in two splits, train and val"),
    (LISTS, lambda root: (root / "train.txt").write_bytes(b"\xff\xfe\xff"), r"train\.txt is not a text file"),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "spoil", "fault"), FAULTS, ids=[str(n) for n in range(len(FAULTS))])
def test_what_does_not_fit_is_one_sentence_with_the_file(
    tmp_path: Path, layout: dict[str, str], spoil: Any, fault: str
) -> None:
    root = make(tmp_path / "mine", **(LISTS if layout is LISTS else SUBFOLDERS))
    if spoil is not None:
        spoil(root)
    with pytest.raises(DejavuError, match=fault) as error:
        downloaded(root, tmp_path / "raw", **layout)
    assert "\n" not in str(error.value)


def test_two_files_of_one_name_are_both_named(tmp_path: Path) -> None:
    root = make(tmp_path / "mine", **SUBFOLDERS)
    save(root / "images/train/b.png", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(
        DejavuError, match=r"b\.jpg and .*b\.png are both 'b': datasets\.mine\.folder\.images"
    ):
        downloaded(root, tmp_path / "raw", images="images/{split}/{name}.*")


def test_a_folder_that_is_not_there_is_named_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    with pytest.raises(
        DejavuError, match=r"datasets\.mine\.folder\.path is .*nowhere, which is not a folder"
    ):
        downloaded(tmp_path / "nowhere", tmp_path / "raw")
    with pytest.raises(DejavuError, match=r"datasets\.mine\.folder\.path is not set"):
        reader(None).download(tmp_path / "raw", None, None)
    make(tmp_path / "mine", **SUBFOLDERS)
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path))
    assert len(reader(None).download(tmp_path / "raw", None, None)) == 10


WRONG = [
    ({"images": "images/{split}/x.jpg"}, "images: must have {name} once"),
    ({"images": "images/{name}.jpg"}, "images: needs {split}"),
    ({"images": "/images/{split}/{name}.jpg"}, "images: must be a path inside"),
    ({"labels": "../{split}/{name}.png"}, "labels: must be a path inside"),
    ({"labels": "labels/{spilt}/{name}.png"}, "labels: may have {name} and {split} in braces"),
    ({"labels": "labels/{split}/{name}.jpg"}, "labels: must end in .png"),
    ({"lists": "all.txt"}, "lists: needs {split}"),
    ({"splits": {"val": "val"}}, "splits: must have train"),
    ({"classes": ["a", "b", "a"]}, "classes: 'a' is given twice"),
    ({"values": [0, 1]}, "values: needs one for each of the 3 classes, and has 2"),
    ({"values": [0, 1, [2, 1]]}, "values: 1 has two meanings"),
    ({"ignore": [2]}, "values: 2 has two meanings"),
    ({"palette": [[0, 0, 0]]}, "palette: needs one for each"),
    ({"categories": ["x"]}, "categories: needs one for each"),
]


def entry(root: Path, **settings: Any) -> str:
    """The lines of params.yaml for it: JSON is YAML."""
    said = {"path": str(root), "classes": CLASSES, **SUBFOLDERS, **settings}
    return f"  mine: {json.dumps({'licence': 'my own', 'folder': said})}\n"


def write_params(root: Path, folder: Path, **settings: Any) -> Path:
    """params.yaml with the entry, and the folder in Cityscapes' part at smoke scale."""
    text = (
        (root / "params.yaml")
        .read_text()
        .replace("\ndatasets:\n", "\ndatasets:\n" + entry(folder, **settings))
    )
    part = "cityscapes: {source: synthetic, size: [64, 128], train: 8, val: 4}"
    assert part in text and "  mine: " in text
    file = copy_params(Path())
    file.write_text(text.replace(part, "cityscapes: {source: mine, size: {short: 4, long: 7}}"))
    return file


@pytest.mark.parametrize(("settings", "fault"), WRONG, ids=[fault for _, fault in WRONG])
def test_settings_that_do_not_go_together_name_the_key(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(DejavuError) as error:
        reader(None, **settings)
    assert str(error.value).startswith(f"datasets.mine.folder.{fault}")


def test_params_with_a_wrong_entry_are_refused_before_any_job(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for settings, fault in (
        ({"values": [0, 1]}, "values: needs one"),
        ({"labls": "x"}, "did you mean 'labels'"),
    ):
        with pytest.raises(DejavuError, match=f"params.yaml: datasets.mine.folder.*{fault}"):
            loading.load(write_params(root, tmp_path, **settings))


def test_one_entry_is_enough_for_both_stages(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "mine", **SUBFOLDERS)
    params = loading.load(write_params(root, Path("mine"), categories=["x", "y", "y"]))
    download.download_dataset(params, "cityscapes", "smoke")
    prepare.prepare_dataset(params, "cityscapes", "smoke")
    prepared = Path("data/smoke/prepared/cityscapes")
    report = store.read_report(prepared, params.data_source("cityscapes", "smoke"))
    assert (report["source"], report["stands_in_for"], report["licence"]) == ("mine", "cityscapes", "my own")
    assert report["classes"] == list(CLASSES) and report["categories"] == ["x", "y", "y"]
    train, val = (store.open_split(prepared, split) for split in ("train", "val"))
    assert train.names == sorted(NAMES["train"]) and val.names == sorted(NAMES["val"])
    assert [image.shape for image in train.images] == [(5, 4, 3), (4, 5, 3), (4, 4, 3)]
    for name, label in zip(val.names, val.labels, strict=True):
        np.testing.assert_array_equal(label, label_of(name))
    # what the files mean has changed: the raw data must be looked at again
    changed = loading.load(write_params(root, Path("mine"), values=[2, 1, 0]))
    with pytest.raises(DejavuError, match="has folder .*dejavu download cityscapes"):
        prepare.prepare_dataset(changed, "cityscapes", "smoke")


def test_a_folder_may_be_a_dataset_of_its_own_name() -> None:
    own: Any = {"mine": Source(licence="", folder=Settings(classes=CLASSES, **SUBFOLDERS))}
    assert datasets.class_names("mine", own) == list(CLASSES)
    assert datasets.class_names("cityscapes", own) == datasets.class_names("cityscapes")
    assert datasets.reader("cityscapes", "mine", own["mine"]).title == "mine"
    assert datasets.reader("cityscapes", "camvid", Source(licence="")) is datasets.find("camvid")


# colours and patterns


def test_default_colours_are_far_from_each_other_and_fewer_are_the_first_of_more() -> None:
    colours = palette.distinct(254)
    assert len(set(colours)) == 254 and palette.distinct(19) == colours[:19]
    assert colours[:3] == reader(None).classes.palette
    given = ((1, 2, 3),) * 3
    assert given == reader(None, palette=given).classes.palette
    first = np.array([(0, 0, 0), (255, 255, 255), *colours[:19]], int)
    apart = np.linalg.norm(first[:, None] - first[None], axis=-1)[np.triu_indices(21, 1)]
    # random colours would be about 20 apart at the nearest, and 27 on a cubic grid 127
    assert apart.min() > 60


@pytest.mark.parametrize("text", ["a+b(1).jpg", "x[0].jpg", "dot.jpg"])
def test_characters_of_a_pattern_mean_themselves(tmp_path: Path, text: str) -> None:
    for name in ("n1", "n2"):
        save(tmp_path / text.replace(".jpg", "") / f"{name}.jpg", np.zeros((2, 2), np.uint8))
    save(tmp_path / "other" / "n3.jpg", np.zeros((2, 2), np.uint8))
    pattern = text.replace(".jpg", "/{name}.jpg")
    assert set(patterns.find(tmp_path, pattern, "")) == {"n1", "n2"}
