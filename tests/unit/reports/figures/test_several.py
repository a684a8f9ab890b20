"""`dejavu figures` of rows with several tasks: curves, panel and teaser, with real networks and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.figure_samples import band_content
from pandas import DataFrame

from dejavu import config
from dejavu.commands import figures as stage
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.datasets import find
from dejavu.datasets.prepared.store import open_split
from dejavu.errors import DejavuError
from dejavu.reports.figures import bands, curves
from dejavu.reports.figures.elements.task_images import task_images
from dejavu.reports.pairs import find_pairs
from dejavu.reports.tables import csv_text

TABLE, SCALE = "nyud_mtl", "smoke"
SIZE = (32, 48)
TASKS = ("semantic", "depth", "normals")


def make_params(kinds: tuple[str, ...], rows: tuple[str, ...], **table: Any) -> config.Params:
    """params.yaml with these experiments as the table's rows, each under its own name, on small images."""
    params = loading.load(ROOT / "params.yaml")
    scale = params.get_scale(SCALE)
    part = scale.data["nyudv2"].model_copy(update={"size": SIZE})
    scale = scale.model_copy(update={"data": scale.data | {"nyudv2": part}})
    lines = tuple(
        config.Row(id=name, method=name, base=params.experiments[name].base, experiment=name) for name in rows
    )
    given = {"rows": lines, "figures": kinds} | table
    table_ = params.tables[TABLE].model_copy(update=given)
    return params.model_copy(
        update={"tables": {TABLE: table_}, "scales": params.scales | {SCALE: scale}, "scale": scale}
    )


