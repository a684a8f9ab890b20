"""Gain per class: paired by seed, and the same order in all panels."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from helpers import ROOT
from helpers.figure_samples import class_values
from matplotlib.axes import Axes

from dejavu.commands import figures as stage
from dejavu.config import FORMAT, loading
from dejavu.config.paths import Paths
from dejavu.errors import DejavuError
from dejavu.reports.figures.classes import ALL, EXTREMES, READABLE, ClassGains, arranged, collect, draw, pair
from dejavu.reports.tables.results import read_classes

T_1 = 12.706204736  # 97.5 % quantile of Student's t with one degree of freedom
BASE = {0: {"road": 60.0, "sky": 50.0, "pole": None}, 1: {"road": 62.0, "sky": 51.0, "pole": 3.0}}
OURS = {0: {"road": 63.0, "sky": 49.5, "pole": 1.0}, 1: {"road": 66.0, "sky": 50.0, "pole": 4.0}}


def spans(axes: Axes) -> list[list[float]]:
    return [list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 1.8]


def points(axes: Axes) -> list[float]:
    return [line.get_xdata()[0] for line in axes.lines if line.get_marker() in {"o", "s", "D"}]


def names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if not text.get_text().startswith(("+", "−", "←", "wor"))]


def test_gains_are_those_worked_out_by_hand() -> None:
    """Road gains 3 and 4, the sky loses 0.5 and 1, the pole has both IoUs with seed 1 only."""
    found = {gain.name: gain for gain in pair("p", OURS, BASE).rows}
    assert list(found) == ["road", "sky", "pole"]
    assert found["road"].mean == 3.5
    assert found["road"].interval == pytest.approx((3.5 - T_1 * 0.5, 3.5 + T_1 * 0.5))
    assert found["sky"].mean == -0.75 and not found["sky"].certain
    assert (found["pole"].mean, found["pole"].interval) == (1.0, None)
    assert found["road"].text.startswith("+3.50 [−2.85, +9.85]")


def test_the_mean_is_that_of_miou() -> None:
    """Over the classes that each prediction has: 55 and 116/3 of the base."""
    mean = pair("p", OURS, BASE).mean
    assert mean.name == ALL
    assert mean.mean == pytest.approx(((113.5 / 3 - 55) + (120 / 3 - 116 / 3)) / 2)


def test_only_common_seeds_count_and_a_class_nobody_has_is_left_out() -> None:
    found = pair("p", {**OURS, 2: OURS[0]}, {1: BASE[1] | {"wall": None}})
    assert [gain.mean for gain in found.rows] == [4.0, -1.0, 1.0] and found.rows[0].interval is None


def test_classes_stand_in_the_order_of_their_mean_gain_in_every_panel() -> None:
    first = pair("a", OURS, BASE)
    second = pair("b", {1: {"road": 42.0, "sky": 53.0}}, {1: {"road": 62.0, "sky": 51.0}})
    panels, shared = arranged([first, second])
    order = [[gain.name for gain in panel.rows] for panel in panels]
    assert shared and order == [["pole", "sky", "road"]] * 2  # 1; (-0.75 + 2) / 2; (3.5 - 20) / 2
    assert math.isnan(panels[1].rows[0].mean)  # no pole there


def test_points_and_intervals_are_drawn_where_they_are() -> None:
    (axes,) = draw(ClassGains([pair("HRNet\nHRNet18", OURS, BASE)], "t", "s")).axes
    assert points(axes) == [pytest.approx(pair("p", OURS, BASE).mean.mean), 3.5, 1.0, -0.75]
    assert spans(axes)[1] == pytest.approx([3.5 - T_1 * 0.5, 3.5 + T_1 * 0.5])
    assert names(axes) == [ALL, "road", "pole", "sky", "better →"]
    assert axes.get_title(loc="left") == "HRNet\nHRNet18"
    assert axes.get_xlabel().startswith("IoU: difference to the base (points)")


def test_panels_side_by_side_share_names_axis_and_lines() -> None:
    panels = [pair(str(i), class_values(1 + i), class_values()) for i in range(3)]
    figure = draw(ClassGains(panels, "t", "s"))
    assert len(figure.axes) == 3
    assert names(figure.axes[0])[:4] == [ALL, "class 2", "class 1", "class 0"]
    assert all(names(axes) == ["better →"] for axes in figure.axes[1:])
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    heights = [
        [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "s"] for axes in figure.axes
    ]
    assert heights[0] == heights[1] == heights[2]


def test_of_many_classes_the_largest_gains_and_losses_are_shown() -> None:
    count = READABLE + 1
    one = pair("p", class_values(-1.0, count), class_values(0.0, count))  # class i loses i - 1
    (panel,), shared = arranged([one])
    assert not shared and len(panel.rows) == 2 * EXTREMES
    assert [gain.name for gain in panel.rows][:2] == ["class 0", "class 1"]
    assert [gain.name for gain in panel.rows][-1] == f"class {count - 1}"
    assert {gain.group for gain in panel.rows} == {"largest gains", "largest losses"}
    (axes,) = draw(ClassGains([one], "t", "s")).axes
    assert "largest losses" in names(axes)


# ------------------------------------------------ from the metrics' files


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, seed: int, iou: object) -> Path:
    run = loading.load(ROOT / "params.yaml").run(name, "open")
    path = Paths("open").metrics(name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "experiment": name, "scale": "open", "dataset": "camvid", "seed": seed}
    path.write_text(json.dumps(content | {"config": run.as_dict(), "metrics": {"iou": iou}}))
    return path


def test_the_stage_reads_the_metrics_of_the_pairs(work: Path) -> None:
    params = loading.load(ROOT / "params.yaml")
    table = params.tables["cityscapes"].model_copy(update={"figures": ("classes",)})
    params = params.model_copy(update={"tables": {"cityscapes": table}})
    for seed in (0, 1):
        write("hrnet18", seed, BASE[seed])
        write("hrnet18_dejavu", seed, OURS[seed])
    with pytest.raises(DejavuError, match=r"seed2.json is missing: make it with `dejavu evaluate hrnet18"):
        stage.draw_figures(params, "cityscapes", "open")
    figure = draw(collect(params, "cityscapes", "open", partial=True))
    (axes,) = figure.axes  # of the pairs that there are
    assert points(axes)[1:] == [3.5, 1.0, -0.75]
    assert axes.get_title(loc="left") == "HRNet + DejaVu\nHRNet18"
    said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "2 seeds (0, 1). Unfinished: 2 of " in said and "2 of them with a part of their seeds." in said
    assert "Of 2 intervals none exclude 0; if nothing had any effect, about 0.1 would" in said


@pytest.mark.parametrize("iou", [None, {}, [1, 2], {"road": "60"}, {"road": True}])
def test_metrics_without_classes_are_refused(work: Path, iou: object) -> None:
    path = write("hrnet18", 0, iou)
    run = loading.load(ROOT / "params.yaml").run("hrnet18", "open")
    with pytest.raises(
        DejavuError, match=rf"{path.name}: metrics.iou .*dejavu evaluate hrnet18 --scale open"
    ):
        read_classes(Paths("open"), run, (0,))
