"""Verdicts on claims from fabricated metrics, with numbers worked out by hand."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from dejavu.commands import main
from dejavu.config import Claim, Params, claim, loading
from dejavu.config.paths import FORMS, Paths
from dejavu.errors import DejavuError
from dejavu.metrics import DELTA
from dejavu.reports.results_page import READING, results_page
from dejavu.reports.tables.write import write_table
from dejavu.reports.verdicts.decide import Verdict, decided, verdicts
from dejavu.reports.verdicts.forest import draw, rows
from dejavu.reports.verdicts.write import write_verdicts
from unit.reports.tables.test_tables import SEEDS, make_params, work, write_metrics

__all__ = ["work"]  # a fixture

MIOU = {"row": "paired", "metric": "miou"}  # differences 1, 2, 3
SURE = {"row": "sure", "metric": "miou"}  # differences 1, 1.1, 1.2
DEPTH = {"row": "deeper", "metric": "depth_aerr"}  # differences -0.05, -0.07
ROWS = {"open": MIOU, "sure": SURE, "deep": DEPTH}


def claiming(claims: dict[str, dict[str, Any]] = ROWS, params: Params | None = None) -> Params:
    """The fabricated params.yaml with one family of claims."""
    made = {name: Claim(**({"says": f"Row {name} helps"} | one)) for name, one in claims.items()}
    return (params or make_params()).model_copy(update={"claims": {"main": made}})


def lines() -> dict[str, dict[str, str]]:
    with open(Paths("tiny").table("verdicts", "csv"), encoding="utf-8", newline="") as file:
        return {line["claim"]: line for line in csv.DictReader(file)}


def of(params: Params) -> dict[str, Verdict]:
    return {one.name: one for one in verdicts(params, "tiny")}


def test_each_number_of_a_claim(work: Path) -> None:
    write_verdicts(claiming(), "tiny")
    line = lines()["sure"]
    assert (line["row"], line["against"], line["metric"], line["seeds"]) == ("sure", "plain", "miou", "3")
    p = stats.ttest_1samp([1.0, 1.1, 1.2], 0).pvalue
    half = 4.302652729911275 * 0.1 / math.sqrt(3)
    by_hand = {"base_mean": 62, "base_std": 2, "mean": 63.1, "gain": 1.1, "gain_lo": 1.1 - half}
    by_hand |= {"improvement": 110 / 62, "improvement_hi": 100 * (1.1 + half) / 62, "p": p}
    by_hand |= {"better": 6 / 9, "p_holm": 3 * p}  # 61, 63.1, 65.2 against 60, 62, 64
    for key, value in by_hand.items():
        assert float(line[key]) == pytest.approx(value, abs=1e-6), key
    assert line["verdict"] == "confirmed" and 3 * p < 0.05
    deep = lines()["deep"]
    assert float(deep["gain"]) == pytest.approx(-0.06) and float(deep["improvement"]) == pytest.approx(
        6 / 0.55
    )
    assert float(deep["improvement_lo"]) < float(deep["improvement"]) < float(deep["improvement_hi"])
    assert deep["better"] == f"{3 / 4:.6f}"  # 0.45 and 0.53 are below 0.50 and 0.60, but for one pair
    assert (
        lines()["open"]["verdict"] == "not decided" and lines()["open"]["p_holm"] == "0.148360"
    )  # twice its own


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "confirmed"),
        ({"expected": "worse"}, "refuted"),
        ({"row": "plain", "against": "sure"}, "refuted"),
        ({"row": "plain", "against": "sure", "expected": "worse"}, "confirmed"),
    ],
)
def test_the_sign_decides(work: Path, changes: dict[str, str], verdict: str) -> None:
    assert of(claiming({"one": SURE | changes}))["one"].verdict == verdict


def test_lower_is_better_where_the_metric_says_so() -> None:
    """A family of one claim of three seeds, as good as certain."""
    from dejavu.reports.statistics import Gain
    from dejavu.reports.verdicts.values import Pair

    for gain, expected, verdict in (
        (-0.1, "better", "confirmed"),
        (0.1, "better", "refuted"),
        (0.1, "worse", "confirmed"),
    ):
        one = Claim(says="x", row="deeper", metric="depth_aerr", expected=expected)
        pair = Pair("deeper", "deep", "depth_aerr", {}, {}, ())
        before = Verdict("f", "x", one, pair, "not decided", gain=Gain(gain, None, None, 3), p=0.001)
        assert decided([before])[0].verdict == verdict
        assert decided([before] * 50)[0].verdict == "not decided"  # 50 x 0.001


def test_a_larger_family_needs_smaller_p_values(work: Path) -> None:
    alone, many = (
        of(claiming({"sure": SURE})),
        of(claiming({"sure": SURE} | {f"x{n}": MIOU for n in range(19)})),
    )
    assert (alone["sure"].verdict, many["sure"].verdict) == ("confirmed", "not decided")
    assert many["sure"].p == alone["sure"].p and many["sure"].corrected == pytest.approx(20 * alone["sure"].p)
    assert many["sure"].detectable > alone["sure"].detectable


def test_claims_that_were_not_run_change_no_other(work: Path) -> None:
    whole = of(claiming())
    for seed in (0, 1):
        Paths("tiny").metrics("deeper", seed).unlink()
    part = of(claiming())
    assert part["deep"].verdict == "not run" and part["deep"].gain is None
    assert (part["sure"].corrected, part["sure"].detectable) == (
        whole["sure"].corrected,
        whole["sure"].detectable,
    )


def test_there_is_no_verdict_before_all_seeds_are_there(work: Path) -> None:
    Paths("tiny").metrics("sure", 4).unlink()
    one = of(claiming())["sure"]
    assert (one.verdict, one.p, one.note) == (
        "unfinished",
        None,
        "2 of 3 seeds are there: no test before all are",
    )
    assert one.gain is not None and one.gain.n == 2


def test_one_seed_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = claiming({"sure": SURE}, make_params(seeds=[1]))
    for row in ("plain", "sure"):
        write_metrics(row, 1, {"config": params.run(row, "tiny").as_dict()})
    write_verdicts(params, "tiny")
    assert lines()["sure"]["verdict"] == "not decided" and lines()["sure"]["gain_lo"] == ""
    assert (
        "main.sure: one seed: no interval and no test." in Paths("tiny").table("verdicts", "md").read_text()
    )


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_differences_without_a_spread_are_a_sentence(work: Path, gain: float) -> None:
    """Also where they differ by rounding: 60.1 - 60 is not 62.1 - 62."""
    for seed, value in {0: 60.0, 1: 62.0, 4: 64.0}.items():
        write_metrics("sure", seed, {"metrics": {"miou": value + gain}})
    one = of(claiming())["sure"]
    assert (one.verdict, one.p, one.detectable) == ("not decided", None, None)
    assert one.note.startswith("the difference is the same for every seed")
    write_verdicts(claiming(), "tiny")  # all forms and the figure can be written


def test_all_forms_are_the_same_bytes_when_repeated_and_hold_the_same_numbers(work: Path) -> None:
    files = [Paths("tiny").table("verdicts", form) for form in FORMS]
    files.append(Paths("tiny").figure("verdicts", "forest"))
    assert write_verdicts(claiming(), "tiny").startswith(
        "claims at scale tiny: 1 confirmed, 2 not decided of 3 claims, "
    )
    first = [file.read_bytes() for file in files]
    write_verdicts(claiming(), "tiny")
    assert [file.read_bytes() for file in files] == first
    text, tex = first[1].decode(), first[2].decode()
    assert "**confirmed**" in text and r"\textbf{confirmed}" in tex
    for number in ("+1.10 [+0.85, +1.35]", "63.10", "-0.0600"):
        assert number in text and number in tex
    assert "CamVid test (stands in for Cityscapes); 2 or 3 pairs of seeds" in text


def test_nothing_run_is_said_in_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "load", lambda file: claiming())
    assert main(["verdicts", "--scale", "tiny"]) == 0
    assert "3 not run of 3 claims" in capsys.readouterr().out
    assert {line["verdict"] for line in lines().values()} == {"not run"}
    figure = draw(claiming(), "tiny", verdicts(claiming(), "tiny"))
    assert Paths("tiny").figure("verdicts", "forest").exists() and not figure.axes
    assert "3 not run of 3 claims" in figure.texts[1].get_text().replace("\n", " ")


def test_no_claims_and_foreign_metrics_are_refused(work: Path) -> None:
    with pytest.raises(DejavuError, match="params.yaml has no 'claims'"):
        write_verdicts(make_params(), "tiny")
    path = write_metrics("sure", 1, {"scale": "huge"})
    with pytest.raises(DejavuError, match=f"{path}: scale is 'huge', not 'tiny'"):
        write_verdicts(claiming(), "tiny")


def test_the_forest_shows_improvements_in_percent(work: Path) -> None:
    every = verdicts(claiming(), "tiny")
    drawn = {one.name: one for one in rows(every)}
    assert [*drawn] == ["Row open helps (mIoU)", "Row sure helps (mIoU)", "Row deep helps (depth error)"]
    deep = drawn["Row deep helps (depth error)"]
    assert deep.mean == pytest.approx(100 * 0.06 / 0.55) and deep.interval is not None
    assert deep.interval[0] < deep.mean < deep.interval[1]
    assert deep.text.startswith("−0.0600 [") and deep.text.endswith(" m, not decided")
    figure = draw(claiming(), "tiny", every)
    assert len(figure.axes) == 1


def test_the_page_begins_with_the_verdicts(work: Path) -> None:
    params = claiming()
    write_table(params, "main", "tiny")
    assert "Verdicts" not in results_page(params, "tiny")  # not written yet
    write_verdicts(params, "tiny")
    Paths("tiny").remarks.write_text("## verdicts\n\nA remark.\n")
    page = results_page(params, "tiny")
    order = ["## Verdicts on the claims", "A remark.", "figures/verdicts_forest.png", READING, "## Semantic"]
    assert [page.index(text) for text in order] == sorted(page.index(text) for text in order)
    assert "`snakemake --cores 2 results/tiny/tables/verdicts.md`" in page
    with pytest.raises(DejavuError, match="'## verdicts' is no table"):
        results_page(make_params(), "tiny")


def test_delta_mtl_is_computed_from_single_tasks(work: Path) -> None:
    """Rows of two tasks over 'plain' and 'deep': for each seed the mean of the two relative gains."""
    base = make_params()
    both = base.experiments["plain"].model_copy(update={"task": ("semantic", "depth"), "budget": "few"})
    paired = base.experiments["paired"].model_copy(
        update={"task": ("semantic", "depth"), "base": "both", "budget": "few"}
    )
    table = base.tables["main"].model_copy(
        update={"metrics": ("miou", DELTA), "single": {"semantic": "plain", "depth": "deep"}}
    )
    table = table.model_copy(
        update={
            "rows": tuple(
                row.model_copy(update={"experiment": name, "base": None})
                for row, name in zip(table.rows, ("both", "better"), strict=False)
            )
        }
    )
    params = base.model_copy(
        update={"experiments": base.experiments | {"both": both, "better": paired}, "tables": {"main": table}}
    )
    values = {"both": {0: (57.0, 0.55), 1: (62.0, 0.60)}, "better": {0: (60.0, 0.50), 1: (65.1, 0.54)}}
    for name, seeds in values.items():
        for seed, (miou, depth) in seeds.items():
            config = params.run(name, "tiny").as_dict()
            content = {"metrics": {"miou": miou, "depth_aerr": depth}, "config": config, "experiment": name}
            path = Paths("tiny").metrics(name, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                json.dumps(json.loads(Paths("tiny").metrics("plain", seed).read_text()) | content)
            )
    params = claiming({"mtl": {"row": "better", "metric": DELTA}}, params)
    assert claim.experiments(params, "tiny") == ("better", "both", "plain", "deep")
    one = of(params)["mtl"]
    by_hand = [  # relative gains over 60, 0.5 and 62, 0.6, in percent
        (0 + 0) / 2 - 100 * (-3 / 60 - 0.05 / 0.5) / 2,
        100 * (3.1 / 62 + 0.06 / 0.6) / 2 - 0,
    ]
    assert one.pair.differences == pytest.approx(by_hand)
    assert one.pair.improvement(1.5) == 1.5  # it is in percent already
    assert set(SEEDS) > set(one.pair.planned)
