"""`dejavu score panoptic`: published numbers through the command, and sentences for bad files."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import main, score
from dejavu.datasets.formats.coco import write_ids
from dejavu.errors import DejavuError


def run(folder: Path, prediction: str = "pred") -> None:
    """Score `pred.json` and `pred/` below a folder against `gt.json` and `gt/`."""
    parser = argparse.ArgumentParser()
    score.add_arguments(parser)
    files = (f"--{side}{kind}" for side in ("gt", "pred") for kind in ("", "-dir"))
    places = ("gt.json", "gt", f"{prediction}.json", prediction)
    options = [
        part for pair in zip(files, (str(folder / place) for place in places), strict=True) for part in pair
    ]
    args = parser.parse_args(["panoptic", *options])
    args.run(args)


def write(
    folder: Path, side: str, maps: dict[str, np.ndarray], classes: dict[int, int], things: dict[int, int]
) -> None:
    """COCO's files of maps of ids by image; `classes` says an id's category, `things` of these 0 or 1."""
    (folder / side).mkdir(parents=True, exist_ok=True)
    annotations = []
    for name, ids in maps.items():
        write_ids(folder / side / f"{name}.png", ids)
        segments = [{"id": id_, "category_id": classes[id_]} for id_ in np.unique(ids[ids > 0]).tolist()]
        segments = [segment | {"iscrowd": 0} for segment in segments] if side == "gt" else segments
        annotations.append({"image_id": name, "file_name": f"{name}.png", "segments_info": segments})
    categories = [{"id": id_, "name": f"class {id_}", "isthing": thing} for id_, thing in things.items()]
    content = {"annotations": annotations} | ({"categories": categories} if side == "gt" else {})
    (folder / f"{side}.json").write_text(json.dumps(content))


@pytest.fixture
def coco(mirror: Path, tmp_path: Path) -> Path:
    """COCO's sample images, under the names that `run` wants."""
    source = mirror / "coco_panoptic_samples"
    if not (source / "expected_pq.json").is_file():
        pytest.skip(f"no {source}")
    for name in ("gt", "pred_mild", "pred_harsh", "pred_identical"):
        there = f"panoptic_{name}" if name == "gt" else name
        shutil.copytree(source / there, tmp_path / name)
        shutil.copy(source / f"{there}.json", tmp_path / f"{name}.json")
    shutil.copy(source / "expected_pq.json", tmp_path)
    return tmp_path


