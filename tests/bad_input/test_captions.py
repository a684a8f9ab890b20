"""COCO's captions: malformed, empty, missing, or of images that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import layouts

from dejavu.commands import main

from .checks import Refused

PREPARE = ["prepare", "coco_panoptic", "--scale", "open"]
ANNOTATIONS = Path("data/open/raw/coco_panoptic/annotations")
Items = list[dict[str, Any]]


@pytest.fixture
def coco(empty: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Two images a split with two captions each, downloaded."""
    for split in ("train", "val"):
        layouts.coco_json(ANNOTATIONS.parent, split, ["a", "b"])
        items = [{"id": n, "image_id": n // 2, "caption": f"Caption {n}."} for n in range(4)]
        (ANNOTATIONS / f"captions_{split}2017.json").write_text(json.dumps({"annotations": items}))
    assert main(["download", "coco_panoptic", "--scale", "open"]) == 0
    capsys.readouterr()
    return empty


def put(**values: Any) -> Callable[[Items], Any]:
    return lambda items: items[1].update(values)


ITEMS: dict[str, tuple[Callable[[Items], Any], str]] = {
    "of an unknown image": (put(image_id=5), "annotation 1 describes image 5, which panoptic_val2017.json"),
    "of an image by a text": (put(image_id="0"), "annotation 1 describes image 0"),
    "of no image": (put(image_id=None), "annotation 1 has None as 'image_id'"),
    "of a list": (put(image_id=[0]), "'image_id'"),
    "of true": (put(image_id=True), "'image_id'"),
    "of a fraction": (put(image_id=0.5), "0.5 as 'image_id'"),
    "a number": (put(caption=3), "annotation 1 has 3 as 'caption', which must be a text"),
    "null": (put(caption=None), "'caption'"),
    "a list of texts": (put(caption=["a"]), "'caption'"),
    "no annotation": (lambda items: items.append(7), "annotation 4"),  # type: ignore[arg-type]
    "missing": (lambda items: items.__delitem__(slice(2)), "no caption of image 0, which panoptic_val"),
    "all missing": (list.clear, "no caption of image 0"),
    "only empty ones": (
        lambda items: [item.update(caption=" \n") for item in items[2:]],
        "only empty captions of image 1",
    ),
}
TEXTS = {
    "no bytes": "",
    "half": '{"annotations": [{"im',
    "a list": "[]",
    "no annotations": "{}",
    "null": "null",
}


@pytest.mark.parametrize("how", ITEMS)
def test_captions_that_do_not_fit_the_images_are_named(coco: Path, how: str, refused: Refused) -> None:
    path = ANNOTATIONS / "captions_val2017.json"
    content = json.loads(path.read_text())
    ITEMS[how][0](content["annotations"])
    path.write_text(json.dumps(content))
    refused(*PREPARE, named=("captions_val2017.json", ITEMS[how][1]))


@pytest.mark.parametrize("how", TEXTS)
def test_a_file_of_no_captions_is_named(coco: Path, how: str, refused: Refused) -> None:
    (ANNOTATIONS / "captions_train2017.json").write_text(TEXTS[how])
    refused(*PREPARE, named=("captions_train2017.json",))


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_split_without_captions_is_named(coco: Path, split: str, refused: Refused) -> None:
    (ANNOTATIONS / f"captions_{split}2017.json").unlink()
    refused(*PREPARE, named=(f"captions_{split}2017.json is missing", "unpack both of them, or none"))


def test_what_is_spoilt_above_is_right_before(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(PREPARE) == 0
