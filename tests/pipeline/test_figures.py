"""`dejavu figures`: each kind is drawn from what it should be, and what is missing is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROOT
from pandas import DataFrame

from dejavu import config, registry
from dejavu.commands import figures as stage
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.datasets import reader
from dejavu.datasets.prepared.store import Split, open_split, read_report
from dejavu.errors import DejavuError
from dejavu.reports.figures import curves, load_kind, panel
from dejavu.reports.figures.elements.predictions import choose
from dejavu.reports.pairs import find_pairs
from dejavu.reports.tables import columns, csv_text

TABLE, SCALE = "cityscapes", "smoke"
# A pair with attention in front of two without.
ROWS = ("ablation_sa", "ablation_sa_dejavu", "hrnet18", "hrnet18_dejavu", "ablation", "ablation_low_pass")
SHOWN = ("hrnet18", "ablation_sa", "ablation")  # bases, in the order in which the panel has their pairs


def few_rows(kinds: tuple[str, ...] = ("curves", "panel")) -> config.Params:
    """params.yaml with these rows for the table's."""
    params = loading.load(ROOT / "params.yaml")
    rows = tuple(
        config.Row(
            id=name, method="HRNet", backbone=name, base=params.experiments[name].base, experiment=name
        )
        for name in ROWS
    )
    table = params.tables[TABLE].model_copy(update={"rows": rows, "figures": kinds})
    return params.model_copy(update={"tables": {TABLE: table}})


def with_kinds(params: config.Params, *kinds: str) -> config.Params:
    table = params.tables[TABLE].model_copy(update={"figures": kinds})
    return params.model_copy(update={"tables": {TABLE: table}})


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory as after `evaluate` at scale smoke, with untrained weights and noise for images."""
    from safetensors.torch import save_file

    from dejavu.models.build import build_method, build_network

    root = tmp_path_factory.mktemp("evaluated")
    params, paths = few_rows(), Paths(SCALE, root)
    report = write_prepared(paths.prepared("cityscapes"), params.data_source("cityscapes", SCALE))
    seeds = params.get_scale(SCALE).seeds
    for experiment in params.tables[TABLE].experiments:
        for seed in seeds:
            path = paths.log(experiment, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("epoch,loss_task,loss_dejavu,val_miou\n1,3.0,,\n2,2.0,,40\n")
    for name in ROWS:
        run = params.run(name, SCALE)
        torch.manual_seed(ROWS.index(name))
        network = build_network(run, len(report["classes"]))
        paths.weights(run.experiment, seeds[0]).parent.mkdir(parents=True)
        save_file(network.state_dict(), paths.weights(run.experiment, seeds[0]))
        if run.dejavu is not None:
            method = build_method(run, network, report["classes"])
            save_file(method.training_only.state_dict(), paths.regenerator(run.experiment, seeds[0]))
    return root


@pytest.fixture
def work(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Params:
    """Work in a copy of that directory."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return few_rows()


def write_prepared(folder: Path, part: config.DataSource) -> dict[str, Any]:
    """What `prepare` writes, of six images of noise; labels are the image's number."""
    dataset = reader("cityscapes", part.source)
    random = np.random.default_rng(0)
    arrays = {
        "images": random.integers(0, 256, (6, *part.size, 3), dtype=np.uint8),
        "labels": np.broadcast_to(np.arange(6, dtype=np.uint8)[:, None, None], (6, *part.size)).copy(),
    }
    folder.mkdir(parents=True)
    for kind, array in arrays.items():
        np.save(folder / f"{dataset.evaluate}_{kind}.npy", array)
    (folder / f"{dataset.evaluate}.txt").write_text("".join(f"scene{i}\n" for i in range(6)))
    said = {
        kind: {"shape": list(array.shape), "dtype": "uint8", "sha256": kind} for kind, array in arrays.items()
    }
    report = {"source": part.source, "size": list(part.size)}
    report |= {"classes": list(dataset.classes.names), "palette": list(dataset.classes.palette)}
    report |= {"evaluate": dataset.evaluate, "ignore_index": 255}
    report |= {"splits": {dataset.evaluate: {"count": 6, **said}}}
    (folder / "report.json").write_text(json.dumps(report))
    return report


