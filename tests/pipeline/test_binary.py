"""Masks of one object, two classes and a network of one output: from files to tables and figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import copy_params
from PIL import Image
from safetensors.torch import load_file

from dejavu import networks
from dejavu.commands import main as command
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.tasks.images import normalise

SIZE = (48, 64)
DATASET = """\
  masks:
    licence: "made here"
    folder: {path: masks, images: "images/{split}/{name}.png", labels: "labels/{split}/{name}.png",
             classes: [background, square], values: [0, 255], ignore: [128]}
"""
SCALE = """\
  binary: &binary
    <<: *smoke
    name: binary
    data: {<<: *smoke_data, cityscapes: {source: masks, size: [48, 64]}}
    budget: {<<: *none, all: {<<: *smoke_all, epochs: 10, crop: [48, 64], evaluations: 2}}
"""
ROWS = """\
  square: &square {<<: *hrnet18, head: binary}
  square_dejavu: {<<: *square, base: square, dejavu: {}}
"""
TABLE = """\
  squares: {title: "Squares", dataset: cityscapes, metrics: [miou, pixel_accuracy],
            figures: [curves, panel, classes], rows: [square, square_dejavu]}
"""


def draw(root: Path) -> None:
    """Bright squares before a dark ground, masks of 0 and 255, and a frame of 128, which is ignored."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for number in range(count):
            mask = np.zeros(SIZE, np.uint8)
            top, left = generator.integers(2, [20, 30])
            mask[top : top + 24, left : left + 30] = 255
            image = generator.integers(0, 60, (*SIZE, 3)) + (mask[..., None] > 0) * 150
            mask[:2] = 128
            for kind, array in (("images", image.astype(np.uint8)), ("labels", mask)):
                path = root / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pair was trained and evaluated."""
    folder = tmp_path_factory.mktemp("binary")
    params = copy_params(folder)
    text = params.read_text()
    for section, entry in (("datasets", DATASET), ("experiments", ROWS), ("tables", TABLE)):
        head, found, tail = text.partition(f"\n{section}:\n")
        if section == "experiments":  # behind the anchors that it names
            lines = tail.splitlines(keepends=True)
            at = next(i for i, line in enumerate(lines) if line.startswith("  hrnet18_dejavu:")) + 1
            entry, tail = "".join(lines[:at]) + entry, "".join(lines[at:])
        text = head + found + entry + tail
    text = text.replace("\nscale: *demo", "\n" + SCALE + "scale: *binary", 1)
    params.write_text(text)
    draw(folder / "masks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (["download", "cityscapes"], ["prepare", "cityscapes"]):
            assert command(stage) == 0
        for row in ("square", "square_dejavu"):
            assert command(["train", row]) == 0
            assert command(["evaluate", row]) == 0
    return folder


@pytest.fixture
def here(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def by_hand(row: str, name: str) -> np.ndarray:
    """Where the sigmoid of the plain network's one logit is above 0.5."""
    run = loading.load("params.yaml").run(row, "binary")
    network = networks.build(
        run.network.module, 1, run.network.width, run.network.depth, **run.network.options
    )
    network.load_state_dict(load_file(Paths("binary").weights(row, 0)))
    image = torch.from_numpy(np.array(Image.open(f"masks/images/val/{name}.png")))
    with torch.inference_mode():
        logit = network.eval()(normalise(image[None]))
        full = torch.nn.functional.interpolate(logit, SIZE, mode="bilinear")
    return (full.sigmoid() > 0.5)[0, 0].numpy()


@pytest.mark.parametrize("row", ["square", "square_dejavu"])
def test_weights_of_one_output_are_measured_at_one_half(here: Path, row: str) -> None:
    both = {kind: {True: 0, False: 0} for kind in ("shared", "either")}
    for name in "012":
        truth, found = np.array(Image.open(f"masks/labels/val/{name}.png")), by_hand(row, name)
        for value in (True, False):
            known, mask = truth != 128, (truth == 255) == value
            both["shared"][value] += int((known & mask & (found == value)).sum())
            both["either"][value] += int((known & (mask | (found == value))).sum())
    iou = {value: 100 * both["shared"][value] / both["either"][value] for value in (True, False)}
    scores = json.loads(Paths("binary").metrics(row, 0).read_text())
    assert scores["config"]["head"] == "binary" and list(scores["metrics"]["iou"]) == ["background", "square"]
    assert scores["metrics"]["iou"]["square"] == pytest.approx(iou[True])
    assert scores["metrics"]["miou"] == pytest.approx((iou[True] + iou[False]) / 2)
    assert iou[True] > 50, "it has learnt nothing"


def test_predictions_are_files_of_two_classes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["predict", "square_dejavu", "--out", "found"]) == 0
    files = sorted(Path("found/seed0").rglob("*.png"))
    assert len(files) == 3
    for name, file in zip("012", files, strict=True):
        np.testing.assert_array_equal(np.array(Image.open(file)), by_hand("square_dejavu", name))


def test_it_fills_its_table_and_its_figures(here: Path) -> None:
    assert command(["tables", "squares"]) == 0
    assert command(["figures", "squares"]) == 0
    for kind in ("curves", "panel", "classes"):
        with Image.open(Paths("binary").figure("squares", kind)) as picture:
            assert picture.width > 200
    table = Paths("binary").table("squares", "md").read_text()
    assert "mIoU" in table and "DejaVu" in table


def test_its_cost_is_counted_beside_that_of_an_output_a_class(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same network for the same data, and another last layer: 18 of its 19 outputs less."""
    assert command(["cost", "hrnet18", "square", "--json"]) == 0
    costs = {one["rows"][0]: one["params_m"] for one in json.loads(capsys.readouterr().out)}
    count = {
        outputs: sum(p.numel() for p in networks.build("hrnet", outputs).parameters()) for outputs in (1, 19)
    }
    assert costs["hrnet18"] - costs["square"] == pytest.approx((count[19] - count[1]) / 1e6, abs=1e-2)
    assert costs["hrnet18"] > costs["square"]
