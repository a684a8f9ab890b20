"""A panoptic pair from rendered scenes to the table's numbers, and its predictions as files of the field."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import copy_params

from dejavu.commands import main as command
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.datasets import coco_panoptic
from dejavu.datasets.formats.coco import Entry, read_ids, read_panoptic
from dejavu.datasets.prepared.store import open_split, read_report
from dejavu.evaluation import measure
from dejavu.evaluation.files import Pngs
from dejavu.reports.figures.elements.panoptic_colours import colour_segments, shade
from dejavu.tasks.predictions import Queries
from dejavu.tasks.segments import VOID, classes_of
from dejavu.training.batches import Batches
from dejavu.training.data import read_data

BASE, PAIRED = "mask2former_swint_coco", "mask2former_swint_coco_dejavu"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pair was trained at smoke scale."""
    folder = tmp_path_factory.mktemp("panoptic")
    copy_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in ("download", "prepare"):
            assert command([stage, "coco_panoptic", "--scale", "smoke"]) == 0
        for row in (BASE, PAIRED):
            assert command(["train", row, "--scale", "smoke"]) == 0
            assert command(["evaluate", row, "--scale", "smoke"]) == 0
    return folder


@pytest.fixture
def here(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def moved(run, seed, report, split):
    """What a network that is nearly right would say: all is three pixels off, and void where a crowd is."""
    for codes in split.panoptic:
        codes = np.roll(codes, 3, axis=1)
        yield np.where((codes & 255) == 255, VOID, codes).astype(np.uint16)


def test_predictions_score_as_evaluated(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through files of COCO's format, at the truths' own sizes, the numbers are those of the table."""
    monkeypatch.setattr(measure, "predicted", moved)
    assert command(["predict", BASE, "--scale", "smoke", "--out", "found"]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if "dejavu score panoptic" in line)
    assert command(line[line.index("score") :].split()) == 0
    scored = json.loads(capsys.readouterr().out)
    run, prepared = loading.load("params.yaml").run(BASE, "smoke"), Paths("smoke").prepared("coco_panoptic")
    measured = measure.measure(run, 0, read_report(prepared), open_split(prepared, "val"))
    keys = [key for key in measured if key[:2] in ("pq", "sq", "rq")]
    assert len(keys) == 9 and 10 < measured["pq"] < 99
    for key in keys:
        assert scored[key] == pytest.approx(measured[key], abs=1e-9)


def test_the_truth_that_is_written_is_the_datasets_own(here: Path) -> None:
    """Ids differ, segments do not: beside the rendered JSON, which has the same images and categories."""
    assert command(["predict", BASE, "--scale", "smoke", "--out", "truth"]) == 0
    ours = read_panoptic(Path("truth/truth.json"))
    rendered = read_panoptic(Paths("smoke").raw("coco_panoptic") / "annotations" / "panoptic_val2017.json")
    assert ours.categories == rendered.categories
    assert {**ours.images} == rendered.images and ours.entries.keys() == rendered.entries.keys()
    for image, entry in ours.entries.items():
        folder = Paths("smoke").raw("coco_panoptic") / "annotations" / "panoptic_val2017"
        found, expected = (
            partition(read_ids(place / one.file_name), one)
            for place, one in ((Path("truth/truth"), entry), (folder, rendered.entries[image]))
        )
        assert found == expected and len(found) > 3
    areas = {
        segment["id"]: (segment["area"], annotation["file_name"])
        for annotation in json.loads(Path("truth/truth.json").read_text())["annotations"]
        for segment in annotation["segments_info"]
        if annotation["image_id"] == 1
    }
    for id_, (area, name) in areas.items():  # COCO's own evaluation reads areas instead of counting
        assert area == int((read_ids(Path("truth/truth") / name) == id_).sum()) > 0


def partition(ids: np.ndarray, entry: Entry) -> set[tuple[int, bool, bytes]]:
    """Class, whether a crowd, and pixels of each segment; crowds of a class are one, as codes have them."""
    masks: dict[tuple[int, bool, int], np.ndarray] = {}
    for id_, segment in entry.segments.items():
        key = (segment.category, segment.crowd, 0 if segment.crowd else id_)
        masks[key] = masks.get(key, False) | (ids == id_)
    return {(category, crowd, np.packbits(mask).tobytes()) for (category, crowd, _), mask in masks.items()}


def test_a_network_that_knows_scores_as_well_in_files(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries that say the truth, through fusion and files, against the rendered JSON itself: 100."""
    from dejavu.evaluation import predictor

    prepared = Paths("smoke").prepared("coco_panoptic")
    truths = iter(open_split(prepared, "val").panoptic)

    def knowing(self, images, sizes) -> list[np.ndarray]:
        return [self.fusion(*as_queries(next(truths)), size, self.things) for size in sizes]

    monkeypatch.setattr(predictor.Predictor, "_panoptic", knowing)
    assert command(["predict", BASE, "--scale", "smoke", "--out", "known"]) == 0
    capsys.readouterr()
    raw = Paths("smoke").raw("coco_panoptic") / "annotations" / "panoptic_val2017"
    files = [
        "--gt",
        f"{raw}.json",
        "--gt-dir",
        str(raw),
        "--pred",
        "known/seed0.json",
        "--pred-dir",
        "known/seed0",
    ]
    assert command(["score", "panoptic", *files]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["pq"] == scored["pq_th"] == scored["pq_st"] == 100.0


def as_queries(codes: np.ndarray) -> tuple[Queries, tuple[int, int]]:
    """A sure query for each segment of a truth, crowds left out, and the size of it."""
    known = [code for code in np.unique(codes).tolist() if code & 255 != 255]
    classes = torch.full((1, len(known), len(coco_panoptic.TABLE) + 1), -20.0)
    masks = torch.full((1, len(known), *codes.shape), -20.0)
    for number, code in enumerate(known):
        classes[0, number, code >> 8] = 20.0
        masks[0, number][torch.from_numpy(codes.astype(np.int64)) == code] = 20.0
    return Queries(classes, masks), codes.shape


@pytest.mark.parametrize("fault", ["no weights", "others"])
def test_nothing_is_written_without_the_rows_own_weights(
    fault: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = Paths("smoke").weights(BASE, 0)
    kept = weights.read_bytes()
    try:
        weights.unlink()
        if fault == "others":
            shutil.copyfile(Paths("smoke").weights(PAIRED, 0), weights)
        assert command(["predict", BASE, "--scale", "smoke", "--out", str(tmp_path / "out")]) == 2
    finally:
        weights.write_bytes(kept)
    said = capsys.readouterr().err
    assert str(weights) in said and ("missing" in said) == (fault == "no weights")
    assert not (tmp_path / "out").exists()


def test_nothing_predicted_is_valid(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After so few steps no class is as likely as the protocol wants: valid files, and a PQ of 0."""
    assert command(["predict", BASE, "--scale", "smoke", "--out", "nothing"]) == 0
    found = read_panoptic(Path("nothing/seed0.json"), coco_panoptic.TABLE).entries.values()
    assert len(found) == 4 and not any(entry.segments for entry in found)
    capsys.readouterr()
    files = ["--gt", "nothing/truth.json", "--gt-dir", "nothing/truth", "--pred", "nothing/seed0.json"]
    assert command(["score", "panoptic", *files, "--pred-dir", "nothing/seed0"]) == 0
    assert json.loads(capsys.readouterr().out)["pq"] == 0.0
    metrics = json.loads(Paths("smoke").metrics(BASE, 0).read_text())["metrics"]
    assert (metrics["pq"], metrics["pq_th"], metrics["pq_st"]) == (0.0, 0.0, 0.0)


def test_what_is_deployed_is_the_base_network(here: Path) -> None:
    """The pair's exported weights have the same names and shapes: they fit into one plain network."""
    from safetensors.torch import load_file

    plain, paired = (load_file(Paths("smoke").weights(row, 0)) for row in (BASE, PAIRED))
    assert {name: value.shape for name, value in plain.items()} == {
        name: value.shape for name, value in paired.items()
    }
    assert any(not torch.equal(plain[name], paired[name]) for name in plain)  # and DejaVu taught it something
    costs = [json.loads(Paths("smoke").metrics(row, 0).read_text())["cost"] for row in (BASE, PAIRED)]
    assert costs[0] == costs[1]


def test_batches_hold_segments(here: Path) -> None:
    """Crops of codes: no segment that its image has not, and padding is void."""
    run = loading.load("params.yaml").run(BASE, "smoke")
    prepared = Paths("smoke").prepared("coco_panoptic")
    data = read_data(prepared, read_report(prepared, run.data), run.tasks)
    batches = Batches(run, 0, data)
    step, batch = next(batches.from_step(0, torch.device("cpu"), "test"))
    chosen, _ = batches.indices(step)
    assert batch.target.dtype == torch.int64 and batch.target.shape == (4, 64, 64)
    for number, codes in zip(chosen, batch.target, strict=True):
        image = np.unique(data.train.panoptic[int(number)])
        assert set(codes.unique().tolist()) <= {*image.tolist(), VOID}
        assert len(codes.unique()) > 1
    for codes in open_split(prepared, "train").panoptic:
        classes = classes_of(codes[codes != VOID])
        assert classes.size and (classes < len(data.things)).all()


def test_figures_and_table(here: Path) -> None:
    """The panel has the paper's four columns; the table's lines without an experiment say why."""
    printed = Path("paper/coco_panoptic.csv")
    with printed.open(newline="") as file:
        head, *lines = csv.reader(file)
    with printed.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for row, experiment, *cells, note in lines:
            if experiment not in (BASE, PAIRED, ""):  # what was not trained here
                experiment, note = "not_here", "not run: in this test"
            writer.writerow([row, experiment, *cells, note])
    assert command(["tables", "coco_panoptic", "--scale", "smoke"]) == 0
    table = Paths("smoke").table("coco_panoptic", "md").read_text()
    assert "PQ" in table and "MaX-DeepLab" in table and "not run" in table
    assert command(["figures", "coco_panoptic", "--scale", "smoke"]) == 0
    for kind in ("curves", "panel"):
        assert Paths("smoke").figure("coco_panoptic", kind).stat().st_size > 10_000


def test_segments_are_told_apart_by_shade_and_line() -> None:
    palette = np.array([[200, 100, 50], [0, 0, 255]], np.uint8)
    codes = np.array([[0] * 4 + [1] * 4, [256] * 4 + [VOID] * 4] * 2, np.uint16).repeat(4, 0).repeat(4, 1)
    picture = colour_segments(codes, palette)
    assert picture[1, 1].tolist() == [200, 100, 50] and picture[1, 20].tolist() == [150, 75, 38]
    assert picture[5, 1].tolist() == [0, 0, 255] and picture[5, 20].tolist() == [0, 0, 0]
    assert (picture[0, 15] == 255).all() and (picture[3, 1] == 255).all()  # lines to the right and below
    shades = {tuple(shade(palette[0], number)) for number in range(5)}
    assert len(shades) == 5 and tuple(shade(palette[0], 5)) in shades


def test_crowds_are_hatched() -> None:
    picture = colour_segments(np.full((16, 16), 255, np.uint16), np.array([[10, 20, 30]], np.uint8))
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
    assert colours == {(10, 20, 30), (255, 255, 255)}


@pytest.mark.parametrize(
    ("task", "values"), [("depth", [[0.0, 2.5]]), ("normals", [[[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]])]
)
def test_measurements_as_files_are_read_back(task: str, values: list, tmp_path: Path) -> None:
    from dejavu.commands.score.depth import read_depth
    from dejavu.commands.score.normals import read_normals

    array = np.array(values, np.float32)
    Pngs(tmp_path, task, predicted=False).put("one", array)
    if task == "depth":
        np.testing.assert_allclose(read_depth(tmp_path / "one.png", 256, predicted=False), array)
    else:
        np.testing.assert_allclose(read_normals(tmp_path / "one.png", predicted=False), array, atol=0.005)
