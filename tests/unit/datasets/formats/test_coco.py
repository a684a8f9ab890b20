"""COCO's panoptic format: the official sample files, what is written, and what is refused."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.datasets.formats import coco
from dejavu.datasets.formats.coco import Category, Entry, Panoptic, check_ids, read_ids, read_panoptic
from dejavu.errors import DejavuError
from dejavu.tasks.segments import Segment

CATEGORIES = (Category(7, "dog", True, (1, 2, 3)), Category(40, "sky", False, (4, 5, 6)))
SMALL = Panoptic(
    CATEGORIES,
    {
        3: Entry(3, "c.png", {300: Segment(0), 70_000: Segment(0, crowd=True), 5: Segment(1)}),
        "b": Entry("b", "b.png", {}),
    },
    {3: "c.jpg", "b": "b.jpg"},
)
IDS = np.array([[0, 300, 300], [70_000, 5, 0]])


@pytest.fixture
def samples(mirror: Path) -> Path:
    folder = mirror / "coco_panoptic_samples"
    if not folder.is_dir():
        pytest.skip(f"no samples of COCO at {folder}")
    return folder


# official files


def test_official_samples_are_read_whole(samples: Path) -> None:
    said = json.loads((samples / "panoptic_gt.json").read_text())
    panoptic = read_panoptic(samples / "panoptic_gt.json")
    assert [c.id for c in panoptic.categories] == [c["id"] for c in said["categories"]]
    assert sum(c.thing for c in panoptic.categories) == 80 and len(panoptic.categories) == 133
    all_ = [segment for entry in panoptic.entries.values() for segment in entry.segments.values()]
    assert (len(all_), sum(segment.crowd for segment in all_)) == (56, 3)  # as its SOURCE.txt says
    assert panoptic.images[39769] == "000000039769.jpg"
    for annotation in said["annotations"]:
        entry = panoptic.entries[annotation["image_id"]]
        assert entry.file_name == annotation["file_name"]
        for segment in annotation["segments_info"]:
            mine = entry.segments[segment["id"]]
            assert panoptic.categories[mine.category].id == segment["category_id"]


def test_ids_areas_and_boxes_of_official_samples_are_those_that_the_json_says(samples: Path) -> None:
    for annotation in json.loads((samples / "panoptic_gt.json").read_text())["annotations"]:
        ids = read_ids(samples / "panoptic_gt" / annotation["file_name"])
        assert ids.dtype == np.int32
        measured = {id_: (extent.area, list(extent.box)) for id_, extent in coco.extents(ids).items()}
        assert measured == {s["id"]: (s["area"], s["bbox"]) for s in annotation["segments_info"]}


@pytest.mark.parametrize("name", ["pred_identical", "pred_mild", "pred_harsh"])
def test_predictions_have_the_categories_of_the_ground_truth(samples: Path, name: str) -> None:
    truth = read_panoptic(samples / "panoptic_gt.json")
    predicted = read_panoptic(samples / f"{name}.json", truth.categories)
    assert predicted.entries.keys() == truth.entries.keys() and predicted.images == {}
    for entry in predicted.entries.values():
        path = samples / name / entry.file_name
        check_ids(path, read_ids(path), entry)
    with pytest.raises(DejavuError, match=rf"{name}\.json .*no list 'categories'"):
        read_panoptic(samples / f"{name}.json")


# what is written


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    for _ in range(2):
        coco.write_panoptic(tmp_path / "a.json", SMALL, {3: coco.extents(IDS)})
        first = (tmp_path / "a.json").read_bytes()
    assert read_panoptic(tmp_path / "a.json") == SMALL
    coco.write_panoptic(tmp_path / "b.json", read_panoptic(tmp_path / "a.json"))
    assert read_panoptic(tmp_path / "b.json") == SMALL
    crowd = json.loads(first)["annotations"][0]["segments_info"][1]
    assert crowd == {"id": 70_000, "category_id": 7, "iscrowd": 1, "area": 1, "bbox": [0, 1, 1, 1]}
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json"}


def test_ids_of_three_bytes_are_kept(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 2**24, (20, 30))
    ids[0, :2] = 0, 2**24 - 1
    coco.write_ids(tmp_path / "a.png", ids)
    np.testing.assert_array_equal(read_ids(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("wrong", [-1, 2**24])
def test_ids_that_do_not_fit_are_refused(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(DejavuError, match=r"a\.png cannot hold"):
        coco.write_ids(tmp_path / "a.png", np.array([[0, wrong]]))
    assert not list(tmp_path.iterdir())


# what is refused


def test_ids_are_void_or_the_entrys_and_all_occur() -> None:
    path, entry = Path("c.png"), SMALL.entries[3]
    check_ids(path, IDS, entry)  # single pixels among them
    check_ids(path, np.zeros((4, 4), np.int32), SMALL.entries["b"])
    check_ids(path, np.full((1, 1), 5), Entry(1, "c.png", {5: Segment(0)}))
    with pytest.raises(DejavuError, match=r"c\.png has pixels of segment 6,"):
        check_ids(path, np.where(IDS == 0, 6, IDS), entry)
    with pytest.raises(DejavuError, match=r"c\.png has no pixel of segment 5,"):
        check_ids(path, np.where(IDS == 5, 300, IDS), entry)
    with pytest.raises(DejavuError, match=r"c\.png has no pixel of segment 5,"):
        check_ids(path, np.zeros((0, 0), np.int32), entry)


def at(*keys: str | int) -> Callable[[Any], Any]:
    """What follows these keys in a document."""

    def found(document: Any) -> Any:
        for key in keys:
            document = document[key]
        return document

    return found


SEGMENTS = at("annotations", 0, "segments_info")
FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no annotations": (lambda d: d.pop("annotations"), "no list 'annotations'"),
    "annotations are none": (lambda d: d.update(annotations={}), "no list 'annotations'"),
    "images are none": (lambda d: d.update(images={}), "no list 'images'"),
    "no image_id": (lambda d: at("annotations", 1)(d).pop("image_id"), "annotation 1 has no 'image_id'"),
    "image_id is a list": (lambda d: at("annotations", 1)(d).update(image_id=[]), r"has \[\] as 'image_id'"),
    "annotation is a text": (lambda d: d["annotations"].append("x"), "annotation 2 has no 'image_id'"),
    "image twice": (lambda d: at("annotations", 1)(d).update(image_id=3), "two annotations of image 3"),
    "png twice": (lambda d: at("annotations", 1)(d).update(file_name="c.png"), "file_name 'c.png'"),
    "no file_name": (lambda d: at("annotations", 0)(d).pop("file_name"), "annotation 0 has no 'file_name'"),
    "file elsewhere": (lambda d: at("annotations", 0)(d).update(file_name="../x.png"), "leads out"),
    "no segments": (lambda d: at("annotations", 0)(d).pop("segments_info"), "has no 'segments_info'"),
    "segment is a number": (lambda d: SEGMENTS(d).append(5), "a segment, has no 'id'"),
    "segment is void": (lambda d: SEGMENTS(d)[0].update(id=0), "segment 0 has an id that is not one of 1"),
    "id is true": (lambda d: SEGMENTS(d)[0].update(id=True), "has True as 'id'"),
    "id too large": (lambda d: SEGMENTS(d)[0].update(id=2**24), "segment 16777216 has an id"),
    "segment twice": (lambda d: SEGMENTS(d)[0].update(id=5), r"\(image 3\), segment 5 is there twice"),
    "no category": (lambda d: SEGMENTS(d)[0].pop("category_id"), "segment 300 has no 'category_id'"),
    "unknown category": (lambda d: SEGMENTS(d)[0].update(category_id=8), "segment 300 has the category_id 8"),
    "crowd is 2": (lambda d: SEGMENTS(d)[0].update(iscrowd=2), "segment 300 has 2 as 'iscrowd'"),
    "no categories": (lambda d: d["categories"].clear(), "has 0 categories"),
    "category twice": (lambda d: d["categories"][1].update(id=7), "two categories with the id 7"),
    "no isthing": (lambda d: d["categories"][1].pop("isthing"), "category 1 has None as 'isthing'"),
    "no colour": (lambda d: d["categories"][1].update(color=[1, 2, 256]), "as 'color'"),
    "image listed twice": (lambda d: d["images"][1].update(id=3), "two images with the id 3"),
    "image without name": (lambda d: d["images"][1].pop("file_name"), "image 1 has no 'file_name'"),
}  # fmt: skip


@pytest.mark.parametrize("how", FAULTS)
def test_a_malformed_json_is_one_sentence_with_its_place(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.json"
    coco.write_panoptic(path, SMALL)
    document = json.loads(path.read_text())
    change, message = FAULTS[how]
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DejavuError, match=message) as error:
        read_panoptic(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("[]", "no JSON object"), (None, "is missing")]
)
def test_what_is_no_json_object_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DejavuError, match=rf"a\.json .*{message}"):
        read_panoptic(path)


def sixteen_bits(path: Path) -> None:
    """An RGB PNG of 16 bits, which Pillow reads as one of 8."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (2).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    rows = zlib.compress(bytes(2 * (1 + 2 * 6)))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["L", "P", "RGBA", "JPEG", "16 bits"])
def test_what_is_no_rgb_png_is_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.png"
    if form == "16 bits":
        sixteen_bits(path)
    else:
        image = Image.new("RGB" if form == "JPEG" else form, (4, 4))
        image.save(path, format="JPEG" if form == "JPEG" else "PNG")
    with pytest.raises(DejavuError, match=r"a\.png (is|cannot be read).*, and 8-bit RGB is needed"):
        read_ids(path)


def test_a_png_that_is_cut_off_or_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(DejavuError, match=r"a\.png is missing"):
        read_ids(path)
    coco.write_ids(path, IDS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DejavuError, match=r"a\.png cannot be read"):
        read_ids(path)