def write_prepared(folder: Path, count: int = 7) -> dict[str, Any]:
    """What `prepare` writes, of images of noise; depth is the image's number in metres, from 0 = unknown."""
    dataset, random = find("nyudv2"), np.random.default_rng(0)
    numbers = np.arange(count)[:, None, None]
    arrays: dict[str, np.ndarray] = {
        "images": random.integers(0, 256, (count, *SIZE, 3), dtype=np.uint8),
        "labels": np.broadcast_to(numbers, (count, *SIZE)).astype(np.uint8),
        "depth": np.broadcast_to(numbers, (count, *SIZE)).astype(np.float32),
        "normals": np.broadcast_to([0.0, 0.0, -1.0], (count, *SIZE, 3)).astype(np.float16),
    }
    folder.mkdir(parents=True)
    for kind, array in arrays.items():
        np.save(folder / f"test_{kind}.npy", array)
    (folder / "test.txt").write_text("".join(f"scene{i}\n" for i in range(count)))
    said = {
        kind: {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": kind}
        for kind, array in arrays.items()
    }
    report = {"source": "synthetic", "size": list(SIZE), "classes": list(dataset.classes.names)}
    report |= {
        "palette": list(dataset.classes.palette),
        "evaluate": "test",
        "validate": "test",
        "ignore_index": 255,
    }
    report |= {"targets": list(dataset.targets), "splits": {"test": {"count": count, **said}}}
    (folder / "report.json").write_text(json.dumps(report))
    return report


def write_weights(params: config.Params, names: tuple[str, ...], classes: list[str]) -> None:
    from safetensors.torch import save_file

    from dejavu.models.build import build_method, build_network
    from dejavu.tasks import channels

    for number, name in enumerate(names):
        run, paths = params.run(name, SCALE), Paths(SCALE)
        seed = run.seeds[0]
        torch.manual_seed(number)
        network = build_network(run, channels(run.task, len(classes)))
        paths.weights(name, seed).parent.mkdir(parents=True)
        save_file(network.state_dict(), paths.weights(name, seed))
        if run.dejavu is not None:
            method = build_method(run, network, classes)
            save_file(method.training_only.state_dict(), paths.regenerator(name, seed))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A working directory with prepared data; returns their report."""
    monkeypatch.chdir(tmp_path)
    return write_prepared(Paths(SCALE).prepared("nyudv2"))


def test_panel_and_teaser_show_what_the_networks_say(work: dict[str, Any]) -> None:
    """Each task has images of its own; predictions are those of the networks, asked without `predict`."""
    from dejavu.models.load import load_network
    from dejavu.tasks import channels
    from dejavu.tasks.images import normalise

    params = make_params(("panel", "teaser"), ("mtl", "mtl_dejavu"))
    write_weights(params, ("mtl", "mtl_dejavu"), work["classes"])
    split = open_split(Paths(SCALE).prepared("nyudv2"), "test")
    pairs = find_pairs(params, TABLE)
    parts = task_images(params, SCALE, pairs, split, work, 2)
    assert [part.task for part in parts] == list(TASKS)
    names = [seen.name for part in parts for seen in part.rows]
    assert len(set(names)) == 6
    for name, side in (("mtl", "before"), ("mtl_dejavu", "after")):
        run = params.run(name, SCALE)
        weights = Paths(SCALE).weights(name, run.seeds[0])
        network = load_network(run, channels(run.task, len(work["classes"])), weights)
        for part in parts:
            seen = part.rows[0]
            with torch.inference_mode():
                maps = network(normalise(torch.from_numpy(seen.image[None].copy())))[part.task]
            maps = torch.nn.functional.interpolate(maps, SIZE, mode="bilinear")[0]
            found = getattr(seen, side)
            if part.task == "semantic":
                np.testing.assert_array_equal(found, maps.argmax(0).numpy())
            elif part.task == "depth":
                np.testing.assert_allclose(found, maps[0].numpy(), atol=1e-5)
            else:
                expected = torch.nn.functional.normalize(maps, dim=0).permute(1, 2, 0).numpy()
                np.testing.assert_allclose(found, expected, atol=1e-5)
    for part in parts:
        for seen in part.rows:
            number = int(seen.name.removeprefix("scene"))
            expected = [0, 0, -1] if part.task == "normals" else number
            assert (seen.truth == expected).all()
            assert seen.redacted.dtype == seen.regenerated.dtype == np.uint8
            assert (seen.redacted != seen.image).any() and (seen.redacted == seen.image).any()
    stage.draw_figures(params, TABLE, SCALE)
    assert all(Paths(SCALE).figure(TABLE, kind).exists() for kind in ("panel", "teaser"))
    again = task_images(params, SCALE, pairs, split, work, 2)
    for part, other in zip(parts, again, strict=True):
        for seen, repeated in zip(part.rows, other.rows, strict=True):
            assert all(np.array_equal(value, vars(repeated)[key]) for key, value in vars(seen).items())


def with_segnet(params: config.Params, names: tuple[str, ...]) -> config.Params:
    """The experiments with a network that is built in a moment."""
    changed = {name: params.experiments[name].model_copy(update={"network": "segnet"}) for name in names}
    return params.model_copy(update={"experiments": params.experiments | changed})


def test_single_task_pairs_have_a_block_each_and_no_teaser_without_the_papers_tasks(
    work: dict[str, Any],
) -> None:
    names = ("depth", "depth_blocks", "normals", "normals_band_stop")
    params = with_segnet(make_params(("panel",), names), names)
    write_weights(params, names, work["classes"])
    split = open_split(Paths(SCALE).prepared("nyudv2"), "test")
    parts = task_images(params, SCALE, find_pairs(params, TABLE), split, work, 2)
    assert [(part.task, part.title) for part in parts] == [
        *[("depth", "depth_blocks"), ("normals", "normals_band_stop")]
    ]
    stage.draw_figures(params, TABLE, SCALE)
    only_depth = make_params(("teaser",), names[:2])
    with pytest.raises(DejavuError, match="'teaser' shows segmentation and normals, and no pair learns"):
        stage.draw_figures(only_depth, TABLE, SCALE)


def test_few_images_are_shown_again(work: dict[str, Any]) -> None:
    params = make_params(("panel",), ("mtl", "mtl_dejavu"))
    write_weights(params, ("mtl", "mtl_dejavu"), work["classes"])
    split = open_split(Paths(SCALE).prepared("nyudv2"), "test")
    two = split._replace(images=split.images[:2], names=split.names[:2])
    parts = task_images(params, SCALE, find_pairs(params, TABLE), two, work, 2)
    assert [[seen.name for seen in part.rows] for part in parts] == [["scene0"], ["scene1"], ["scene0"]]


def test_a_dataset_without_a_tasks_truth_is_said(work: dict[str, Any]) -> None:
    params = make_params(("panel",), ("mtl", "mtl_dejavu"))
    write_weights(params, ("mtl", "mtl_dejavu"), work["classes"])
    split = open_split(Paths(SCALE).prepared("nyudv2"), "test")._replace(depth=None)
    with pytest.raises(DejavuError, match="the prepared data have no depth"):
        task_images(params, SCALE, find_pairs(params, TABLE), split, work, 2)


def test_rows_that_are_no_half_of_a_pair_share_a_line_of_curves(work: dict[str, Any]) -> None:
    rows = (
        "stl_semantic",
        "stl_depth",
        "stl_normals",
        "mtl",
        "mtl_dejavu",
        "dwa",
        "mtan",
        "xtc",
        "xtc_dejavu",
    )
    params = make_params(("curves",), rows)
    for name in rows:
        names = ",".join(f"val_{metric}" for metric in metrics_of(params, name))
        for seed in params.run(name, SCALE).seeds:
            path = Paths(SCALE).log(name, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            values = ",".join("0.5" for _ in names.split(","))
            path.write_text(f"epoch,loss_task,loss_dejavu,{names}\n1,3.0,,{values}\n")
    found = curves.groups(params, params.tables[TABLE], SCALE)
    assert {group.title: [curve.label for curve in group.curves] for group in found} == {
        "one task each": list(rows[:3]),
        "mtl": ["mtl", "mtl_dejavu"],
        "several tasks, without a DejaVu row": ["dwa", "mtan"],
        "xtc": ["xtc", "xtc_dejavu"],
    }
    assert "val_miou" not in found[0].curves[1].logs[0] and "val_miou" in found[1].curves[0].logs[0]
    stage.draw_figures(params, TABLE, SCALE)
    assert Paths(SCALE).figure(TABLE, "curves").exists()


def metrics_of(params: config.Params, name: str) -> list[str]:
    from dejavu.metrics import main_metric

    return [main_metric(task) for task in params.experiments[name].tasks]


# ------------------------------------------------ the band study


def bands_table(params: config.Params, edges: dict[str, Any]) -> config.Params:
    """A study of the sample's rows: `edges` has the redaction of each."""
    rows, experiments = [], dict(params.experiments)
    for key in band_content().lines:
        name = "depth" if key == "none" else f"band_{key}"
        rows.append(config.Row(id=key, method=key, experiment=name, base=None if key == "none" else "none"))
        if key != "none":
            plain = params.experiments["depth_band_stop"]
            assert plain.dejavu is not None
            method = config.Method(**plain.dejavu.model_dump(exclude={"redaction"}), redaction=edges[key])
            experiments[name] = plain.model_copy(update={"dejavu": method})
    table = params.tables[TABLE].model_copy(
        update={"rows": tuple(rows), "metrics": ("depth_aerr",), "figures": ("bands",), "single": {}}
    )
    return params.model_copy(update={"tables": {TABLE: table}, "experiments": experiments})


EDGES = {
    "low": {"name": "band_stop", "low": 0.0, "high": 0.25},
    "middle": {"name": "band_stop", "low": 0.25, "high": 0.5},
    "high": {"name": "band_stop", "low": 0.5, "high": 1.0},
}


def test_bands_are_those_of_the_rows_redactions(work: dict[str, Any]) -> None:
    params = bands_table(make_params((), ()), EDGES)
    assert bands.band_edges(params, TABLE) == {"low": (0, 0.25), "middle": (0.25, 0.5), "high": (0.5, 1)}
    path = Paths(SCALE).table(TABLE, "csv")
    path.parent.mkdir(parents=True)
    path.write_text(csv_text(DataFrame(band_content().lines.values())))
    stage.draw_figures(params, TABLE, SCALE)
    assert Paths(SCALE).figure(TABLE, "bands").exists()
    lines = [line | {"status": "not run"} for line in band_content().lines.values()]
    path.write_text(csv_text(DataFrame(lines)))
    with pytest.raises(DejavuError, match="has no band that was run"):
        stage.draw_figures(params, TABLE, SCALE)


@pytest.mark.parametrize(
    ("redaction", "message"),
    [
        ({"name": "random_blocks"}, "'bands' shows rows with one redaction 'band_stop' .* 'band_low' has"),
        ({"name": "band_stop", "low": 0.1}, "that has low and high"),
        ([EDGES["low"], EDGES["high"]], "with one redaction"),
    ],
)
def test_rows_of_no_one_band_are_refused(work: dict[str, Any], redaction: Any, message: str) -> None:
    params = bands_table(make_params((), ()), EDGES | {"low": redaction})
    with pytest.raises(DejavuError, match=message):
        bands.band_edges(params, TABLE)


def test_a_band_study_has_one_row_without_dejavu(work: dict[str, Any]) -> None:
    params = bands_table(make_params((), ()), EDGES)
    table = params.tables[TABLE]
    more = config.Row(id="again", method="again", experiment="semantic")
    for rows, count in ((table.rows[1:], 0), ((*table.rows, more), 2)):
        other = params.model_copy(update={"tables": {TABLE: table.model_copy(update={"rows": rows})}})
        with pytest.raises(DejavuError, match=f"one row without DejaVu, not {count}"):
            bands.band_edges(other, TABLE)