def make_table(params: config.Params, **cells: str) -> Path:
    """The table's CSV with these cells in its second line."""
    table, path = params.tables[TABLE], Paths(SCALE).table(TABLE, "csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    blank = dict.fromkeys(columns(table.metrics), "") | {"status": "run"}
    lines = [blank | {"id": row.id, "method": row.method, "base": row.base or ""} for row in table.rows]
    lines[1] |= cells
    path.write_text(csv_text(DataFrame(lines)))
    return path


GAIN = {"miou_gain": "1.0000", "miou_gain_lo": "0.5000", "miou_gain_hi": "1.5000"}


def test_curves_and_panel_are_the_same_bytes_again(work: config.Params) -> None:
    files = [Paths(SCALE).figure(TABLE, kind) for kind in ("curves", "panel")]
    stage.draw_figures(work, TABLE, SCALE)
    first = [file.read_bytes() for file in files]
    stage.draw_figures(work, TABLE, SCALE)
    assert [file.read_bytes() for file in files] == first
    assert all(len(content) < 2**20 for content in first)


def test_kinds_are_imported_and_gains_drawn_without_torch(work: config.Params) -> None:
    params = with_kinds(work, "gains")
    make_table(params, **GAIN)
    stage.draw_figures(params, TABLE, SCALE)
    drawn = Paths(SCALE).figure(TABLE, "gains")
    assert [path.name for path in drawn.parent.iterdir()] == [drawn.name]
    kinds, heavy = registry.figure_kinds(), "{'torch', 'pandas', 'scipy'}"
    imports = f"import sys; from dejavu.reports.figures import {', '.join(kinds)}"
    code = f"{imports}; print(*{heavy} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("kind", ["gains", "tradeoff"])
def test_a_csv_that_is_not_the_tables_is_refused(work: config.Params, kind: str) -> None:
    params = with_kinds(work, kind)
    path = make_table(params, **GAIN)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DejavuError, match=rf"cityscapes.csv has other rows .*`dejavu tables {TABLE} --scale"):
        stage.draw_figures(params, TABLE, SCALE)
    path.unlink()
    with pytest.raises(DejavuError, match="cityscapes.csv is missing"):
        stage.draw_figures(params, TABLE, SCALE)


def test_classes_are_not_drawn_of_other_tasks(work: config.Params) -> None:
    other = {
        name: row.model_copy(update={"task": "depth"}) if name == "hrnet18_dejavu" else row
        for name, row in work.experiments.items()
    }
    params = with_kinds(work.model_copy(update={"experiments": other}), "classes")
    with pytest.raises(DejavuError, match="'classes' shows semantic .* of 'hrnet18_dejavu' is depth"):
        stage.draw_figures(params, TABLE, SCALE)


def panel_block(work: config.Params, place: int) -> Any:
    folder = Paths(SCALE).prepared("cityscapes")
    report = read_report(folder)
    images = panel.shown(open_split(folder, report["evaluate"]))
    first, further = choose(work, SCALE, find_pairs(work, TABLE))
    if place == 0:
        return panel.first_block(work, SCALE, first, images, report["classes"])
    return panel.further_block(work, SCALE, further, images, report["classes"])


def predicted(work: config.Params, name: str, image: np.ndarray) -> np.ndarray:
    """What a network says of one image, without `predict`."""
    from dejavu.models.load import load_network
    from dejavu.tasks.images import normalise

    run, classes = work.run(name, SCALE), len(read_report(Paths(SCALE).prepared("cityscapes"))["classes"])
    network = load_network(run, classes, Paths(SCALE).weights(name, run.seeds[0]))
    with torch.inference_mode():
        logits = network(normalise(torch.from_numpy(image[None].copy())))
    return torch.nn.functional.interpolate(logits, image.shape[:2], mode="bilinear").argmax(1)[0].numpy()


def test_the_first_pair_without_attention_is_regenerated(work: config.Params) -> None:
    block = panel_block(work, 0)
    assert block.names == ["scene0", "scene2", "scene3", "scene5"]
    assert [np.unique(row[1]).tolist() for row in block.rows] == [[0], [2], [3], [5]]
    image, _, before, after, redacted, regenerated = block.rows[1]
    np.testing.assert_array_equal(before, predicted(work, "hrnet18", image))
    np.testing.assert_array_equal(after, predicted(work, "hrnet18_dejavu", image))
    assert (before != after).any()
    kept = (redacted == image).all(-1).mean()
    assert 0.2 < kept < 0.8  # half of the blocks
    assert regenerated.shape == image.shape and regenerated.dtype == np.uint8
    assert block.groups == [("", 2), ("HRNet + DejaVu, hrnet18_dejavu", 4)]


def test_further_pairs_have_two_columns_each(work: config.Params) -> None:
    block = panel_block(work, 1)
    assert block.columns == ("input", "ground truth", *("baseline", "DejaVu") * 2)
    image, _, *maps = block.rows[2]
    for name, found in zip(
        ("ablation_sa", "ablation_sa_dejavu", "ablation", "ablation_low_pass"), maps, strict=True
    ):
        np.testing.assert_array_equal(found, predicted(work, name, image))
    assert [title.split(", ")[-1] for title, _ in block.groups] == [
        "",
        "ablation_sa_dejavu",
        "ablation_low_pass",
    ]


