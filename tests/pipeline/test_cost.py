"""`dejavu cost`: every network counted once, beside what the paper prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import ROOT, copy_params

from dejavu import config
from dejavu.commands import cost, main
from dejavu.config import loading
from dejavu.errors import DejavuError
from dejavu.reports import costs
from dejavu.reports.tables.cells import TOLERANCE

PARAMS = loading.load(ROOT / "params.yaml")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copy_params(tmp_path)
    return tmp_path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which networks were counted: each costs 19.2 GMACs and 100 M parameters here."""
    asked: list[str] = []

    def fake(params: config.Params, run: config.Run) -> dict[str, object]:
        asked.append(run.network.name)
        return {"gmacs": 19.2, "params_m": 100.0, "input": [512, 1024]}

    monkeypatch.setattr("dejavu.evaluation.measure.cost", fake)
    return asked


def unexplained() -> list[str]:
    """Experiments of which the paper prints a cost, and neither their row nor its base has a note."""
    found = {}
    for table in PARAMS.tables.values():
        rows = {row.id: row for row in table.rows}
        for row in table.rows:
            base = rows.get(row.base or "")
            told = row.note or (base is not None and base.note)
            if row.experiment and not told and row.paper.keys() & costs.COSTS.keys():
                found.setdefault(PARAMS.experiments[row.experiment].network, row.experiment)
    return sorted(found.values())


@pytest.mark.parametrize("experiment", unexplained())
def test_a_cost_without_an_explanation_is_the_papers(work: Path, experiment: str) -> None:
    (one,) = costs.count(PARAMS, [experiment], "paper")
    assert one.paper and not one.fault
    for key, printed in one.paper.items():
        assert one.ours[key] == pytest.approx(printed, rel=TOLERANCE), key


def test_published_costs_are_printed_beside_the_papers(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HRNet-W18-Small-v2 with a 1x1 head: 3.94 M parameters, 19.2 GMACs."""
    assert main(["cost", "hrnet18", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["input"] == [512, 1024] and told["network"] == "hrnet18"
    assert told["params_m"] == pytest.approx(3.94, abs=0.005) and told["gmacs"] == pytest.approx(
        19.2, abs=0.05
    )
    assert (told["paper_gmacs"], told["paper_params_m"]) == (19, 4.0)
    assert told["ratio_gmacs"] == pytest.approx(told["gmacs"] / 19) and told["within_tolerance"]


def test_every_network_is_counted_once(counted: list[str]) -> None:
    found = costs.count(PARAMS, [], "smoke")
    networks = {
        (PARAMS.experiments[row.experiment].network, table.dataset, PARAMS.experiments[row.experiment].task)
        for table in PARAMS.tables.values()
        for row in table.rows
        if row.experiment
    }
    assert sorted(counted) == sorted(network for network, _, _ in networks) and len(found) == len(networks)
    rows = {row.id for table in PARAMS.tables.values() for row in table.rows if row.experiment}
    assert {name for one in found for name in one.rows} == rows


@pytest.mark.parametrize(
    ("names", "experiments"),
    [
        (["hrnet18"], {"hrnet18"}),  # the row, not all rows of the network of this name
        (["hrnet18_dejavu", "depth"], {"hrnet18_dejavu", "depth"}),
        (["hrnet18_sa"], {"hrnet18_sa"}),
        (["ocr_hrnet48"], {"ocr_hrnet48"}),
    ],
)
def test_rows_and_experiments_are_found_by_their_names(names: list[str], experiments: set[str]) -> None:
    assert {name for name, _ in costs.chosen(PARAMS, names)} == experiments


def test_a_network_is_found_with_all_that_have_it() -> None:
    networks = dict(PARAMS.networks) | {
        "alone": PARAMS.networks["hrnet18"],
        "mine": PARAMS.networks["hrnet18"],
    }
    row = PARAMS.experiments["hrnet18"].model_copy(update={"network": "mine"})
    params = PARAMS.model_copy(
        update={"networks": networks, "experiments": PARAMS.experiments | {"one": row, "two": row}}
    )
    assert costs.chosen(params, ["mine"]) == [("one", None), ("two", None)]
    with pytest.raises(DejavuError, match="network 'alone' has no experiment"):
        costs.chosen(params, ["alone"])


def test_unknown_names_and_rows_that_are_not_run_are_refused() -> None:
    with pytest.raises(DejavuError, match=r"no row, experiment or network 'hrnet81', did you mean"):
        costs.chosen(PARAMS, ["hrnet81"])
    nobody = [row.id for row in PARAMS.tables["cityscapes"].rows if not row.experiment]
    for name in nobody:
        with pytest.raises(DejavuError, match=f"row '{name}' has no experiment"):
            costs.chosen(PARAMS, [name])


def test_what_is_off_is_marked_and_explained(counted: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cost.print_costs(PARAMS, ["hrnet48", "ocr_hrnet18", "hrnet18"], "smoke")
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line}
    assert lines["hrnet48"][1:] == ["512x1024", "100.00", "19.20", "175", "0.110*", "hrnet48"]
    assert lines["ocr_hrnet18"][4:6] == ["39", "0.492*"]
    assert lines["hrnet18"][1:] == ["512x1024", "100.00", "4", "25.000*", "19.20", "19", "1.011", "hrnet18"]
    (note,) = (row.note for row in PARAMS.tables["cityscapes"].rows if row.id == "hrnet48")
    assert f"  hrnet48: {note}" in said.splitlines()
    assert "  hrnet18: no note of its row says why" in said.splitlines()


def test_a_network_that_cannot_be_counted_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(params: config.Params, run: config.Run) -> dict[str, object]:
        if run.network.name == "hrnet48":
            raise NotImplementedError("aten::x has no meta kernel\nand much more")
        return {"gmacs": 19.2, "params_m": 4.0, "input": [512, 1024]}

    monkeypatch.setattr("dejavu.evaluation.measure.cost", broken)
    with pytest.raises(DejavuError, match=r"^could not count hrnet48: .*aten::x has no meta kernel$"):
        cost.print_costs(PARAMS, ["hrnet18", "hrnet48"], "smoke")
    said = capsys.readouterr().out
    assert "hrnet48 could not be counted: on the meta device it fails" in said and "19.20" in said
