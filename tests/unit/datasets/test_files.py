"""No reader passes a file over: one lister, names in every form, and what is left over is counted."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from helpers.layouts import LAYOUTS, LISTED, NUMBERED, make, smaller_release

from dejavu import datasets
from dejavu.datasets import Dataset
from dejavu.datasets.formats import patterns
from dejavu.datasets.formats.lists import Lines, listed
from dejavu.errors import DejavuError
from dejavu.system import folders

NAMES = ["b", "a.1", "c d"]
FREE = [name for name in LAYOUTS if name not in NUMBERED]


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller_release(monkeypatch, len(NAMES))


def files_of(dataset: Dataset, raw: Path) -> list[Path]:
    """All files of the split train."""
    every = {
        path: None for pair in dataset.checked_pairs(raw, "train") for path in pair[1:] if path is not None
    }
    return list(every)


def left_out(dataset: Dataset, raw: Path) -> list[str]:
    return dataset.left_out(raw, dataset.checked_pairs(raw, "train"))


def test_every_dataset_has_a_layout_here() -> None:
    assert {name.split()[0] for name in LAYOUTS} == {*datasets.names(), "folder"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_upper_and_lower_case_of_an_ending_are_the_same(layout: str, tmp_path: Path) -> None:
    dataset = make(layout, tmp_path, NAMES)
    names = [pair.name for pair in dataset.checked_pairs(tmp_path, "train")]
    assert len(names) == 3
    for path in files_of(dataset, tmp_path):
        path.rename(path.with_suffix(path.suffix.upper()))
    pairs = dataset.checked_pairs(tmp_path, "train")
    assert sorted(pair.name for pair in pairs) == sorted(names)
    for pair in pairs:
        assert pair.image.suffix in (".PNG", ".JPG", ".NPY") and pair.image.is_file()
        dataset.decode_label(pair.label)
        if dataset.decode_panoptic is not None:
            dataset.decode_panoptic(pair)
    assert left_out(dataset, tmp_path) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hidden_files_are_left_out_and_others_are_named(layout: str, tmp_path: Path) -> None:
    dataset = make(layout, tmp_path, NAMES)
    pairs, files = dataset.checked_pairs(tmp_path, "train"), files_of(dataset, tmp_path)
    assert len(files) == len({*files}) >= 6 and left_out(dataset, tmp_path) == []
    for path in files:
        shutil.copy(path, path.with_name(f"._{path.name}"))
        shutil.copytree(path.parent, path.parent / ".hidden", dirs_exist_ok=True)
    assert dataset.checked_pairs(tmp_path, "train") == pairs and left_out(dataset, tmp_path) == []
    strays = {path.with_name("stray.txt") for path in files} | {path.with_name("x.jpeg") for path in files}
    for stray in strays:
        stray.touch()
    assert dataset.checked_pairs(tmp_path, "train") == pairs
    expected = sorted(path.relative_to(tmp_path).as_posix() for path in strays)
    assert sorted(left_out(dataset, tmp_path)) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_that_may_not_be_read_is_named(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make(layout, tmp_path, NAMES)
    scandir = os.scandir
    for folder in {path.parent for path in files_of(dataset, tmp_path)}:

        def denied(path: str, forbidden: Path = folder) -> object:
            if Path(path) == forbidden:
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        with monkeypatch.context() as patch, pytest.raises(DejavuError) as error:
            patch.setattr(os, "scandir", denied)
            dataset.pairs(tmp_path, "train")
        assert f"{folder} cannot be read (Permission denied)" in str(error.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_that_are_links_are_followed_and_loops_end(layout: str, tmp_path: Path) -> None:
    dataset = make(layout, tmp_path / "raw", NAMES)
    names = [pair.name for pair in dataset.checked_pairs(tmp_path / "raw", "train")]
    for number, folder in enumerate({path.parent for path in files_of(dataset, tmp_path / "raw")}):
        folder.rename(tmp_path / str(number))
        folder.symlink_to(tmp_path / str(number), target_is_directory=True)
        (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert [pair.name for pair in dataset.checked_pairs(tmp_path / "raw", "train")] == names
    assert left_out(dataset, tmp_path / "raw") == []


@pytest.mark.parametrize("layout", FREE)
def test_names_in_both_forms_of_unicode_are_one(layout: str, tmp_path: Path) -> None:
    dataset = make(layout, tmp_path, ["caf\u00e9", "b"])
    files = [path for path in files_of(dataset, tmp_path) if "caf" in path.name]
    for path in files:
        other = path.with_name(unicodedata.normalize("NFD", path.name))
        path.rename(other)
        pairs = dataset.checked_pairs(tmp_path, "train")
        assert {unicodedata.normalize("NFC", pair.name) for pair in pairs} >= {"caf\u00e9", "b"}
        assert left_out(dataset, tmp_path) == []
    make(layout, tmp_path, ["caf\u00e9", "b"])  # beside the other form
    try:
        assert len(left_out(dataset, tmp_path)) == len(files)  # the list says which
    except DejavuError as error:
        assert "form of Unicode" in str(error)


@pytest.mark.parametrize("layout", FREE)
@pytest.mark.parametrize(
    ("name", "says"),
    [("caf\udce9", r"caf\xe9"), ("a\nb", r"a\nb"), ("a\u2028b", r"a\u2028b")],
    ids=["Latin-1", "line break", "line separator"],
)
def test_names_that_no_list_can_hold_are_refused_or_named(
    layout: str, name: str, says: str, tmp_path: Path
) -> None:
    dataset = make(layout, tmp_path, ["b", "NAME"])
    for path in files_of(dataset, tmp_path):
        if "NAME" in path.name:
            path.rename(path.with_name(path.name.replace("NAME", name)))
    for path in tmp_path.rglob("train*.txt"):
        path.write_text("b\n")
    if layout == "coco_panoptic":
        with pytest.raises(DejavuError, match=r"NAME\.jpg is missing"):
            dataset.checked_pairs(tmp_path, "train")
    elif layout in LISTED:
        kept = folders.summary(left_out(dataset, tmp_path))
        assert kept["count"] >= 2 and all(says in one for one in kept["first"])  # type: ignore[operator, attr-defined]
    else:
        with pytest.raises(DejavuError, match="is not UTF-8|line break") as error:
            dataset.checked_pairs(tmp_path, "train")
        assert says in str(error.value) and str(error.value).isprintable()


@pytest.mark.parametrize("layout", FREE)
@pytest.mark.parametrize(
    ("other", "what"), [("B c", "upper and lower case"), ("bc", "spaces"), ("b\u00a0c", "spaces")]
)
def test_what_differs_in_the_name_of_a_missing_file_is_named(
    layout: str, other: str, what: str, tmp_path: Path
) -> None:
    dataset = make(layout, tmp_path, ["a", "b c"])
    path = next(pair.label for pair in dataset.pairs(tmp_path, "train") if pair.name == "b c")
    path.rename(path.with_name(path.name.replace("b c", other)))
    with pytest.raises(DejavuError, match=f"is missing.*differs in {what}") as error:
        dataset.pairs(tmp_path, "train")
    assert str(path) in str(error.value)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    dataset = make("cityscapes", tmp_path, ["a"])
    for folder in ("leftImg8bit", "gtFine"):
        shutil.copytree(tmp_path / folder / "train" / "ulm", tmp_path / folder / "train" / "bonn")
    with pytest.raises(DejavuError, match=r"bonn/a_.* and .*ulm/a_.* are both 'a' of the split train"):
        dataset.checked_pairs(tmp_path, "train")


# lists


LINES = {
    "b": "b",
    "b.jpg": "b",
    "b.JPG": "b",
    "photos/b.jpg": "b",
    "./photos/b.jpg": "b",
    "/elsewhere/photos/b.jpg": "b",
    "photos/b.jpg photos/b_mask.png": "b",
    "b\tphotos/b_mask.png": "b",
    " b ": "b",
    "b c": "b c",
    "b c.jpg photos/b c_mask.png": "b c",
    "d.jpg": "d",  # the file d.jpg, and not d.jpg.jpg
    "d.jpg.jpg": "d.jpg",
    "e\u0301": "\u00e9",
}
NO_LINES = {
    "b d": "'d' is no label of the image 'b'",
    "b photos/b c_mask.png": "is no label of the image 'b'",
    "b.png": "differs in its ending",
    "elsewhere/photos/b.jpg": "is no image",
    "/b.jpg": "is no image",
    "B": "'b' differs in upper and lower case",
    "x": "is no image",
}


def entries(root: Path) -> Lines:
    names = ["b", "b c", "d", "d.jpg", "\u00e9"]
    images = {name: root / "photos" / f"{name}.jpg" for name in names}
    return Lines(images, {name: root / "photos" / f"{name}_mask.png" for name in names}, root)


@pytest.mark.parametrize(("line", "name"), LINES.items())
def test_a_line_is_the_file_that_it_names(line: str, name: str, tmp_path: Path) -> None:
    assert listed(tmp_path / "train.txt", [(1, line)], entries(tmp_path), "here") == [name]


@pytest.mark.parametrize(("line", "says"), NO_LINES.items())
def test_nothing_guesses_at_the_first_word_of_a_line(line: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match=f"train.txt, line 7: .*{says}"):
        listed(tmp_path / "train.txt", [(7, line)], entries(tmp_path), "here")


@pytest.mark.parametrize("layout", [name for name in LISTED if name != "coco_panoptic"])
def test_names_with_spaces_and_dots_are_whole_in_lists(layout: str, tmp_path: Path) -> None:
    """Beside files that are their first word, or lack what looks like an ending."""
    dataset = make(layout, tmp_path, ["b", "a", "b c", "a.1"])
    for path in tmp_path.rglob("train*.txt"):
        path.write_text("b c\na.1\n")
    assert [pair.name for pair in dataset.checked_pairs(tmp_path, "train")] == ["b c", "a.1"]
    for path in tmp_path.rglob("train*.txt"):
        path.write_text("b x\n")
    with pytest.raises(DejavuError, match=r"train.*\.txt, line 1: 'b x' names no image|is no image"):
        dataset.pairs(tmp_path, "train")


# folders that differ in their form


def test_a_folder_of_another_form_is_named(tmp_path: Path) -> None:
    dataset = make("folder", tmp_path, ["a"])
    (tmp_path / "folder" / "images").rename(tmp_path / "folder" / "Images")
    with pytest.raises(DejavuError, match=r"is no file \('Images' differs in upper and lower case\)"):
        dataset.pairs(tmp_path, "train")


def test_two_links_to_one_folder_are_two_folders(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "once" / "n.jpg").touch()
    (tmp_path / "twice").symlink_to(tmp_path / "once", target_is_directory=True)
    assert set(patterns.find(tmp_path, "{name}.jpg", "")) == {"once/n", "twice/n"}


def test_a_link_into_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DejavuError, match=r"loop cannot be read \(Too many levels"):
        folders.files_below(tmp_path)
