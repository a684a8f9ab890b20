"""Figures show what they were given, and repeat to the byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dejavu import config, schema
from dejavu.datasets import reader
from dejavu.datasets.store import open_split, read_report
from dejavu.errors import DejavuError
from dejavu.figures.curves import Curve, Group, Log, band, draw_curves, read_log
from dejavu.figures.forest import draw_gains
from dejavu.figures.gains import BETTER, OPEN, SINGLE, WORSE, gains, sign_of
from dejavu.figures.panel import COLUMNS, GAP, PanelRow, colour_classes, compose, draw_panel
from dejavu.figures.style import save
from dejavu.metrics import METRICS
from dejavu.paths import Paths
from dejavu.stages import figures as stage
from dejavu.tables import columns, csv_text
from dejavu.tables.forms import Content

ROOT = Path(__file__).parents[1]
PALETTE = np.array([[128, 64, 128], [70, 70, 70], [220, 20, 60]], np.uint8)
CLASSES = ["road", "building", "person"]
NAN = float("nan")
TABLE, SCALE = "cityscapes", "smoke"


def log(shift: float = 0.0, dejavu: bool = False) -> Log:
    return {
        "epoch": np.array([1.0, 2.0, 3.0]),
        "loss_task": np.array([3.0, 2.0, 1.0]) + shift,
        "loss_dejavu": np.array([0.3, 0.2, 0.1]) + shift if dejavu else np.full(3, NAN),
        "val_miou": np.array([NAN, 40.0, 50.0]) + shift,
    }


def groups(count: int = 1) -> list[Group]:
    base = Curve("HRNet", [log(0.0), log(0.5)])
    ours = Curve("HRNet + DejaVu", [log(1.0, dejavu=True), log(2.0, dejavu=True)])
    return [Group(f"group {i}", [base, ours] if i == 0 else [base]) for i in range(count)]


def curves_figure() -> Figure:
    return draw_curves(groups(2), "Title", "Scale demo, data")


def rows(height: int = 8, width: int = 300, count: int = 2) -> list[PanelRow]:
    """Pictures of one colour or class each, so that any pixel tells which it is."""

    def flat(*colour: int) -> np.ndarray:
        return np.full((height, width, 3), colour, np.uint8)

    def classes(value: int) -> np.ndarray:
        return np.full((height, width), value, np.uint8)

    return [
        PanelRow(
            f"image {i}", flat(10, 20, i), classes(0), classes(1), classes(255), flat(1, 2, 3), flat(9, 8, 7)
        )
        for i in range(count)
    ]


def panel_figure() -> Figure:
    return draw_panel(rows(), PALETTE, CLASSES, "Title", "Scale demo, data")


def content(cells: dict[str, dict[str, tuple[float, ...]]]) -> Content:
    """A table's CSV: of each row and metric the gain, and its interval if any; '#' is a row's base."""
    metrics = tuple(dict.fromkeys(metric for row in cells.values() for metric in row))
    lines = {"#": dict.fromkeys(columns(metrics), "") | {"id": "#", "method": "HRNet", "status": "run"}}
    for name, values in cells.items():
        line = lines["#"] | {"id": name, "method": name, "base": "#"}
        for metric, numbers in values.items():
            keys = (f"{metric}_gain", f"{metric}_gain_lo", f"{metric}_gain_hi")
            line |= {key: f"{number:.4f}" for key, number in zip(keys, numbers, strict=False)}
        lines[name] = line
    return Content(metrics, lines)


def gains_figure() -> Figure:
    """Rows with long names in three groups, of two metrics; and rows of another task."""
    cells = {}
    for i in range(7):
        mean = 0.3 * i - 1
        values = (mean, mean - 0.4, mean + 0.4)
        cells[f"{'abc'[i % 3]} change: to something of a longish name, {i}"] = {"miou": values}
        cells[f"{'abc'[i % 3]} change: to something of a longish name, {i}"]["boundary_miou"] = values[:1]
    for i in range(3):
        cells[f"depth: {i}"] = {"depth_aerr": (0.01 * i, -0.02, 0.03)}
    return draw_gains(content(cells), "Title", "Scale demo, data")


FIGURES: list[Callable[[], Figure]] = [curves_figure, panel_figure, gains_figure]


