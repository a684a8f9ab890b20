"""Ground truth that is useless: void, of one class, or read in another meaning than it was written in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import main

from . import samples
from .checks import Refused
from .images import SIZE, picture

SHAPE = SIZE[::-1]
PREPARE = ["prepare", "mine", "--scale", "open"]


def mask(*values: int) -> np.ndarray:
    """Values in turn, uint8 (H, W)."""
    return np.resize(np.array(values, np.uint8), SHAPE)


def write_folder(train: np.ndarray, val: np.ndarray, **folder: Any) -> None:
    """A folder with an image in each split, and what `dejavu download` writes for it."""
    content = samples.params()
    content["datasets"]["mine"]["folder"] |= folder
    content["scales"]["open"]["data"]["mine"]["size"] = [SHAPE[0], SHAPE[1]]
    samples.write(Path(), content)
    for split, label in (("train", train), ("val", val)):
        Path("mine", split).mkdir(parents=True, exist_ok=True)
        picture().save(f"mine/{split}/a.jpg")
        Image.fromarray(label).save(f"mine/{split}/a.png")
    assert main(["download", "mine", "--scale", "open"]) == 0


RIGHT, MANY = mask(0, 1), [f"class {number}" for number in range(6)]
FOLDERS: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "a mask of 0 and 255": (
        lambda: write_folder(mask(0, 255), mask(0, 255)),
        ("only 'road' of 2 classes", "datasets.mine.folder.values: [0, 255]", "datasets.mine.folder.ignore"),
    ),
    "a mask of 1 and 255": (
        lambda: write_folder(mask(1, 255), RIGHT),
        ("only 'car'", "datasets.mine.folder.values: [1, 255]"),
    ),
    "one class to learn": (
        lambda: write_folder(mask(1), RIGHT),
        ("only 'car' of 2 classes has a pixel in train", "datasets.mine.folder.values"),
    ),
    "one class to measure": (lambda: write_folder(RIGHT, mask(0)), ("in val", "datasets.mine.folder.values")),
    "nothing to learn": (
        lambda: write_folder(mask(255), RIGHT),
        ("there is no class in train: every pixel is ignored", "datasets.mine.folder.ignore"),
    ),
    "nothing to measure": (lambda: write_folder(RIGHT, mask(255)), ("no class in val", "every pixel")),
    "numbers read as other values": (
        lambda: write_folder(
            mask(0, 1, 2, 3, 4, 5), mask(2, 4), classes=MANY, values=[2, 4, 7, 8, 9, 10], ignore=[0, 1, 3, 5]
        ),
        ("hold 0 to 5 alone", "leave datasets.mine.folder.values out"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", FOLDERS)
def test_labels_that_are_useless_are_refused_by_prepare(
    empty: Path, how: str, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    make, named = FOLDERS[how]
    make()
    refused(*PREPARE, named=named)


def test_what_is_spoilt_above_is_right_before(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(RIGHT, RIGHT)
    assert main(PREPARE) == 0
    assert capsys.readouterr().err == ""


SCORES = {
    "a mask of 0 and 255": (mask(0, 255), ["semantic", "--classes", "2"], ("--gt gt", "--ignore 255")),
    "void": (mask(255), ["semantic", "--classes", "2"], ("every label is 255",)),
    "no depth": (mask(0).astype(np.uint16), ["depth"], ("no pixel of the ground truth has a depth",)),
    "no normal": (
        np.zeros((*SHAPE, 3), np.uint8),
        ["normals"],
        ("no pixel of the ground truth has a normal",),
    ),
}


@pytest.mark.parametrize("how", SCORES)
def test_ground_truth_that_is_useless_is_refused_by_score(empty: Path, how: str, refused: Refused) -> None:
    truth, (task, *more), named = SCORES[how]
    for side in ("gt", "pred"):
        Path(side).mkdir()
        Image.fromarray(truth).save(f"{side}/a.png")
    refused("score", task, "--gt", "gt", "--pred", "pred", *more, named=named)
