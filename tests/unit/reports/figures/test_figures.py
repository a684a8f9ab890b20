"""Figures show what they were given, and repeat to the byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.figure_samples import FIGURES, NAN, content, curves_figure, gains_figure, groups, log
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dejavu.errors import DejavuError
from dejavu.metrics import METRICS
from dejavu.reports.figures.curves import Curve, Curves, Group
from dejavu.reports.figures.curves import draw as draw_curves
from dejavu.reports.figures.elements.gain import BETTER, OPEN, SINGLE, WORSE, gains, sign_of
from dejavu.reports.figures.elements.logs import band, read_log
from dejavu.reports.figures.elements.style import save
from dejavu.reports.figures.gains import Gains
from dejavu.reports.figures.gains import draw as draw_gains


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
    task, dejavu, miou = draw_curves(Curves(groups(), "t", "s")).axes
    assert [line.get_label() for line in task.lines] == ["HRNet", "HRNet + DejaVu"]
    assert task.lines[0].get_xydata().tolist() == [[1, 3.25], [2, 2.25], [3, 1.25]]
    assert task.lines[1].get_xydata().tolist() == [[1, 4.5], [2, 3.5], [3, 2.5]]
    corners = task.collections[0].get_paths()[0].vertices
    assert {(x, y) for x, y in corners.tolist()} >= {(1, 3.0), (1, 3.5), (3, 1.0), (3, 1.5)}
    assert len(dejavu.lines) == 1  # the baseline has none
    np.testing.assert_allclose(dejavu.lines[0].get_ydata(), [1.8, 1.7, 1.6])
    assert miou.lines[0].get_xydata().tolist() == [[2, 40.25], [3, 50.25]]  # where it was measured


def test_every_plot_has_its_axes_named_with_units() -> None:
    plots = draw_curves(Curves(groups(), "t", "s")).axes
    assert [plot.get_ylabel() for plot in plots] == ["task loss", "γ · DejaVu loss", "validation mIoU (%)"]
    assert {plot.get_xlabel() for plot in plots} == {"epoch"}


def test_lines_of_a_plot_differ_in_colour_and_in_dash() -> None:
    first, second = draw_curves(Curves(groups(), "t", "s")).axes[0].lines
    assert first.get_color() != second.get_color() and first.get_linestyle() != second.get_linestyle()


def test_more_curves_than_colours_are_all_drawn() -> None:
    many = Group("g", [Curve(str(i), [log(i)]) for i in range(9)])
    assert len(draw_curves(Curves([many], "t", "s")).axes[0].lines) == 9


def test_each_group_has_a_line_of_plots() -> None:
    plots = draw_curves(Curves(groups(2), "t", "s")).axes
    assert len(plots) == 6
    assert [plots[i].get_title(loc="left") for i in (0, 3)] == ["group 0", "group 1"]
    assert [text.get_text() for text in plots[4].texts] == ["no DejaVu row"]  # no DejaVu row in group 1


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
        (axes,) = draw_gains(Gains(content(rows), "t", "s")).axes
        said = {text.get_text(): text.get_position() for text in axes.texts}
        arrow = "better →" if metric == "miou" else "← better"
        assert arrow in said and ("worse →" in said) == (metric != "miou")


def test_points_and_intervals_are_the_csvs() -> None:
    (axes,) = draw_gains(Gains(content(ROWS), "t", "s")).axes
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

    assert labels(draw_gains(Gains(content(ROWS), "t", "s"))) == [
        sign.label for sign in (BETTER, WORSE, OPEN, SINGLE)
    ]
    assert labels(draw_gains(Gains(content({"x": {"miou": (1.0, 0.5, 2.0)}}), "t", "s"))) == [BETTER.label]


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
    (axes,) = draw_gains(Gains(content(rows), "t", "s")).axes
    low, _ = axes.get_xlim()
    assert -10 < low < -2 and "beyond the axis" in axes.get_xlabel()
    arrows = [line for line in axes.lines if line.get_marker() == "<"]
    assert [line.get_xdata()[0] for line in arrows] == [low]
