"""Images without labels: not there, unreadable, or images that are measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import main

from . import samples
from .checks import Refused
from .images import BROKEN, SIZE, encoded, picture

DOWNLOAD, PREPARE = ([stage, "mine", "--scale", "open"] for stage in ("download", "prepare"))
MORE = Path("more")


@pytest.fixture
def mine(empty: Path) -> Path:
    """A folder with two images a split, and another of images without labels."""
    content = samples.params()
    content["datasets"]["mine"]["unlabelled"] = str(MORE)
    content["scales"]["open"]["data"]["mine"]["size"] = [SIZE[1], SIZE[0]]
    samples.write(empty, content)
    label = np.resize(np.array([0, 1], np.uint8), SIZE[::-1])
    for split in ("train", "val"):
        Path("mine", split).mkdir(parents=True)
        for number, name in enumerate("ab"):
            shifted = np.roll(np.asarray(picture()), number + 5 * (split == "val"), 1)
            Image.fromarray(shifted).save(f"mine/{split}/{split}_{name}.jpg")
            Image.fromarray(label).save(f"mine/{split}/{split}_{name}.png")
    MORE.mkdir()
    for number in range(3):
        Image.fromarray(np.roll(np.asarray(picture()), 9 + number, 0)).save(MORE / f"{number}.jpg")
    return empty


def downloaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DOWNLOAD) == 0
    capsys.readouterr()


OVERLAPS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "the same file": (
        lambda: shutil.copy("mine/val/val_a.jpg", MORE / "val_a.jpg"),
        ("val_a.jpg", "the name of", "of the split val, which is measured"),
    ),
    "the same name in a folder below, of another ending and case": (
        lambda: ((MORE / "x").mkdir(), picture().save(MORE / "x" / "VAL_B.png")),
        ("VAL_B.png", "the name of", "val_b.jpg"),
    ),
    "the same bytes by another name": (
        lambda: shutil.copy("mine/val/val_b.jpg", MORE / "7.jpg"),
        ("7.jpg", "the bytes of", "val_b.jpg", "of the split val"),
    ),
}


@pytest.mark.parametrize("how", OVERLAPS)
def test_an_image_that_is_measured_is_named(
    mine: Path, how: str, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    make, named = OVERLAPS[how]
    make()
    downloaded(capsys)
    refused(*PREPARE, named=named)


FOLDERS: dict[str, tuple[Callable[[], Any], str]] = {
    "missing": (lambda: shutil.rmtree(MORE), "datasets.mine.unlabelled is more, which is not a folder"),
    "a file": (lambda: (shutil.rmtree(MORE), MORE.touch()), "datasets.mine.unlabelled is more"),
    "empty": (lambda: (shutil.rmtree(MORE), MORE.mkdir()), "unlabelled has no image"),
    "of texts": (lambda: [path.rename(path.with_suffix(".txt")) for path in MORE.iterdir()], "has no image"),
}


@pytest.mark.parametrize("how", FOLDERS)
def test_a_folder_without_images_is_named(mine: Path, how: str, refused: Refused) -> None:
    FOLDERS[how][0]()
    refused(*DOWNLOAD, named=(FOLDERS[how][1],), leaves="data/open/raw/*")


@pytest.mark.parametrize("how", [*BROKEN, "transparency"])
def test_a_broken_image_is_named(
    mine: Path, how: str, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    picture().save(MORE / "1.png")
    whole = (MORE / "1.png").read_bytes()
    (MORE / "1.png").write_bytes(encoded("RGBA", SIZE) if how == "transparency" else BROKEN[how](whole))
    downloaded(capsys)
    refused(*PREPARE, named=("1.png",))


def test_images_that_came_after_the_download_are_noticed(
    mine: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    content = samples.params()
    samples.write(mine, content)
    assert main(DOWNLOAD) == 0
    capsys.readouterr()
    content["datasets"]["mine"]["unlabelled"] = str(MORE)
    samples.write(mine, content)
    refused(*PREPARE, named=("unlabelled", "run `dejavu download mine --scale open`"))


def test_a_row_without_them_is_refused(
    mine: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    content = samples.params()
    for name in ("hrnet18", "hrnet18_dejavu"):
        content["experiments"][name]["train"] = {"labelled": "with_unlabelled"}
    samples.write(mine, content)
    for stage in ("download", "prepare"):
        assert main([stage, "cityscapes", "--scale", "smoke"]) == 0
    capsys.readouterr()
    key = "scales.smoke.data.cityscapes.unlabelled to a number of scenes"
    refused("train", "hrnet18", "--scale", "smoke", named=("with_unlabelled", key))


def test_what_is_spoilt_above_is_right_before(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    downloaded(capsys)
    assert main(PREPARE) == 0
    assert "3 unlabelled" in capsys.readouterr().out
