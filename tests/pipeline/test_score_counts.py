"""Counts of `dejavu score` in a ground truth: absent classes and ignored pixels are named, never hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import main
from dejavu.datasets.formats.coco import write_ids


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def score(capsys: pytest.CaptureFixture[str]) -> Any:
    """Score gt/ and pred/ by a command line: the JSON, or the sentence of a refusal, and the remark."""

    def run(task: str, *more: object) -> tuple[Any, str]:
        status = main(["score", task, "--gt", "gt", "--pred", "pred", *map(str, more)])
        out, err = capsys.readouterr()
        assert err.count("\n") <= 1 and err.startswith("dejavu: " if err else "")
        assert status == 0 or (status, out) == (2, "")
        return (json.loads(out) if status == 0 else None), err.removeprefix("dejavu: ").strip()

    return run


def write(truth: np.ndarray, prediction: np.ndarray | None = None, name: str = "0.png") -> None:
    """A pair of files; the prediction is the ground truth, if it is not given."""
    for side, array in (("gt", truth), ("pred", truth if prediction is None else prediction)):
        Path(side).mkdir(exist_ok=True)
        Image.fromarray(array).save(Path(side, name))


def mask(*values: int) -> np.ndarray:
    """Values in equal shares, uint8 (6, 8)."""
    return np.repeat(np.array(values, np.uint8), 48 // len(values)).reshape(6, 8)


def test_a_mask_of_0_and_255_is_refused(score: Any) -> None:
    """The smallest form: everything that was ignored was the object."""
    write(mask(0, 0, 0, 255), mask(0))
    numbers, sentence = score("semantic", "--classes", 2)
    assert numbers is None and "--gt gt holds 0 and 255 alone" in sentence


@pytest.mark.parametrize(("classes", "value"), [(1, 0), (2, 0), (2, 1), (3, 1), (19, 17)])
def test_an_ignored_value_that_leaves_one_class_must_be_meant(score: Any, classes: int, value: int) -> None:
    write(mask(value, 255))
    numbers, sentence = score("semantic", "--classes", classes)
    assert numbers is None and f"holds {value} and 255 alone" in sentence
    assert "if it is a class, store it as" in sentence and "masks as 0 and 1" in sentence
    assert sentence.endswith("if it is void, give --ignore 255") and "256" not in sentence
    # both ways out that the sentence names
    numbers, remark = score("semantic", "--classes", classes, "--ignore", 255)
    assert numbers["ignored_percent"] == 50
    assert numbers["absent"] == [number for number in range(classes) if number != value]
    if classes > 1:
        assert f"{classes - 1} of {classes} classes ha" in remark
        assert "50 % of the ground truth's pixels are 255, which is ignored" in remark
    below = f"--classes {classes}" if classes > 2 else "--classes 2"
    assert below in sentence
    write(mask(value, 1 - value if value < 2 else value + 1))
    numbers, _ = score("semantic", *below.split())
    assert (numbers["miou"], numbers["ignored_percent"]) == (100, 0)


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 255)])
def test_an_ignored_value_that_is_a_class_must_be_meant(score: Any, values: tuple[int, ...]) -> None:
    write(mask(*values))
    numbers, sentence = score("semantic", "--classes", 300)
    assert numbers is None and "holds 255, which is a class by --classes 300" in sentence
    assert "if it is a class, give --ignore -1;" in sentence
    write(mask(0, 1, 255))
    for ignored, scored in ((-1, 3), (255, 2)):
        numbers, _ = score("semantic", "--classes", 300, "--ignore", ignored)
        assert sum(value is not None for value in numbers["iou"].values()) == scored
    write(mask(0, 1))
    assert score("semantic", "--classes", 300)[0]["miou"] == 100


NAMED = [
    ((0, 1, 2), 3, ""),
    ((0, 1, 255), 2, ""),
    ((0, 2), 3, "1 of 3 classes has no pixel in the ground truth: '1'."),
    (
        (0, 1, 255),
        3,
        "1 of 3 classes has no pixel in the ground truth: '2'. "
        "33.3 % of the ground truth's pixels are 255, which is ignored.",
    ),
    ((0, 1, *4 * [255]), 2, "66.7 % of the ground truth's pixels are 255, which is ignored."),
]


@pytest.mark.parametrize(("values", "classes", "expected"), NAMED)
def test_absent_classes_and_ignored_pixels_are_named(
    score: Any, values: tuple[int, ...], classes: int, expected: str
) -> None:
    write(mask(*values))
    numbers, remark = score("semantic", "--classes", classes)
    assert remark == expected
    assert numbers["absent"] == [number for number in range(classes) if number not in values]
    assert numbers["ignored_percent"] == pytest.approx(100 * np.mean(np.array(values) == 255))


def test_the_ignored_class_is_not_absent(score: Any) -> None:
    write(mask(1, 2), mask(1, 2))
    numbers, remark = score("semantic", "--classes", 3, "--ignore", 0)
    assert (numbers["absent"], remark) == ([], "")


VOID = {
    "semantic": (mask(255), "every label is 255, which is ignored"),
    "depth": (np.zeros((6, 8), np.uint16), "no pixel of the ground truth has a depth"),
    "normals": (np.zeros((6, 8, 3), np.uint8), "no pixel of the ground truth has a normal"),
}


@pytest.mark.parametrize("task", VOID)
def test_a_ground_truth_without_any_is_called_that(score: Any, task: str) -> None:
    truth, expected = VOID[task]
    write(truth)
    numbers, sentence = score(task, *(["--classes", 2] if task == "semantic" else []))
    assert numbers is None and sentence.startswith(f"nothing was scored: {expected}")


def test_depth_beyond_the_caps_is_named(score: Any) -> None:
    """Millimetres that are read as 1/256 m; pixels without depth do not count for this."""
    depth = np.zeros((6, 8), np.uint16)
    depth[:3], depth[3, :4] = 30_000, 2560
    write(depth)
    numbers, remark = score("depth")
    assert numbers["ignored_percent"] == pytest.approx(100 * 24 / 28)
    assert remark.startswith(
        "85.7 % of the ground truth's pixels that have depth are not between 0.001 and 80"
    )
    assert "--scale 256" in remark
    numbers, remark = score("depth", "--scale", 1000)
    assert (numbers["ignored_percent"], remark) == (0, "")


def metres(value: float, scale: float = 256) -> np.ndarray:
    """Depth around a value, as a 16-bit PNG has it; the first row has none."""
    depth = np.linspace(0.8, 1.2, 48).reshape(6, 8) * value * scale
    depth[0] = 0
    return depth.round().astype(np.uint16)


FACTORS = [
    (metres(4), metres(4), ""),
    (metres(4), metres(40), ""),  # wrong, and in the same unit
    (metres(60), metres(4), ""),
    (metres(4, 1000), metres(4, 1), "about 1000 times smaller"),
    (metres(0.05), metres(50), "about 1000 times larger"),
    (metres(4), metres(4, 1), "about 300 times smaller"),
    (metres(2), metres(200), "about 100 times larger"),  # cm in place of m
]


@pytest.mark.parametrize(("truth", "prediction", "expected"), FACTORS)
def test_depth_in_two_units_is_named(
    score: Any, truth: np.ndarray, prediction: np.ndarray, expected: str
) -> None:
    prediction[0] = prediction[1]
    for name in ("0.png", "1.png", "2.png"):
        write(truth, prediction, name)
    write(np.where(np.arange(48).reshape(6, 8) == 9, truth, 0).astype(np.uint16), prediction, "sparse.png")
    numbers, remark = score("depth", "--max", 1000)
    assert numbers["images"] == 4 and (expected in remark) and bool(remark) == bool(expected)
    if expected:
        assert remark.startswith("The predicted depth is") and "--scale" in remark
        assert score("depth", "--max", 1000, "--median-scaling")[1] == ""


def test_images_and_pixels_without_normals_are_counted(score: Any) -> None:
    normals = np.zeros((6, 8, 3), np.uint8)
    for name in ("1.png", "2.png"):
        write(normals, name=name)
    write(normals + np.array([127, 127, 255], np.uint8))
    numbers, remark = score("normals")
    assert numbers["ignored_percent"] == pytest.approx(200 / 3)
    assert remark == (
        "66.7 % of the ground truth's pixels have no normal. In 2 of 3 images of it no pixel counts."
    )


def panoptic(truth: dict[int, tuple[int, int]], predicted: dict[int, int]) -> list[str]:
    """An image whose rows are segments: id -> (category, crowd), and id -> category; 0 is void."""
    for side, described in (("gt", truth), ("pred", {id_: (c, 0) for id_, c in predicted.items()})):
        ids = np.repeat(np.array([*described, *(6 - len(described)) * [0]]), 8).reshape(6, 8)
        Path(side).mkdir(exist_ok=True)
        write_ids(Path(side, "a.png"), ids)
        segments = [{"id": id_, "category_id": c, "iscrowd": crowd} for id_, (c, crowd) in described.items()]
        annotation = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
        categories = [{"id": n, "name": f"class {n}", "isthing": 1} for n in (1, 2, 3)]
        Path(f"{side}.json").write_text(json.dumps({"annotations": [annotation], "categories": categories}))
    return [
        "score",
        "panoptic",
        "--gt",
        "gt.json",
        "--gt-dir",
        "gt",
        "--pred",
        "pred.json",
        "--pred-dir",
        "pred",
    ]


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ({}, {5: 1}),  # all void, and a segment is predicted
        ({}, {}),
        ({7: (1, 1)}, {5: 1}),  # a crowd alone, and its class is predicted
        ({7: (1, 1)}, {5: 2}),  # a crowd alone, and another class is predicted
    ],
)
def test_segments_of_void_or_crowds_alone_are_called_that(
    truth: dict[int, tuple[int, int]], predicted: dict[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(panoptic(truth, predicted)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == (
        "dejavu: nothing was scored: the ground truth has no segment, all of it is void or a crowd\n"
    )


def test_classes_without_a_segment_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A class that has a crowd alone has none, and neither has one that is only predicted."""
    assert main(panoptic({7: (1, 0), 8: (2, 1)}, {5: 1, 6: 3})) == 0
    out, err = capsys.readouterr()
    numbers = json.loads(out)
    assert numbers["absent"] == ["class 2", "class 3"]
    assert numbers["ignored_percent"] == pytest.approx(500 / 6)
    assert err == (
        "dejavu: 2 of 3 classes have no pixel in the ground truth: 'class 2', 'class 3'. "
        "83.3 % of the ground truth's pixels are void or of a crowd.\n"
    )
