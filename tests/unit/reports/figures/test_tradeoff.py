"""The trade-off: points, lines and bars are the CSV's, ours and the paper's apart."""

from __future__ import annotations

import pytest
from helpers.figure_samples import costs, shared_attention
from matplotlib.axes import Axes

from dejavu.reports.figures.tradeoff import SIDE, TradeOff, draw, families, points
from dejavu.reports.tables.cells import Content


def markers(axes: Axes) -> dict[tuple[float, float], str]:
    """Where markers stand, and how they are filled."""
    drawn = [line for line in axes.lines if line.get_marker() in {"o", "s", "^", "D"}]
    return {(line.get_xdata()[0], line.get_ydata()[0]): line.get_markerfacecolor() for line in drawn}


def lines(axes: Axes, style: str) -> list[list[tuple[float, float]]]:
    found = [line for line in axes.lines if line.get_linestyle() == style and line.get_marker() == "None"]
    return [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in found]


def bars(axes: Axes) -> set[tuple[float, float]]:
    """The ends of every error bar."""
    parts = [part for bar in axes.containers for part in bar.lines[2]]
    return {tuple(segment[:, 1].tolist()) for part in parts for segment in part.get_segments()}


@pytest.fixture(scope="module")
def drawn() -> list[Axes]:
    """Ours against GMACs and parameters, then the paper's."""
    return draw(TradeOff(shared_attention(), "t", "s")).axes


def test_our_points_are_the_csvs(drawn: list[Axes]) -> None:
    by_gmacs = {(19.2, 30), (22, 32), (20.6, 31), (19.2, 31.5), (22.4, 33)}
    by_params = {(3.9, 30), (4.8, 32), (4.4, 31), (3.9, 31.5), (4.1, 33)}
    assert [set(markers(axes)) for axes in drawn[:2]] == [by_gmacs, by_params]
    assert bars(drawn[0]) == bars(drawn[1]) == {(29, 31), (30, 34), (30.5, 31.5), (30.5, 32.5)}
    assert [axes.get_xlabel().split(",")[0] for axes in drawn[2:]] == ["GMACs", "parameters (millions)"]


def test_the_papers_points_are_hollow_and_in_plots_of_their_own(drawn: list[Axes]) -> None:
    assert set(markers(drawn[2])) == {(19, 77.6), (22, 79.0), (19, 78.8)}
    assert set(markers(drawn[3])) == {(4, 77.6), (4.8, 79.0), (4, 78.8)}
    assert all(set(markers(axes).values()) == {"white"} for axes in drawn[2:])
    assert all("white" not in markers(axes).values() for axes in drawn[:2])
    assert all(drawn[0].get_ylim()[1] < axes.get_ylim()[0] for axes in drawn[2:])  # levels are not shared
    assert drawn[0].get_xlim() == drawn[2].get_xlim()  # costs are
    assert drawn[2].get_title(loc="left") == "as printed in the paper"


def test_a_line_joins_plain_networks_of_one_method_by_their_cost(drawn: list[Axes]) -> None:
    assert lines(drawn[0], "-") == [[(19.2, 30), (20.6, 31), (22, 32)]]
    assert lines(drawn[2], "-") == [[(19, 77.6), (22, 79.0)]]
    assert families(points(shared_attention(), "miou")) == [["w18", "w20", "w19"]]


def test_a_dotted_line_leads_from_a_base_to_its_row(drawn: list[Axes]) -> None:
    assert lines(drawn[0], ":") == [[(19.2, 30), (19.2, 31.5)], [(19.2, 30), (22.4, 33)]]


def test_a_value_whose_cost_the_paper_does_not_tell_is_a_level(drawn: list[Axes]) -> None:
    for axes in drawn[2:]:
        (level,) = lines(axes, "--")
        assert {value for _, value in level} == {80.1}
        assert "DejaVu-SA: cost not readable" in [text.get_text() for text in axes.texts]


def test_the_legend_has_each_row_and_a_family_once(drawn: list[Axes]) -> None:
    (legend,) = drawn[0].get_figure().legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["HRNet: W18, W20, W19", "HRNet + DejaVu, W18", "DejaVu-SA"]
    colours = [handle.get_color() for handle in legend.legend_handles]
    assert len(set(colours)) == 3


def test_rows_of_equal_cost_are_drawn_beside_each_other() -> None:
    """The data stay where they are; the drawn places differ by a few points."""
    axes = draw(TradeOff(shared_attention(), "t", "s")).axes[0]
    axes.get_figure().canvas.draw()
    places = {
        (line.get_xdata()[0], line.get_ydata()[0]): line.get_transform().transform(line.get_xydata())[0, 0]
        for line in axes.lines
        if line.get_marker() in {"o", "s"}
    }
    dpi = axes.get_figure().dpi
    assert places[19.2, 31.5] - places[19.2, 30] == pytest.approx(SIDE / 72 * dpi)


def test_without_values_of_the_paper_there_is_no_row_for_it() -> None:
    plain = {"gmacs": 19.2, "params_m": 3.9, "miou_mean": 30}
    figure = draw(TradeOff(costs({"a": plain, "b": plain | {"gmacs": 21}}), "t", "s"))
    assert len(figure.axes) == 2 and bars(figure.axes[0]) == set()


def test_what_was_not_run_is_said() -> None:
    row = {"status": "not run", "paper_miou": 77.6, "paper_gmacs": 19, "paper_params_m": 4}
    content: Content = costs({"a": row})
    assert [text.get_text() for text in draw(TradeOff(content, "t", "s")).axes[0].texts] == ["not run"]
