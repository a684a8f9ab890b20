"""`dejavu plan --power`: seeds and hours from finished seeds, worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from scipy import stats

from dejavu.commands import main
from dejavu.config import Claim, Params, loading
from dejavu.config.paths import Paths
from dejavu.planning import power
from unit.reports.tables.test_tables import SEEDS, make_params, work

__all__ = ["work"]  # a fixture


@pytest.fixture
def params(work: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A claim on 'paired': its differences are 1, 2, 3 over a mean of 62; a training takes 1800 s."""
    one = Claim(says="It helps", row="paired", metric="miou")
    made = make_params().model_copy(update={"claims": {"main": {"helps": one}}})
    monkeypatch.setattr(loading, "load", lambda file: made)
    for row in ("plain", "paired"):
        for seed in SEEDS:
            sidecar = Paths("tiny").sidecar(row, seed)
            sidecar.write_text(json.dumps({"train": {"seconds": 1800.0}}))
    return made


def printed(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    assert main(["plan", "--power", "--scale", "tiny", *line]) == 0
    return capsys.readouterr().out


def test_the_plan_of_the_claims(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(printed(capsys, "--half-width", "1", "--json"))
    ((pair,), rows) = values["pairs"], values["experiments"]
    assert (pair["row"], pair["against"], pair["metric"], pair["finished"]) == ("paired", "plain", "miou", 3)
    assert pair["spread"] == 1 and pair["wanted"] == 0.62
    assert pair["half_width"] == pytest.approx(4.302652729911275 / math.sqrt(3))
    widths = {n: stats.t.ppf(0.975, n - 1) / math.sqrt(n) for n in range(2, 60)}
    seeds = min(n for n, width in widths.items() if width <= 0.62)
    upper = math.sqrt(2 / stats.chi2.ppf(0.2, 2))
    assert pair["seeds"] == seeds == 13
    assert pair["seeds_at_most"] == min(n for n, width in widths.items() if width * upper <= 0.62)
    assert [(row["experiment"], row["needed"], row["hours"]) for row in rows] == [
        ("paired", 13, 5.0),
        ("plain", 13, 5.0),
    ]
    assert values["hours"] == 10  # ten more of each, of half an hour
    text = printed(capsys, "--half-width", "1")
    line = next(line.split() for line in text.splitlines() if line.startswith("paired"))
    assert line == ["paired", "plain", "mIoU", "(points)", "3", "1.000", "2.484", "0.620", "13"] + [
        str(pair["seeds_at_most"]),
        "1.00",
        "10.0",
    ]
    assert "10.0 hours" in text and "No time is recorded" not in text


def test_a_half_percent_is_the_default_and_is_reached_at_once_where_nothing_varies(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    values = json.loads(printed(capsys, "--json"))
    assert values["half_width_percent"] == 0.5 and values["pairs"][0]["wanted"] == 0.31
    wide = json.loads(printed(capsys, "--json", "--half-width", "100"))
    assert wide["pairs"][0]["seeds"] == 2 and wide["hours"] == 0


def test_rows_are_planned_by_name_with_their_main_metric(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    values = json.loads(printed(capsys, "--json", "deeper", "deep"))
    assert [(one["row"], one["metric"], one["finished"]) for one in values["pairs"]] == [
        ("deeper", "depth_aerr", 2)
    ]
    assert [one["seconds"] for one in values["experiments"]] == [None, None]
    text = printed(capsys, "deeper")
    assert "No time is recorded of deeper, deep: the hours lack them." in text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (("plain",), "none of plain has a base to be paired with: name a row with DejaVu"),
        (("--measure",), "dejavu plan --power reads what was trained: leave --measure out"),
        (("--resources",), "dejavu plan --power reads what was trained: leave --resources out"),
        (("--half-width", "0"), "argument --half-width: must be a number above 0"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    params: Params, capsys: pytest.CaptureFixture[str], line: tuple[str, ...], sentence: str
) -> None:
    assert main(["plan", "--power", "--scale", "tiny", *line]) == 2
    assert sentence in capsys.readouterr().err


def test_a_width_without_power_and_pairs_without_seeds_are_one_sentence(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--half-width", "1", "--scale", "tiny"]) == 2
    assert "--half-width is an option of --power" in capsys.readouterr().err
    for seed in SEEDS[1:]:
        Paths("tiny").metrics("paired", seed).unlink()
    assert main(["plan", "--power", "--scale", "tiny"]) == 2
    assert "no pair at scale tiny has two finished seeds" in capsys.readouterr().err


def test_a_pair_that_lacks_seeds_is_shown_beside_others(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    Paths("tiny").metrics("deeper", 1).unlink()
    values = json.loads(printed(capsys, "--json", "paired", "deeper"))
    assert [(one["finished"], one["seeds"] is None) for one in values["pairs"]] == [(3, False), (1, True)]
    assert power.PERCENT == 0.5