@pytest.mark.parametrize("draw", FIGURES)
def test_png_repeats_to_the_byte(draw: Callable[[], Figure], tmp_path: Path) -> None:
    save(draw(), tmp_path / "a.png")
    save(draw(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 1000 and "Software" not in image.info


@pytest.mark.parametrize("draw", FIGURES)
def test_title_and_note_are_on_the_figure(draw: Callable[[], Figure]) -> None:
    texts = [text.get_text() for text in draw().texts]
    assert "Title" in texts and "Scale demo, data" in texts


@pytest.mark.parametrize("draw", FIGURES)
def test_nothing_is_drawn_outside_the_page(draw: Callable[[], Figure]) -> None:
    figure = draw()
    figure.canvas.draw()
    page = figure.bbox
    parts = [*figure.texts, *figure.legends, *(axes for axes in figure.axes)]
    for part in parts:
        box = part.get_tightbbox()
        assert box is not None
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1, part


def test_a_users_matplotlib_settings_change_nothing(tmp_path: Path) -> None:
    import matplotlib as mpl

    save(curves_figure(), tmp_path / "a.png")
    with mpl.rc_context(
        {"font.size": 20, "savefig.dpi": 40, "savefig.bbox": "tight", "axes.facecolor": "red"}
    ):
        save(curves_figure(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_lines_are_the_means_and_bands_the_extremes_over_seeds() -> None:
    task, dejavu, miou = draw_curves(groups(), "t", "s").axes
    assert [line.get_label() for line in task.lines] == ["HRNet", "HRNet + DejaVu"]
    assert task.lines[0].get_xydata().tolist() == [[1, 3.25], [2, 2.25], [3, 1.25]]
    assert task.lines[1].get_xydata().tolist() == [[1, 4.5], [2, 3.5], [3, 2.5]]
    corners = task.collections[0].get_paths()[0].vertices
    assert {(x, y) for x, y in corners.tolist()} >= {(1, 3.0), (1, 3.5), (3, 1.0), (3, 1.5)}
    assert len(dejavu.lines) == 1  # the baseline has none
    np.testing.assert_allclose(dejavu.lines[0].get_ydata(), [1.8, 1.7, 1.6])
    assert miou.lines[0].get_xydata().tolist() == [[2, 40.25], [3, 50.25]]  # where it was measured


def test_every_plot_has_its_axes_named_with_units() -> None:
    plots = draw_curves(groups(), "t", "s").axes
    assert [plot.get_ylabel() for plot in plots] == ["task loss", "γ · DejaVu loss", "validation mIoU (%)"]
    assert {plot.get_xlabel() for plot in plots} == {"epoch"}


def test_lines_of_a_plot_differ_in_colour_and_in_dash() -> None:
    first, second = draw_curves(groups(), "t", "s").axes[0].lines
    assert first.get_color() != second.get_color() and first.get_linestyle() != second.get_linestyle()


def test_more_curves_than_colours_are_all_drawn() -> None:
    many = Group("g", [Curve(str(i), [log(i)]) for i in range(9)])
    assert len(draw_curves([many], "t", "s").axes[0].lines) == 9


def test_each_group_has_a_line_of_plots() -> None:
    plots = draw_curves(groups(2), "t", "s").axes
    assert len(plots) == 6
    assert [plots[i].get_title(loc="left") for i in (0, 3)] == ["group 0", "group 1"]
    assert [text.get_text() for text in plots[4].texts] == ["not measured"]  # no DejaVu row in group 1


def test_band_keeps_to_epochs_that_every_seed_measured() -> None:
    short = {"epoch": np.array([2.0]), "val_miou": np.array([44.0])}
    epochs, mean, low, high = band([log(), short], "val_miou")
    assert [part.tolist() for part in (epochs, mean, low, high)] == [[2.0], [42.0], [40.0], [44.0]]


def test_log_is_read_as_training_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "seed0.csv"
    path.write_text(
        "step,epoch,lr,loss,loss_task,loss_dejavu,val_miou\n5,1,0.1,2.5,2.0,0.5,\n10,2,0,1,1,,60\n"
    )
    found = read_log(path, "make")
    np.testing.assert_array_equal(found["epoch"], [1, 2])
    np.testing.assert_array_equal(found["loss_dejavu"], [0.5, NAN])
    np.testing.assert_array_equal(found["val_miou"], [NAN, 60])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "seed0.csv is missing: make it with `dejavu train x`"),
        ("epoch,loss_task\n1,2\n", "not a training log.*loss_dejavu"),
        ("epoch,loss_task,loss_dejavu,val_miou\n1,2,x,\n", "not a training log.*could not convert"),
        ("epoch,loss_task,loss_dejavu,val_miou\n1,2\n", "not a training log.*NoneType"),
        ("epoch,loss_task,loss_dejavu,val_miou\n", "holds no epoch"),
    ],
)
def test_a_log_that_is_none_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "seed0.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DejavuError, match=message):
        read_log(path, "dejavu train x")


def test_panel_holds_every_picture_in_its_place() -> None:
    picture = compose(rows(), PALETTE)
    height, width = 8, 300
    assert picture.shape == (2 * height + GAP, 6 * width + 5 * GAP, 3)
    expected = [[10, 20, None], [128, 64, 128], [70, 70, 70], [0, 0, 0], [1, 2, 3], [9, 8, 7]]
    for i in range(2):
        for column, colour in enumerate(expected):
            top, left = i * (height + GAP), column * (width + GAP)
            cell = picture[top : top + height, left : left + width].reshape(-1, 3)
            assert np.unique(cell, axis=0).tolist() == [[i if part is None else part for part in colour]]
    assert (picture[height : height + GAP] == 255).all()


def test_panel_reaches_the_png_pixel_for_pixel(tmp_path: Path) -> None:
    save(panel_figure(), tmp_path / "panel.png")
    with Image.open(tmp_path / "panel.png") as image:
        page = np.asarray(image.convert("RGB"))
    picture = compose(rows(), PALETTE)
    top, left = np.argwhere((page == picture[0, 0]).all(-1))[0]
    found = page[top : top + picture.shape[0], left : left + picture.shape[1]]
    np.testing.assert_array_equal(found, picture)


def test_panel_names_columns_images_and_the_classes_that_occur() -> None:
    figure = panel_figure()
    texts = [text.get_text() for text in figure.texts]
    assert set(COLUMNS) <= set(texts)
    legend = {text.get_text(): patch for text, patch in zip(*legend_parts(figure), strict=True)}
    assert list(legend) == ["road", "building", "ignored"]  # nobody is in the picture
    for name, colour in zip(legend, [PALETTE[0], PALETTE[1], (0, 0, 0)], strict=True):
        np.testing.assert_allclose(legend[name].get_facecolor()[:3], np.array(colour) / 255)


def legend_parts(figure: Figure) -> tuple[list, list]:
    (legend,) = figure.legends
    return legend.get_texts(), legend.get_patches()


def test_small_pictures_are_zoomed_by_whole_pixels() -> None:
    row = rows(4, 100, 1)[0]
    row.label[0, 0] = 2
    picture = compose([row], PALETTE)
    assert picture.shape[0] == 4 * 3
    corner = picture[:3, 300 + GAP : 303 + GAP]
    assert (corner == PALETTE[2]).all() and (picture[:4, 303 + GAP] == PALETTE[0]).all()


def test_wide_pictures_are_thinned_photographs_averaged_and_classes_not_mixed() -> None:
    row = rows(4, 1024, 1)[0]
    row.image[:, ::2] = (30, 40, 50)
    row.image[:, 1::2] = (10, 20, 30)
    row.label[:, 512:] = 2
    picture = compose([row], PALETTE)
    assert picture.shape == (1, 6 * 256 + 5 * GAP, 3)
    assert (picture[:, :256] == (20, 30, 40)).all()
    label = picture[0, 256 + GAP : 512 + GAP]
    assert (label[:128] == PALETTE[0]).all() and (label[128:] == PALETTE[2]).all()


def test_every_value_outside_the_palette_is_black() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    coloured = colour_classes(values, PALETTE).reshape(-1, 3)
    np.testing.assert_array_equal(coloured[:3], PALETTE)
    assert not coloured[3:].any()


# ------------------------------------------------ gains

ROWS = {
    "HRNet": {"miou": (2.0, 1.0, 3.0)},
    "ratio: 0.25": {"miou": (-1.0, -1.5, -0.5)},
    "blocks: 1/8": {"miou": (0.5, -1.0, 2.0)},
    "ratio: 0.75": {"miou": (0.25,)},
}


def spans(axes: Axes) -> list[list[float]]:
    """The two ends of every interval that is drawn, from top to bottom."""
    return [list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 1.8]


def test_rows_of_a_group_stand_together_and_the_rest_in_the_tables_order() -> None:
    found = gains(content(ROWS), "miou")
    assert [(gain.group, gain.name) for gain in found] == [
        *[("", "HRNet + DejaVu"), ("ratio", "0.25"), ("ratio", "0.75"), ("blocks", "1/8")]
    ]
    assert [gain.interval for gain in found] == [(1, 3), (-1.5, -0.5), None, (-1, 2)]
    assert [gain.text for gain in found][1:3] == ["−1.00 [−1.50, −0.50]", "+0.25"]


def test_signs_say_which_way_is_better() -> None:
    for metric, better, worse in (("miou", BETTER, WORSE), ("depth_aerr", WORSE, BETTER)):
        rows = {name: {metric: values["miou"]} for name, values in ROWS.items()}
        signs = [sign_of(gain, METRICS[metric].higher_is_better) for gain in gains(content(rows), metric)]
        assert signs == [better, worse, SINGLE, OPEN]
        (axes,) = draw_gains(content(rows), "t", "s").axes
        said = {text.get_text(): text.get_position() for text in axes.texts}
        arrow = "better →" if metric == "miou" else "← better"
        assert arrow in said and ("worse →" in said) == (metric != "miou")


def test_points_and_intervals_are_the_csvs() -> None:
    (axes,) = draw_gains(content(ROWS), "t", "s").axes
    assert spans(axes) == [[1, 3], [-1.5, -0.5], [-1, 2]]
    points = [line for line in axes.lines if line.get_marker() in {"o", "s", "D"}]
    assert [line.get_xdata()[0] for line in points] == [2, -1, 0.25, 0.5]
    places = [line.get_ydata()[0] for line in points]
    assert places == sorted(places) and axes.yaxis_inverted()
    low, high = axes.get_xlim()
    assert low < -1.5 and high > 3 and axes.get_xlabel() == "mIoU: difference to the base (points)"
    texts = [text.get_text() for text in axes.texts]
    assert {"ratio", "blocks", "0.25", "0.75", "1/8", "HRNet + DejaVu", "+2.00 [+1.00, +3.00]"} <= set(texts)


def test_the_legend_has_the_signs_that_are_drawn() -> None:
    def labels(figure: Figure) -> list[str]:
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert labels(draw_gains(content(ROWS), "t", "s")) == [
        sign.label for sign in (BETTER, WORSE, OPEN, SINGLE)
    ]
    assert labels(draw_gains(content({"x": {"miou": (1.0, 0.5, 2.0)}}), "t", "s")) == [BETTER.label]


def test_metrics_of_the_same_rows_share_their_names() -> None:
    first, second, depth = gains_figure().axes
    assert first.get_position().y0 == second.get_position().y0 > depth.get_position().y1
    names = [[text.get_text() for text in axes.texts] for axes in (first, second, depth)]
    assert "a change" in names[0] and "a change" not in names[1] and "depth" in names[2]
    assert [axes.get_xlabel() for axes in (second, depth)] == [
        *("boundary mIoU: difference to the base (points)", "depth error: difference to the base (m)")
    ]


def test_a_row_far_away_does_not_squeeze_the_others() -> None:
    rows = {f"gamma: {i}": {"miou": (0.5, -1.0, 2.0)} for i in range(9)}
    rows["gamma: 9"] = {"miou": (-90.0, -99.0, -80.0)}
    (axes,) = draw_gains(content(rows), "t", "s").axes
    low, _ = axes.get_xlim()
    assert -10 < low < -2 and "beyond the axis" in axes.get_xlabel()
    arrows = [line for line in axes.lines if line.get_marker() == "<"]
    assert [line.get_xdata()[0] for line in arrows] == [low]


def gains_table(work: schema.Params, text: str | None = None) -> schema.Params:
    """params.yaml with gains for the table's only figure, and its CSV."""
    table = work.tables[TABLE].model_copy(update={"figures": ("gains",)})
    path = Paths(SCALE).table(TABLE, "csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        blank = dict.fromkeys(columns(table.metrics), "") | {"status": "run"}
        lines = [blank | {"id": row.id, "method": row.method, "base": row.base or ""} for row in table.rows]
        lines[1] |= {"miou_gain": "1.0000", "miou_gain_lo": "0.5000", "miou_gain_hi": "1.5000"}
        text = csv_text(lines, table.metrics)
    path.write_text(text)
    return work.model_copy(update={"tables": work.tables | {TABLE: table}})


def test_stage_draws_what_the_table_lists_and_gains_without_torch(work: schema.Params) -> None:
    params = gains_table(work)
    stage.run(params, TABLE, SCALE)
    drawn = Paths(SCALE).figure(TABLE, "gains")
    first = drawn.read_bytes()
    assert [path.name for path in drawn.parent.iterdir()] == [drawn.name]
    (Path() / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    code = (
        "import sys; from dejavu import config, paths, stages; from dejavu.stages import figures;"
        "params = config.load();"
        f"figures.gains(params, {TABLE!r}, {SCALE!r}); print('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False" and drawn.read_bytes() == first


def test_gains_of_a_csv_that_is_not_the_tables_are_refused(work: schema.Params) -> None:
    params = gains_table(work)
    path = Paths(SCALE).table(TABLE, "csv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DejavuError, match=rf"cityscapes.csv has other rows .*`dejavu tables {TABLE} --scale"):
        stage.run(params, TABLE, SCALE)
    path.unlink()
    with pytest.raises(DejavuError, match="cityscapes.csv is missing"):
        stage.run(params, TABLE, SCALE)


def test_classes_are_not_drawn_of_other_tasks(work: schema.Params) -> None:
    other = {
        name: row.model_copy(update={"task": "depth"}) if name in work.tables[TABLE].experiments else row
        for name, row in work.experiments.items()
    }
    with pytest.raises(DejavuError, match=r"'curves' shows semantic segmentation, and the task of 'hrnet18'"):
        stage.run(work.model_copy(update={"experiments": other}), TABLE, SCALE)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory as after `evaluate` at scale smoke, with untrained weights and noise for images."""
    from safetensors.torch import save_file

    from dejavu.inference import build_method, build_network

    root = tmp_path_factory.mktemp("evaluated")
    params, paths = config.load(ROOT / "params.yaml"), Paths(SCALE, root)
    report = write_prepared(paths.prepared("cityscapes"), params.part("cityscapes", SCALE))
    seeds = params.get_scale(SCALE).seeds
    for experiment in params.tables[TABLE].experiments:
        for seed in seeds:
            path = paths.log(experiment, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("epoch,loss_task,loss_dejavu,val_miou\n1,3.0,,\n2,2.0,,40\n")
    for row in stage.first_pair(params, TABLE):
        run = params.run(str(row.experiment), SCALE)
        torch.manual_seed(len(run.experiment))
        network = build_network(run, len(report["classes"]))
        paths.weights(run.experiment, seeds[0]).parent.mkdir(parents=True)
        save_file(network.state_dict(), paths.weights(run.experiment, seeds[0]))
        if run.dejavu is not None:
            method = build_method(run, network, report["classes"])
            save_file(method.training_only.state_dict(), paths.regenerator(run.experiment, seeds[0]))
    return root


@pytest.fixture
def work(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> schema.Params:
    """Work in a copy of that directory."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return config.load(ROOT / "params.yaml")


def write_prepared(folder: Path, part: schema.Part) -> dict[str, Any]:
    """What `prepare` writes, of six images of noise; labels are the image's number."""
    module = reader("cityscapes", part.source)
    random = np.random.default_rng(0)
    arrays = {
        "images": random.integers(0, 256, (6, *part.size, 3), dtype=np.uint8),
        "labels": np.broadcast_to(np.arange(6, dtype=np.uint8)[:, None, None], (6, *part.size)).copy(),
    }
    folder.mkdir(parents=True)
    for kind, array in arrays.items():
        np.save(folder / f"{module.EVALUATE}_{kind}.npy", array)
    (folder / f"{module.EVALUATE}.txt").write_text("".join(f"scene{i}\n" for i in range(6)))
    said = {
        kind: {"shape": list(array.shape), "dtype": "uint8", "sha256": kind} for kind, array in arrays.items()
    }
    report = {"source": part.source, "size": list(part.size)}
    report |= {"classes": list(module.CLASSES), "palette": list(module.PALETTE)}
    report |= {"evaluate": module.EVALUATE, "ignore_index": 255}
    report |= {"splits": {module.EVALUATE: {"count": 6, **said}}}
    (folder / "report.json").write_text(json.dumps(report))
    return report


def test_stage_writes_both_figures_with_the_same_bytes_again(work: schema.Params) -> None:
    files = [Paths(SCALE).figure(TABLE, kind) for kind in ("curves", "panel")]
    stage.run(work, TABLE, SCALE)
    first = [file.read_bytes() for file in files]
    stage.run(work, TABLE, SCALE)
    assert [file.read_bytes() for file in files] == first
    assert all(len(content) < 2**20 for content in first)


def test_panel_shows_each_networks_own_prediction_and_what_was_redacted(work: schema.Params) -> None:
    from dejavu.inference import load_network, normalise

    base, ours = stage.first_pair(work, TABLE)
    folder, seed = Paths(SCALE).prepared("cityscapes"), work.get_scale(SCALE).seeds[0]
    report = read_report(folder)
    split = open_split(folder, report["evaluate"])
    rows = stage.panel_rows(work, SCALE, base, ours, split, report["classes"])
    assert [row.name for row in rows] == ["scene0", "scene2", "scene3", "scene5"]
    assert [np.unique(row.label).tolist() for row in rows] == [[0], [2], [3], [5]]
    predictions = {}
    for row in (base, ours):
        run = work.run(str(row.experiment), SCALE)
        network = load_network(run, len(report["classes"]), Paths(SCALE).weights(run.experiment, seed))
        with torch.inference_mode():
            logits = network(normalise(torch.from_numpy(split.images[[2]])))
            logits = torch.nn.functional.interpolate(
                logits, tuple(work.part("cityscapes", SCALE).size), mode="bilinear"
            )
        predictions[row.id] = logits.argmax(1)[0].numpy()
    # several images in one batch may round a tie otherwise than one
    assert (rows[1].baseline == predictions[base.id]).mean() > 0.99
    assert (rows[1].dejavu == predictions[ours.id]).mean() > 0.99
    assert (rows[1].baseline != rows[1].dejavu).any()
    np.testing.assert_array_equal(rows[1].image, split.images[2])
    kept = (rows[1].redacted == rows[1].image).all(-1).mean()
    assert 0.2 < kept < 0.8  # half of the blocks
    assert rows[1].regenerated.shape == rows[1].image.shape and rows[1].regenerated.dtype == np.uint8


def test_stage_refuses_what_it_cannot_draw(work: schema.Params) -> None:
    table = work.tables[TABLE]
    alone = table.model_copy(update={"rows": tuple(row for row in table.rows if not row.base)})
    with pytest.raises(DejavuError, match=f"tables.{TABLE}: no DejaVu row is run with its base"):
        stage.run(work.model_copy(update={"tables": {TABLE: alone}}), TABLE, SCALE)
    _, ours = stage.first_pair(work, TABLE)
    Paths(SCALE).regenerator(str(ours.experiment), work.get_scale(SCALE).seeds[0]).unlink()
    with pytest.raises(
        DejavuError, match=f"regenerator.safetensors is missing.*dejavu train {ours.experiment}"
    ):
        stage.run(work, TABLE, SCALE)
    path = Paths(SCALE).report("cityscapes")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "moon"}))
    with pytest.raises(
        DejavuError, match="was made from 'moon' .*params.yaml asks for.*dejavu prepare cityscapes"
    ):
        stage.run(work, TABLE, SCALE)


def test_the_drawing_stage_starts_without_heavy_libraries() -> None:
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib'}"
    code = f"import sys, dejavu.stages.figures; print(*{heavy} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
