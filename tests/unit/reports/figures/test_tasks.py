"""Figures of several tasks and of the band study: what is drawn is what was given."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from helpers import ROOT
from helpers.figure_samples import (
    CLASSES,
    EDGES,
    PALETTE,
    TRUTHS,
    band_content,
    bands_figure,
    part,
    tasks_curves_figure,
    tasks_figure,
    teaser_figure,
    weighed_curves_figure,
)
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from dejavu.errors import DejavuError
from dejavu.reports.figures.bands import FINDING, BandStudy, bands, level
from dejavu.reports.figures.bands import draw as draw_bands
from dejavu.reports.figures.elements.colours import (
    COLOURMAP,
    UNKNOWN,
    colour_depth,
    colour_normals,
    depth_limits,
    has_unknown,
    sphere,
)
from dejavu.reports.figures.elements.gain import BETTER, OPEN, SINGLE
from dejavu.reports.figures.elements.logs import read_log
from dejavu.reports.figures.elements.panoptic_colours import colour_segments
from dejavu.reports.figures.elements.pictures import GAP
from dejavu.reports.figures.elements.style import save
from dejavu.reports.figures.elements.task_blocks import PANEL, TEASER, TaskBlocks, block, draw_tasks
from dejavu.reports.figures.elements.tasks import depth

PAPER = ROOT.parents[0] / "shared" / "paper" / "tables.yaml"
T_2 = 4.302652729911275  # 97.5 % quantile of Student's t with two degrees of freedom


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


# ------------------------------------------------ colours


def test_depth_has_the_colours_of_matplotlib_between_its_limits() -> None:
    depth = np.random.default_rng(0).uniform(1.0, 5.0, (20, 30)).astype(np.float32)
    expected = mpl.colormaps[COLOURMAP](Normalize(1.0, 5.0)(depth), bytes=True)[..., :3]
    np.testing.assert_array_equal(colour_depth(depth, (1.0, 5.0)), expected)


def test_depth_beyond_the_limits_is_as_at_them_and_unknown_depth_grey() -> None:
    found = colour_depth(np.array([[-1.0, 1.0, 5.0, 9.0, 0.0, np.nan]]), (1.0, 5.0))[0].tolist()
    assert found[0] == found[1] != found[2] == found[3]
    assert found[4:] == [list(UNKNOWN)] * 2


def test_near_is_bright() -> None:
    colours = colour_depth(np.array([[1.0, 2.0, 3.0, 4.0]]), (1.0, 4.0))[0].astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) < 0).all()


@pytest.mark.parametrize(("truth", "expected"), [([0.0, 0.0], (0.0, 1.0)), ([0.0, 3.0], (3.0, 4.0))])
def test_limits_of_next_to_nothing(truth: list[float], expected: tuple[float, float]) -> None:
    assert depth_limits([np.array([truth])]) == expected


def test_opposite_normals_have_opposite_colours_and_none_is_grey() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 40, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    one, other = (colour_normals(way * vectors).astype(int) for way in (1, -1))
    assert np.abs(one + other - 255).max() <= 1
    assert np.linalg.norm(one - np.array(UNKNOWN), axis=-1).min() > 120
    np.testing.assert_array_equal(colour_normals(np.zeros((2, 2, 3))), np.full((2, 2, 3), UNKNOWN))


def test_the_ball_looks_where_its_names_say() -> None:
    ball = sphere(101).astype(int)
    assert (ball[0, 0] == 255).all() and ball[50, 50].tolist() == [128, 128, 255]  # to the camera
    right, left, up, down = ball[50, 99], ball[50, 1], ball[1, 50], ball[99, 50]
    assert right[0] > 240 > 15 > left[0] and up[1] > 240 > 15 > down[1]


@pytest.mark.parametrize("task", ["depth", "normals"])
def test_unknown_pixels_are_found(task: str) -> None:
    truth = part(task).rows[0].truth
    assert has_unknown([truth]) and not has_unknown([truth[:, 75:]])


# ------------------------------------------------ the panel and the teaser


@pytest.mark.parametrize("task", list(TRUTHS))
def test_every_column_shows_what_it_is_called(task: str) -> None:
    one = part(task)
    seen, (row,) = one.rows[0], block(one, PANEL, PALETTE).rows
    image, truth, before, after, redacted, regenerated = row
    assert [int(picture[0, 0, 0]) for picture in (image, redacted, regenerated)] == [0, 10, 20]
    colours = {
        "semantic": lambda array: array,
        "panoptic": lambda array: colour_segments(array, PALETTE),
        "depth": lambda array: colour_depth(array, (1.0, 5.0)),
        "normals": colour_normals,
    }[task]
    for picture, array in zip((truth, before, after), (seen.truth, seen.before, seen.after), strict=True):
        np.testing.assert_array_equal(picture, colours(array))
    assert (truth[0, -1] == before[0, 0]).all() and (truth[0, 100] == after[0, 0]).all()


def test_the_teaser_has_the_papers_order() -> None:
    names, (row,) = list(TEASER), block(part("semantic"), TEASER, PALETTE).rows
    assert names == ["initial prediction", "redacted input", "regenerated input", "improved prediction"]
    assert [int(picture.ravel()[0]) for picture in row] == [255, 10, 20, 1]


def test_pictures_reach_the_png_pixel_for_pixel(tmp_path: Path) -> None:
    figure = tasks_figure()
    pictures = [np.asarray(image.get_array())[..., :3] for image in figure.images]
    save(figure, tmp_path / "panel.png")
    with Image.open(tmp_path / "panel.png") as image:
        page = np.asarray(image.convert("RGB"))
    blocks = len(TRUTHS)
    assert [picture.shape for picture in pictures] == [(3 * 60 + 2 * GAP, 6 * 300 + 5 * GAP, 3)] * blocks + [
        (110, 110, 3)
    ]
    for number, placed in enumerate(figure.images):
        left, top = int(placed.ox), page.shape[0] - int(placed.oy) - pictures[number].shape[0]
        found = page[top : top + pictures[number].shape[0], left : left + pictures[number].shape[1]]
        if number < blocks:  # the words on the ball are not the ball's
            np.testing.assert_array_equal(found, pictures[number])


def test_each_task_has_its_name_and_its_key() -> None:
    figure = tasks_figure()
    said = texts(figure)
    names = ("segmentation", "panoptic segmentation", "depth", "surface normals")
    assert [said.count(name) for name in names] == [1, 1, 1, 1]
    assert {"up", "down", "left", "right", "to the\ncamera"} <= set(said) and said.count("MTL + DejaVu") == 4
    keys = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert keys == [[*CLASSES, "ignored"], [*CLASSES, "no segment"], ["unknown"], ["unknown"]]
    (bar,) = figure.axes
    assert bar.get_ylabel() == "depth (m)" and bar.get_ylim() == (5.0, 1.0)  # near above


def test_truth_and_predictions_share_the_scale_whose_end_is_pointed_where_it_is_passed() -> None:
    one = part("depth")
    assert depth.limits(one) == (1.0, 5.0)
    far = [type(seen)(**{**vars(seen), "before": seen.before + 4}) for seen in one.rows]
    beyond = type(one)(one.task, one.title, far)
    assert depth.limits(beyond) == (1.0, 5.0)  # whatever is predicted
    arrowheads = [
        len(draw_tasks(TaskBlocks([some], PANEL, PALETTE, CLASSES, "t", "s")).axes[0].patches)
        for some in (one, beyond)
    ]
    assert arrowheads == [0, 1]


def test_without_unknown_pixels_none_are_explained() -> None:
    one = part("normals")
    known = [type(seen)(**{**vars(seen), "truth": seen.truth[:, 75:]}) for seen in one.rows]
    figure = draw_tasks(
        TaskBlocks([type(one)(one.task, one.title, known)], PANEL, PALETTE, CLASSES, "t", "s")
    )
    assert not figure.legends
    assert len(teaser_figure().legends) == 1  # the classes: there, no truth is shown


# ------------------------------------------------ curves of several tasks


def test_curves_of_several_tasks_have_a_plot_for_each_main_metric() -> None:
    plots = tasks_curves_figure().axes
    labels = [plot.get_ylabel() for plot in plots[:5]]
    assert labels == [
        *("task loss", "γ · DejaVu loss", "validation\nmIoU (%)"),
        *("validation\ndepth error (m)", "validation\nnormals error (°)"),
    ]
    assert [len(plot.lines) for plot in plots] == [2, 1, 2, 2, 2, 2, 0, 0, 1, 1]
    said = [[text.get_text() for text in plot.texts] for plot in plots[6:8]]
    assert said == [["no DejaVu row"], ["not measured"]]
    assert plots[8].lines[0].get_xydata().tolist() == [[2, 0.7], [3, 0.6]]


def test_weights_and_xtcs_loss_stand_below_what_they_belong_to() -> None:
    """Four plots a line; the rows' logs have weights of both tasks, XTC's its loss."""
    plots = weighed_curves_figure().axes
    assert len(plots) == 4 * 4
    drawn = {place: plot.get_ylabel() for place, plot in enumerate(plots) if plot.lines}
    assert [place for place in drawn if 4 <= place < 8] == [6, 7]  # the plots below the two metrics
    assert (drawn[6], drawn[7]) == ("weight of the\ndepth loss", "weight of the\nsurface normals loss")
    assert [line.get_label() for line in plots[6].lines] == ["DWA", "MGDA"]  # MTAN weighs nothing
    assert plots[6].lines[0].get_xydata().tolist() == [[1, 1.0], [2, 0.5], [3, 0.25]]
    assert [place for place in drawn if place >= 12] == [13]  # below the DejaVu loss
    assert drawn[13] == "XTC loss, weighted" and len(plots[13].lines) == 2
    assert plots[13].lines[0].get_ydata().tolist() == [4.0, 3.0, 2.0]
    titles = [plot.get_title(loc="left") for plot in plots[::4]]
    assert titles == ["weighed", "", "XTC", ""]
    assert plots[6].lines[1].get_color() == plots[2].lines[1].get_color()  # one legend serves both lines


def test_the_legend_of_many_curves_stands_where_no_loss_is_drawn() -> None:
    plots = weighed_curves_figure().axes
    named = {place for place, plot in enumerate(plots) if plot.get_legend() is not None}
    assert named == {1, 8}  # beside the three curves, and among the two
    figure = plots[0].figure
    figure.canvas.draw()
    legend = plots[1].get_legend()
    (said,) = plots[1].texts
    assert legend is not None
    assert not legend.get_window_extent().overlaps(said.get_window_extent())


def test_weights_are_read_where_a_log_has_them(tmp_path: Path) -> None:
    head, line = "epoch,loss_task,loss_dejavu,val_depth_aerr", "1,2.0,,0.5"
    plain, more = tmp_path / "a.csv", tmp_path / "b.csv"
    plain.write_text(f"{head}\n{line}\n")
    more.write_text(f"{head},weight_depth,loss_consistency\n{line},0.25,3\n")
    assert not {"weight_depth", "loss_consistency"} & set(read_log(plain, "x", ["depth"]))
    found = read_log(more, "x", ["depth"])
    assert (found["weight_depth"].tolist(), found["loss_consistency"].tolist()) == ([0.25], [3.0])
    more.write_text(f"{head},weight_depth\n{line},much\n")
    with pytest.raises(DejavuError, match="b.csv is not a training log"):
        read_log(more, "x", ["depth"])


# ------------------------------------------------ the band study


def test_bands_stand_where_they_are_from_low_to_high() -> None:
    rows = bands(band_content(), EDGES, "depth_aerr")
    assert [(row.low, row.high, row.centre) for row in rows] == [
        *[(0, 0.25, 0.125), (0.25, 0.5, 0.375), (0.5, 1, 0.75)]
    ]
    assert [row.level.mean for row in rows] == [0.59, 0.55, 0.61]
    assert [row.gain.interval for row in rows if row.gain] == [None, (-0.07, -0.03), (-0.01, 0.03)]


def test_the_interval_of_a_mean_is_students() -> None:
    found = level(band_content().lines["none"], "depth_aerr")
    half = T_2 * 0.01 / 3**0.5
    assert found.interval == pytest.approx((0.6 - half, 0.6 + half))
    assert level(band_content().lines["low"], "depth_aerr").interval is None


def test_levels_differences_and_the_network_without_dejavu_are_drawn() -> None:
    upper, lower = bands_figure().axes
    flat = [line for line in upper.lines if line.get_linewidth() == 2.2]
    assert [list(line.get_xdata()) for line in flat] == [[0, 0.25], [0.25, 0.5], [0.5, 1]]
    assert [line.get_ydata()[0] for line in flat] == [0.59, 0.55, 0.61]
    (across,) = [line for line in upper.lines if line.get_linestyle() == "--"]
    assert list(across.get_ydata()) == [0.6, 0.6]
    bars = [line for line in lower.lines if line.get_linewidth() == 1.8]
    assert [list(line.get_ydata()) for line in bars] == [[-0.07, -0.03], [-0.01, 0.03]]
    assert [line.get_xdata()[0] for line in bars] == [0.375, 0.75]
    assert lower.get_xlim() == (0, 1) and [text.get_text() for text in lower.get_xticklabels()] == [
        *("0", "0.25", "0.5", "1")
    ]
    assert upper.get_ylabel().startswith("depth error (m)")


def test_the_legend_says_what_the_intervals_say_and_the_page_what_the_paper_found() -> None:
    figure = bands_figure()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [BETTER.label, OPEN.label, SINGLE.label]  # a lower error is better
    assert any("paper's finding" in text and "the middle band" in text for text in texts(figure))


def test_without_a_row_without_dejavu_no_line_is_drawn() -> None:
    rows = bands(band_content(), EDGES, "depth_aerr")
    upper, _ = draw_bands(BandStudy(rows, None, "depth_aerr", "t", "s")).axes
    assert not [line for line in upper.lines if line.get_linestyle() == "--"]


def test_the_finding_is_the_papers() -> None:
    if not PAPER.exists():
        pytest.skip(f"the paper's tables are not at {PAPER}")
    assert yaml.safe_load(PAPER.read_text())["band_study"]["finding"] == FINDING
