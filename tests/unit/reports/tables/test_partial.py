"""Tables of which a part was run, and rows that explain why their cost is not the paper's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dejavu import config
from dejavu.config.paths import Paths
from dejavu.errors import DejavuError
from dejavu.reports.tables import write as stage
from unit.reports.tables.test_tables import MIOU, SEEDS, make_params, read, work, write_metrics

__all__ = ["work"]  # a fixture
PAPER = 19  # GMACs that the paper prints of row a; ours are 19.24


def text(form: str = "md", table: str = "main") -> str:
    """A form with one space where pandas fills columns up."""
    return re.sub(" +", " ", Paths("tiny").table(table, form).read_text())


def forget(experiment: str, *seeds: int) -> None:
    for seed in seeds:
        Paths("tiny").metrics(experiment, seed).unlink()


# ------------------------------------------------ unfinished tables


def test_rows_without_metrics_are_not_run_where_that_is_allowed(work: Path) -> None:
    forget("sure", *SEEDS)
    with pytest.raises(DejavuError, match="metrics/sure/seed0.json is missing"):
        stage.write_table(make_params(), "main", "tiny")
    stage.write_table(make_params(), "main", "tiny", partial=True)
    assert [line["status"] for line in read().values()] == ["run", "run", *["not run"] * 3]
    assert (read()["c"]["seeds"], read()["c"]["miou_mean"]) == ("0", "")
    assert "Unfinished: 2 of 3 rows that have an experiment were run." in text()
    assert "Not run: nothing of ours is there." in text()


def test_rows_of_some_seeds_have_those_and_their_gain_the_common_ones(work: Path) -> None:
    forget("sure", 4)
    forget("plain", 0)
    stage.write_table(make_params(), "main", "tiny", partial=True)
    plain, paired, sure = (read()[row] for row in "abc")
    assert [line["seeds"] for line in (plain, paired, sure)] == ["2", "3", "2"]
    assert plain["miou_mean"] == "63.000000"  # of seeds 1 and 4
    assert paired["miou_gain"] == f"{(2 + 3) / 2:.6f}"  # of the same
    assert (sure["miou_gain"], sure["miou_gain_lo"]) == ("1.100000", "")  # seed 1 is all that both have
    assert "3 of 3 rows that have an experiment were run, 2 of them with a part of their seeds." in text()
    assert "| Seeds |" in text() and "2 or 3 seeds (of 0, 1, 4)" in text()


def test_a_pair_without_a_common_seed_has_no_gain(work: Path) -> None:
    forget("plain", 0, 1)
    forget("paired", 4)
    stage.write_table(make_params(), "main", "tiny", partial=True)
    assert (read()["b"]["status"], read()["b"]["miou_gain"]) == ("run", "")


def test_a_table_of_which_nothing_is_there_yet_can_be_written(work: Path) -> None:
    for experiment in MIOU:
        forget(experiment, *SEEDS)
    stage.write_table(make_params(), "main", "tiny", partial=True)
    assert {line["status"] for line in read().values()} == {"not run"}
    assert "Unfinished: 0 of 3 rows" in text()


def test_a_finished_table_is_the_same_in_either_way(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    whole = [text(form) for form in ("csv", "md", "tex")]
    stage.write_table(make_params(), "main", "tiny", partial=True)
    assert [text(form) for form in ("csv", "md", "tex")] == whole
    assert "Unfinished" not in whole[1]


def test_a_base_with_more_seeds_than_its_row_is_paired_on_the_common_ones(work: Path) -> None:
    """A recipe of fewer seeds is no missing result: differences of seeds 0 and 1 are 1 and 2."""
    params = make_params()
    fewer = params.experiments["paired"].model_copy(update={"budget": "few"})
    params = params.model_copy(update={"experiments": params.experiments | {"paired": fewer}})
    for seed in SEEDS:
        write_metrics("paired", seed, {"config": params.run("paired", "tiny").as_dict()})
    stage.write_table(params, "main", "tiny")
    row, half = read()["b"], 12.706204736 * 0.5  # t with one degree of freedom; deviation 1 / sqrt 2
    assert (row["seeds"], read()["a"]["seeds"]) == ("2", "3")
    assert (row["miou_mean"], row["miou_gain"]) == ("62.500000", "1.500000")
    assert float(row["miou_gain_hi"]) == pytest.approx(1.5 + half, abs=1e-4)
    assert "Where a row and its base have different seeds, the gain is that of the common ones." in text()
    assert "Unfinished" not in text()


# ------------------------------------------------ costs that are not the paper's


def with_notes(paper: float, **notes: str) -> config.Params:
    """Row a's cost as the paper prints it, and notes of rows by their ids."""
    params = make_params()
    rows = []
    for row in params.tables["main"].rows:
        update = {
            "note": notes.get(row.id),
            "paper": row.paper | ({"gmacs": paper} if row.id in "ab" else {}),
        }
        rows.append(row.model_copy(update=update))
    table = params.tables["main"].model_copy(update={"rows": tuple(rows)})
    return params.model_copy(update={"tables": {"main": table}})