@pytest.mark.parametrize("prediction", ["pred_identical", "pred_mild", "pred_harsh"])
def test_equals_the_official_evaluation(
    coco: Path, prediction: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """expected_pq.json was made by panopticapi: shares, where we print percent."""
    expected = json.loads((coco / "expected_pq.json").read_text())[prediction]
    run(coco, prediction)
    found = json.loads(capsys.readouterr().out)
    categories = json.loads((coco / "gt.json").read_text())["categories"]
    assert (found["task"], found["images"], len(found["classes"])) == ("panoptic", 3, 133)
    for group, suffix, kinds in (("All", "", {0, 1}), ("Things", "_th", {1}), ("Stuff", "_st", {0})):
        for key in ("pq", "sq", "rq"):
            assert found[key + suffix] / 100 == pytest.approx(expected[group][key], abs=1e-6)
        occurring = [c for c in categories if found["classes"][c["name"]]["pq"] is not None]
        assert sum(c["isthing"] in kinds for c in occurring) == expected[group]["n"]
    assert {str(c["id"]) for c in occurring} == set(expected["per_class"])
    for category in occurring:
        ours, theirs = found["classes"][category["name"]], expected["per_class"][str(category["id"])]
        assert [ours[key] for key in ("tp", "fp", "fn")] == [theirs[key] for key in ("tp", "fp", "fn")]
        for key in ("pq", "sq", "rq"):
            assert ours[key] / 100 == pytest.approx(theirs[key], abs=1e-6)


def deeplab2_maps(folder: Path, case: dict[str, Any], image: str) -> dict[str, np.ndarray]:
    """An image's ids, category * 1000 + value of the instance's pixel; 0 where the category is 0."""

    def grey(name: str) -> np.ndarray:
        with Image.open(folder / name) as opened:
            return np.array(opened.convert("L"), np.int64)

    with Image.open(folder / f"{image}_pred_class.png") as opened:
        colours = np.array(opened.convert("RGB"))
    predicted = np.zeros(colours.shape[:2], np.int64)
    for name, colour in case["class_colours_of_pred_class_png"].items():
        predicted[(colours == colour).all(-1)] = int(name.split()[0])
    (truth,) = (name for name in case["gt_instance_value_to_class"] if name.startswith(image))
    values = grey(truth)
    table = np.full(256, -1)
    for value, category in case["gt_instance_value_to_class"][truth].items():
        table[int(value)] = category
    assert (table[values] >= 0).all()
    pairs = {"gt": (table[values], values), "pred": (predicted, grey(f"{image}_pred_instance.png"))}
    return {side: np.where(kind > 0, kind * 1000 + which, 0) for side, (kind, which) in pairs.items()}


@pytest.mark.parametrize("number", [0, 1])
def test_equals_deeplab2s_published_numbers(
    mirror: Path, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tests expect them of these maps; they are means over the classes that it lists."""
    folder = mirror / "pq_deeplab2_cases"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    content = json.loads((folder / "expected.json").read_text())
    case = content["cases"][number]
    images = {image: deeplab2_maps(folder, content, image) for image in case["images"]}
    for side in ("gt", "pred"):
        maps = {image: sides[side] for image, sides in images.items()}
        ids = {int(id_) for ids in maps.values() for id_ in np.unique(ids)}
        write(tmp_path, side, maps, {id_: id_ // 1000 for id_ in ids}, dict.fromkeys(range(1, 7), 1))
    run(tmp_path)
    found = json.loads(capsys.readouterr().out)["classes"]
    listed = [found[f"class {id_}"] for id_ in case["classes"]]
    for key, unit in {"pq": 100, "sq": 100, "rq": 100, "tp": 1, "fp": 1, "fn": 1}.items():
        assert np.mean([each[key] for each in listed]) / unit == pytest.approx(case[key], abs=1e-6)


def test_equals_deeplab2s_published_array_case(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its class 9 is ignored: instance 0 of it is void, others are segments of a class that is not listed."""
    path = mirror / "pq_deeplab2_cases" / "expected.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    case = json.loads(path.read_text())["array_case"]
    for side in ("gt", "pred"):
        kind, which = (np.array(case[f"{side}_{what}"]) for what in ("class", "instance"))
        ids = 1000 * kind + which + 1
        ids[(ids == 9001) & (side == "gt")] = 0
        known = {id_: id_ // 1000 for id_ in ids.ravel().tolist()}
        write(tmp_path, side, {"array": ids}, known, dict.fromkeys((0, 1, 2, 9), 1))
    run(tmp_path)
    found = json.loads(capsys.readouterr().out)["classes"]
    listed = [found[f"class {id_}"] for id_ in range(case["num_classes"])]
    for key, unit in {"pq": 100, "sq": 100, "rq": 100, "tp": 1, "fp": 1, "fn": 1}.items():
        assert np.mean([each[key] for each in listed]) / unit == pytest.approx(case[key], abs=1e-6)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two small images: a car of three bytes' id is found, another missed, and sky is found."""
    car, second, sky = 16_000_001, 300, 70_000
    truth = np.repeat([[car, second, sky, 0]], 3, 0)
    classes = {car: 1, second: 1, sky: 2}
    for side, ids in (("gt", truth), ("pred", np.where(truth == second, 0, truth))):
        write(tmp_path, side, {"a": ids, "b": ids}, classes, {1: 1, 2: 0})
    return tmp_path


def test_prints_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the whole command line."""
    options = ["--gt", "gt.json", "--gt-dir", "gt", "--pred", "pred.json", "--pred-dir", "pred"]
    options = [option if option.startswith("--") else str(files / option) for option in options]
    assert main(["score", "panoptic", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    car = {"pq": 200 / 3, "sq": 100.0, "rq": 200 / 3, "tp": 2, "fp": 0, "fn": 2}
    sky = {"pq": 100.0, "sq": 100.0, "rq": 100.0, "tp": 2, "fp": 0, "fn": 0}
    assert found["classes"]["class 1"] == pytest.approx(car)
    assert found["classes"]["class 2"] == sky
    assert (found["images"], found["pq_th"], found["pq_st"]) == (2, pytest.approx(200 / 3), 100)


def test_the_order_of_annotations_and_the_names_of_files_do_not_matter(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(files)
    expected = capsys.readouterr().out
    (files / "pred" / "a.png").rename(files / "pred" / "other.png")
    edit(files / "pred.json", lambda content: content["annotations"][0].update(file_name="other.png"))
    edit(files / "pred.json", lambda content: content["annotations"].reverse())
    run(files)
    assert capsys.readouterr().out == expected


def test_categories_of_one_name_are_told_apart(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(files / "gt.json", lambda content: [c.update(name="thing") for c in content["categories"]])
    run(files)
    assert list(json.loads(capsys.readouterr().out)["classes"]) == ["thing (1)", "thing (2)"]


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def ids_of(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with Image.open(path) as image:
        pixels = np.array(image, np.int64)
    write_ids(path, change(pixels @ [1, 256, 65536]))


def first(content: Any) -> Any:
    return content["annotations"][0]["segments_info"][0]


FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no annotation": (
        lambda f: edit(f / "pred.json", lambda c: c["annotations"].pop()),
        ("pred.json has no annotation of image b", "gt.json"),
    ),
    "no annotations": (
        lambda f: edit(f / "pred.json", lambda c: c["annotations"].clear()),
        ("pred.json has no annotation of image a (and 1 more)",),
    ),
    "an image too many": (
        lambda f: edit(f / "gt.json", lambda c: c["annotations"].pop(0)),
        ("pred.json annotates image a, which", "gt.json does not have"),
    ),
    "nothing to score": (
        lambda f: [edit(f / f"{side}.json", lambda c: c["annotations"].clear()) for side in ("gt", "pred")],
        ("gt.json has no annotations",),
    ),
    "another size": (
        lambda f: ids_of(f / "pred" / "b.png", lambda ids: ids[1:]),
        ("pred/b.png against", "gt/b.png", "(2, 4)", "(3, 4)"),
    ),
    "an unknown id in a PNG": (
        lambda f: ids_of(f / "pred" / "a.png", lambda ids: np.where(ids == 0, 77, ids)),
        ("pred/a.png", "77"),
    ),
    "an id that the PNG has not": (
        lambda f: ids_of(f / "gt" / "a.png", lambda ids: np.where(ids == 300, 0, ids)),
        ("gt/a.png", "300"),
    ),
    "an unknown category": (
        lambda f: edit(f / "pred.json", lambda c: first(c).update(category_id=9)),
        ("pred.json", "category_id 9"),
    ),
    "no categories": (
        lambda f: edit(f / "gt.json", lambda c: c.pop("categories")),
        ("gt.json", "categories"),
    ),
    "no PNG": (lambda f: (f / "pred" / "b.png").unlink(), ("pred/b.png is missing",)),
    "no folder": (lambda f: shutil.rmtree(f / "gt"), ("--gt-dir", "gt is not a folder")),
    "no JSON file": (lambda f: (f / "pred.json").unlink(), ("pred.json",)),
    "no JSON": (lambda f: (f / "pred.json").write_text("{"), ("pred.json",)),
    "a grey PNG": (
        lambda f: Image.new("L", (4, 3)).save(f / "pred" / "a.png"),
        ("pred/a.png", "RGB"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_file(files: Path, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, says = FAULTS[fault]
    spoil(files)
    with pytest.raises(DejavuError) as raised:
        run(files)
    sentence = str(raised.value)
    assert all(part in sentence for part in says), sentence
    assert "\n" not in sentence
    assert capsys.readouterr().out == ""
