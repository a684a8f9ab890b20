"""COCO's panoptic JSON and PNGs: malformed, with wrong ids, or leading elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dejavu.commands import main
from dejavu.datasets.formats.coco import write_ids

from .checks import Refused
from .images import BROKEN, PLACES, encoded, no_plain_file

Json = dict[str, Any]
SCORE = [
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


@pytest.fixture
def coco(empty: Path) -> Path:
    """Two images with two segments each, and predictions that equal them."""
    ids = np.zeros((6, 8), np.int32)
    ids[:3], ids[4:] = 7, 1000
    segments = [{"id": 7, "category_id": 1, "iscrowd": 0}, {"id": 1000, "category_id": 17, "iscrowd": 0}]
    for side in ("gt", "pred"):
        Path(side).mkdir()
        for name in ("a", "b"):
            write_ids(Path(side, f"{name}.png"), ids)
        content: Json = {
            "images": [{"id": number, "file_name": f"{name}.jpg"} for number, name in enumerate("ab")],
            "annotations": [
                {"image_id": number, "file_name": f"{name}.png", "segments_info": segments}
                for number, name in enumerate("ab")
            ],
            "categories": [
                {"id": 1, "name": "person", "isthing": 1, "color": [1, 2, 3]},
                {"id": 17, "name": "sky", "isthing": 0, "color": [4, 5, 6]},
            ],
        }
        Path(f"{side}.json").write_text(json.dumps(content))
    return empty


def test_what_is_spoilt_below_is_right_before(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SCORE) == 0
    assert '"pq": 100.0' in capsys.readouterr().out


TEXTS = {
    "no bytes": "",
    "half": '{"annotations": [{"image_id": 0, "file_na',
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "a text": '"annotations"',
    "NaN": "NaN",
    "no keys": "{}",
    "deep": '{"annotations": ' + "[" * 100_000,
    "a number without end": '{"annotations": ' + "1" * 5000 + "}",
    "binary": "\x00\x01\x02",
    "annotations that are a mapping": '{"annotations": {}, "categories": []}',
    "JSON lines": '{"image_id": 1}\n{"image_id": 2}\n',
    "a page": "<!doctype html>",
}


@pytest.mark.parametrize("how", TEXTS)
@pytest.mark.parametrize("side", ["gt", "pred"])
def test_a_file_that_is_no_coco_json(coco: Path, side: str, how: str, refused: Refused) -> None:
    Path(f"{side}.json").write_text(TEXTS[how])
    refused(*SCORE, named=(f"{side}.json",))


def segment(content: Json) -> Json:
    found: Json = content["annotations"][1]["segments_info"][0]
    return found


def set_segment(key: str, value: Any) -> Callable[[Json], Any]:
    return lambda content: segment(content).update({key: value})


def set_entry(key: str, value: Any) -> Callable[[Json], Any]:
    return lambda content: content["annotations"][1].update({key: value})


def set_category(key: str, value: Any) -> Callable[[Json], Any]:
    return lambda content: content["categories"][1].update({key: value})


BOTH: dict[str, tuple[Callable[[Json], Any], str]] = {
    "a segment of no pixel": (set_segment("id", 8), "b.png"),
    "the id of void": (set_segment("id", 0), "segment 0"),
    "a negative id": (set_segment("id", -7), "segment -7"),
    "an id beyond three bytes": (set_segment("id", 2**24), str(2**24)),
    "an id beyond 64 bits": (set_segment("id", 2**70), str(2**70)),
    "an id that is text": (set_segment("id", "7"), "'id'"),
    "an id that is a fraction": (set_segment("id", 7.5), "7.5"),
    "an id that is true": (set_segment("id", True), "'id'"),
    "an id that is a list": (set_segment("id", [7]), "'id'"),
    "no id": (lambda content: segment(content).pop("id"), "'id'"),
    "an id twice": (set_segment("id", 1000), "1000"),
    "an unknown category": (set_segment("category_id", 2), "category_id 2"),
    "a category that is text": (set_segment("category_id", "person"), "category_id"),
    "no category": (lambda content: segment(content).pop("category_id"), "category_id"),
    "a crowd that is a number": (set_segment("iscrowd", 2), "iscrowd"),
    "a crowd that is text": (set_segment("iscrowd", "no"), "iscrowd"),
    "a crowd that is a list": (set_segment("iscrowd", []), "iscrowd"),
    "a segment that is a number": (lambda c: c["annotations"][1]["segments_info"].append(3), "annotation 1"),
    "a segment left out": (lambda c: c["annotations"][1]["segments_info"].pop(), "b.png"),
    "no segments": (lambda c: c["annotations"][1].pop("segments_info"), "segments_info"),
    "an annotation that is null": (lambda c: c["annotations"].append(None), "annotation 2"),
    "an image twice": (set_entry("image_id", 0), "image 0"),
    "a PNG twice": (set_entry("file_name", "a.png"), "a.png"),
    "an image of no other side": (set_entry("image_id", 5), "image"),
    "an image that is a list": (set_entry("image_id", [1]), "image_id"),
    "an image that is null": (set_entry("image_id", None), "image_id"),
    "a PNG that is not there": (set_entry("file_name", "c.png"), "c.png"),
    "a PNG above": (set_entry("file_name", "../a.png"), "'../a.png'"),
    "a PNG below and above": (set_entry("file_name", "x/../../a.png"), "x/../../a.png"),
    "an absolute PNG": (set_entry("file_name", "/etc/passwd"), "'/etc/passwd'"),
    "a PNG behind a backslash": (set_entry("file_name", "..\\a.png"), "leads out"),
    "a PNG without a name": (set_entry("file_name", ""), "file_name"),
    "a PNG of a name with NUL": (set_entry("file_name", "a\0.png"), "a"),
    "a PNG of a long name": (set_entry("file_name", "x" * 300), "x" * 300),
    "a PNG that is a folder": (set_entry("file_name", "."), "file_name"),
    "an image without a file": (lambda c: c["images"][1].pop("file_name"), "image 1"),
    "an image file above": (lambda c: c["images"][1].update(file_name="../../x"), "../../x"),
    "two images of one id": (lambda c: c["images"][1].update(id=0), "id 0"),
    "images that are a text": (lambda c: c.update(images="ab"), "images"),
}
TRUTH: dict[str, tuple[Callable[[Json], Any], str]] = {
    "no categories": (lambda content: content.pop("categories"), "categories"),
    "no category at all": (lambda content: content["categories"].clear(), "0 categories"),
    "too many categories": (
        lambda content: content.update(categories=[{"id": i, "name": "x", "isthing": 1} for i in range(300)]),
        "300 categories",
    ),
    "a category twice": (set_category("id", 1), "the id 1"),
    "a category without an id": (set_category("id", None), "'id'"),
    "a name that is a number": (set_category("name", 5), "'name'"),
    "neither thing nor stuff": (set_category("isthing", None), "isthing"),
    "a thing that is a list": (set_category("isthing", [1]), "isthing"),
    "a colour of two": (set_category("color", [1, 2]), "color"),
    "a colour out of range": (set_category("color", [1, 2, 256]), "color"),
    "a colour that is text": (set_category("color", "red"), "color"),
    "no annotations": (lambda content: content["annotations"].clear(), "annotations"),
}


@pytest.mark.parametrize(
    ("side", "how"),
    [*((side, how) for side in ("gt", "pred") for how in BOTH), *(("gt", how) for how in TRUTH)],
)
def test_a_malformed_json_is_named_with_its_place(coco: Path, side: str, how: str, refused: Refused) -> None:
    change, named = (BOTH | TRUTH)[how]
    content = json.loads(Path(f"{side}.json").read_text())
    change(content)
    Path(f"{side}.json").write_text(json.dumps(content))
    refused(*SCORE, named=(named,))


@pytest.mark.parametrize("how", [how for how in BROKEN if how != "a flipped bit"])
def test_a_broken_map_is_named(coco: Path, how: str, refused: Refused) -> None:
    path = Path("pred/b.png")
    path.write_bytes(BROKEN[how](path.read_bytes()))
    refused(*SCORE, named=("pred/b.png",))


@pytest.mark.parametrize("how", PLACES)
def test_a_map_that_is_no_plain_file_is_named(coco: Path, how: str, refused: Refused) -> None:
    no_plain_file(Path("gt/b.png"), how)
    refused(*SCORE, named=("gt/b.png",))


KINDS = {
    "grey": encoded("L", (8, 6)),
    "16-bit grey": encoded("I;16", (8, 6)),
    "a palette": encoded("P", (8, 6)),
    "transparency": encoded("RGBA", (8, 6)),
    "JPEG": encoded("RGB", (8, 6), "JPEG"),
    "another size": encoded("RGB", (6, 8)),
    "void alone": encoded("RGB", (8, 6)),
    "an id that the JSON lacks": encoded("RGB", (8, 6), value=1),
}


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("side", ["gt", "pred"])
def test_another_kind_of_map_is_named(coco: Path, side: str, how: str, refused: Refused) -> None:
    Path(side, "b.png").write_bytes(KINDS[how])
    refused(*SCORE, named=(f"{side}/b.png",))