@pytest.mark.parametrize(("paper", "marked"), [(PAPER, False), (19.8, False), (19.9, True), (18.6, True)])
def test_a_cost_more_than_three_percent_off_is_marked(work: Path, paper: float, marked: bool) -> None:
    stage.write_table(with_notes(paper), "main", "tiny")
    assert ("| 19.24 † |" in text()) == marked
    assert (r"19.24 $\dagger$" in text("tex")) == marked
    assert ("- † More than 3 % off the paper's cost, and nothing says why." in text()) == marked


def test_a_note_explains_a_row_and_what_shares_its_network(work: Path) -> None:
    stage.write_table(with_notes(25, a="The paper counts | otherwise."), "main", "tiny")
    rows = [line for line in text().splitlines() if line.startswith("| H")]
    assert ["19.24 (1)" in row for row in rows] == [True, True, False]  # b has a's cost, and c no paper's
    assert "- (1) The paper counts \\| otherwise." in text() and "†" not in text()
    assert "- Costs more than 3 % off the paper's are marked: see (1)." in text()
    assert read()["a"]["note"] == "The paper counts | otherwise." and read()["b"]["note"] == ""


def test_notes_are_numbered_in_the_rows_order_and_said_once(work: Path) -> None:
    stage.write_table(with_notes(PAPER, b="Second.", c="Third.", d="Second.", a=""), "main", "tiny")
    names = [line.split(" | ")[0].strip("| ") for line in text().splitlines() if line.startswith("| ")][1:]
    assert names == ["H_R&D", "HRNet (1)", "HRNet (2)", "OCR (1)", "OCR + DejaVu"]  # no cost is off
    assert text().count("Second.") == 1 and text().index("(1) Second.") < text().index("(2) Third.")
    assert "HRNet (1) & HRNet18 &" in text("tex")


def test_parameters_of_the_paper_have_their_column(work: Path) -> None:
    params = make_params()
    rows = tuple(
        row.model_copy(update={"paper": row.paper | {"params_m": 4.0}}) if row.id == "a" else row
        for row in params.tables["main"].rows
    )
    table = params.tables["main"].model_copy(update={"rows": rows})
    stage.write_table(params.model_copy(update={"tables": {"main": table}}), "main", "tiny")
    assert "| GMACs, paper | GMACs, ours | Params (M), paper | Params (M), ours |" in text()
    assert "| 19 | 19.24 | 4.0 | 3.94 |" in text()
    assert r"\multicolumn{2}{c}{Params (M)}" in text("tex")


def test_sizes_and_lengths_of_all_kinds_are_told(work: Path) -> None:
    params = make_params()
    part = {"source": "camvid", "size": {"short": 64, "long": 128}}
    scale = params.scale.model_dump(exclude_unset=True) | {"data": {"cityscapes": part}}
    scale["budget"] = {"all": {"iterations": 1500}, "few": {"seeds": 2, "iterations": 1}}
    params = params.model_copy(update={"scales": {"tiny": config.Scale(**scale)}})
    for experiment, values in MIOU.items():
        for seed in values:
            write_metrics(experiment, seed, {"config": params.run(experiment, "tiny").as_dict()})
    stage.write_table(params, "main", "tiny")
    assert "64 pixels on the short side" in text() and "1,500 steps of batch 1 with SGD" in text()