def test_images_of_many_sizes_are_shown(work: config.Params) -> None:
    """Labels keep the size of their files; all that is shown of an image has the image's."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in ((64, 96), (64, 48), (64, 64))]
    labels = [
        np.full((2 * image.shape[0], 2 * image.shape[1]), i, np.uint8) for i, image in enumerate(images)
    ]
    split = Split(images=images, labels=labels, names=list("abc"))  # type: ignore[arg-type]
    images = panel.shown(split)
    classes = read_report(Paths(SCALE).prepared("cityscapes"))["classes"]
    first, _ = choose(work, SCALE, find_pairs(work, TABLE))
    block = panel.first_block(work, SCALE, first, images, classes)
    sizes = [{picture.shape[:2] for picture in row} for row in block.rows]
    assert sizes == [{(64, 96)}, {(64, 48)}, {(64, 64)}]
    assert [int(row[1][0, 0]) for row in block.rows] == [0, 1, 2]


def test_a_table_of_attention_only_cannot_show_regeneration(work: config.Params) -> None:
    pairs = [pair for pair in find_pairs(work, TABLE) if pair.base == "ablation_sa"]
    with pytest.raises(DejavuError, match="every pair's network has an attention"):
        choose(work, SCALE, pairs)


def test_what_cannot_be_drawn_is_refused(work: config.Params) -> None:
    table = work.tables[TABLE]
    alone = table.model_copy(update={"rows": tuple(row for row in table.rows if not row.base)})
    with pytest.raises(DejavuError, match=f"tables.{TABLE}: no DejaVu row is run with its base"):
        stage.draw_figures(work.model_copy(update={"tables": {TABLE: alone}}), TABLE, SCALE)
    Paths(SCALE).regenerator("hrnet18_dejavu", 0).unlink()
    with pytest.raises(DejavuError, match="regenerator.safetensors is missing.*dejavu train hrnet18_dejavu"):
        stage.draw_figures(work, TABLE, SCALE)
    path = Paths(SCALE).report("cityscapes")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "moon"}))
    with pytest.raises(
        DejavuError, match="was made from 'moon' .*params.yaml asks for.*dejavu prepare cityscapes"
    ):
        stage.draw_figures(work, TABLE, SCALE)


# ------------------------------------------------ unfinished tables


def test_what_is_not_there_yet_is_left_out(work: config.Params) -> None:
    paths = Paths(SCALE)
    paths.weights("hrnet18_dejavu", 0).unlink()
    paths.log("hrnet18_dejavu", 0).unlink()
    with pytest.raises(DejavuError, match="hrnet18_dejavu/seed0.csv is missing"):
        stage.draw_figures(work, TABLE, SCALE)
    stage.draw_figures(work, TABLE, SCALE, partial=True)
    assert {path.name for path in paths.figure(TABLE, "panel").parent.iterdir()} == {
        f"{TABLE}_curves.png",
        f"{TABLE}_panel.png",
    }
    drawn = [
        curve.label
        for group in curves.groups(work, work.tables[TABLE], SCALE, True)
        for curve in group.curves
    ]
    whole = [row for row in ROWS if row != "hrnet18_dejavu"]
    assert len(drawn) == len(whole)


def test_a_figure_of_which_nothing_is_there_is_not_drawn(work: config.Params) -> None:
    params = with_kinds(work, "gains", "curves", "classes")
    make_table(params)
    with pytest.warns(UserWarning, match=f"{TABLE}_(gains|classes).png is not drawn") as said:
        stage.draw_figures(params, TABLE, SCALE, partial=True)
    assert len(said) == 2
    assert [path.name for path in Paths(SCALE).figure(TABLE, "x").parent.iterdir()] == [f"{TABLE}_curves.png"]
    with pytest.raises(DejavuError, match="has no gain"):
        stage.draw_figures(params, TABLE, SCALE)


def test_every_file_of_the_package_is_a_kind() -> None:
    """Both engines ask each for its needs, and `dejavu figures` for the rest."""
    kinds = registry.figure_kinds()
    assert {"curves", "panel", "gains"} < {*kinds}
    for kind in kinds:
        module = load_kind(kind)
        assert registry.figure_needs(kind) == module.NEEDS  # type: ignore[attr-defined]
        assert callable(module.collect) and callable(module.draw)


def test_a_kind_that_needs_nothing_known_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "figures"
    folder.mkdir(parents=True)
    monkeypatch.setattr(registry, "HERE", tmp_path)
    (folder / "plain.py").write_text('NEEDS = ("logs", "metrics")\n')
    (folder / "odd.py").write_text('NEEDS = ("moon",)\n')
    (folder / "none.py").write_text("def draw(data): ...\n")
    assert registry.figure_kinds() == ["none", "odd", "plain"]
    assert registry.figure_needs("plain") == ("logs", "metrics")
    for kind in ("odd", "none"):
        with pytest.raises(DejavuError, match=rf"{kind}.py must hold NEEDS = .* of data, weights, logs"):
            registry.figure_needs(kind)


def test_the_drawing_stage_starts_without_heavy_libraries() -> None:
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib'}"
    code = f"import sys, dejavu.commands.figures; print(*{heavy} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
