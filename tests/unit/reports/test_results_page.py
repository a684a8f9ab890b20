"""The page of a scale's results, and the short table of README, from fabricated metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dejavu.commands import main
from dejavu.config import Params, loading
from dejavu.config.paths import Paths
from dejavu.errors import DejavuError
from dejavu.reports.results_page import READING, results_page
from dejavu.reports.short_table import BEGIN, END, fill, short_table
from dejavu.reports.tables.write import write_table
from unit.reports.tables import test_tables
from unit.reports.tables.test_tables import make_params, work

__all__ = ["work"]  # a fixture


@pytest.fixture
def params(work: Path) -> Params:
    """The table 'main' is written, the other two are not; its row 'b' has its base's name."""
    params = make_params()
    write_table(params, "main", "tiny")
    return params


def test_the_page_has_the_tables_that_are_there_and_names_the_others(params: Params) -> None:
    page = results_page(params, "tiny")
    assert page.startswith("# Results at scale `tiny`\n") and READING in page
    table = Paths("tiny").table("main", "md").read_text()
    assert table.replace("### ", "## ") in page
    assert "[CSV](tables/main.csv), [LaTeX](tables/main.tex)" in page
    assert page.endswith("## Not run at this scale\n\nTables: `again`, `tasks`.\n")
    assert "training all seeds" not in page and "![" not in page


def test_the_page_shows_the_figures_that_are_drawn(params: Params) -> None:
    main = params.tables["main"].model_copy(update={"figures": ("gains", "curves")})
    params = params.model_copy(update={"tables": params.tables | {"main": main}})
    path = Paths("tiny").figure("main", "gains")
    path.parent.mkdir()
    path.touch()
    page = results_page(params, "tiny")
    assert (
        f"![{main.title}: gains](figures/main_gains.png)" in page and "curves" not in page.split(READING)[1]
    )


def test_the_page_has_the_remarks_below_their_tables(params: Params) -> None:
    Paths("tiny").remarks.write_text("Small networks.\n\n## main\n\n**No gain** is seen.\n")
    page = results_page(params, "tiny")
    assert (
        page.index("Small networks.") < page.index(READING) < page.index("- Ours") < page.index("**No gain**")
    )


def test_a_remark_on_no_table_is_refused(params: Params) -> None:
    Paths("tiny").remarks.write_text("## mian\n\nNo gain.\n")
    with pytest.raises(
        DejavuError, match="remarks.md: '## mian' is no table of params.yaml, did you mean 'main'"
    ):
        results_page(params, "tiny")


def test_the_page_adds_up_what_training_took(params: Params) -> None:
    for experiment, device in (("plain", "cpu"), ("paired", "cuda")):
        for seed in test_tables.SEEDS:
            sidecar = Paths("tiny").sidecar(experiment, seed)
            sidecar.write_text(json.dumps({"train": {"seconds": 1800.0, "device": device}}))
    assert "one after another took 1.5 hours (CPU) and 1.5 hours (GPU)." in results_page(params, "tiny")


def test_a_scale_without_tables_has_no_page(work: Path) -> None:
    with pytest.raises(DejavuError, match="results/tiny/tables has no table: make one with `dejavu tables`"):
        results_page(make_params(), "tiny")


def pairs_of_one_network() -> Params:
    """Rows 'b' and 'c' of the table are DejaVu rows of row 'a', the same network."""
    rows = [row | {} for row in test_tables.ROWS]
    rows[0] |= {"method": "HRNet", "backbone": "HRNet18"}
    params = make_params()
    table = type(params.tables["main"]).model_validate(params.tables["main"].model_dump() | {"rows": rows})
    return params.model_copy(update={"tables": {"main": table, "again": table}})


def test_the_short_table_has_pairs_of_one_network_with_the_papers_values(work: Path) -> None:
    params = pairs_of_one_network()
    for name in params.tables:
        write_table(params, name, "tiny")
    _, _, *lines = short_table(params, "tiny").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:2]]
    assert cells == [
        ["CamVid, for Cityscapes", "HRNet, HRNet18", "mIoU (%) ↑", "77.60 → 78.85", "62.00 → 64.00"]
        + ["+2.00 [-0.48, +4.48]", "3"],
        ["CamVid, for Cityscapes", "HRNet, HRNet18", "mIoU (%) ↑", "77.60 → 79.00", "62.00 → 63.10"]
        + ["**+1.10 [+0.85, +1.35]**", "3"],
    ]
    assert lines[3].startswith("Of 2 intervals 1 excludes 0") and len(lines) == 4


def test_there_is_no_short_table_without_pairs(params: Params) -> None:
    with pytest.raises(DejavuError, match="no pair with values of the paper was run at scale tiny"):
        short_table(params, "tiny")


def test_the_command_writes_the_page_and_fills_a_file(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "load", lambda file: pairs_of_one_network())
    write_table(pairs_of_one_network(), "main", "tiny")
    readme = work / "README.md"
    readme.write_text(f"# A\n\n{BEGIN}old\n{END}\nmore\n")
    assert main(["index", "--scale", "tiny", "--readme", "README.md"]) == 0
    assert capsys.readouterr().out == "results/tiny/README.md\nREADME.md\n"
    assert Paths("tiny").page.read_text() == results_page(pairs_of_one_network(), "tiny")
    short = short_table(pairs_of_one_network(), "tiny")
    assert readme.read_text() == f"# A\n\n{BEGIN}{short}{END}\nmore\n"
    for fault, named in ((b"\xff", "README.md is no text in UTF-8"), (b"a", "README.md has no lines '<!--")):
        readme.write_bytes(fault)
        Paths("tiny").page.unlink(missing_ok=True)
        assert main(["index", "--scale", "tiny", "--readme", "README.md"]) == 2
        assert named in capsys.readouterr().err and not Paths("tiny").page.exists()


def test_a_block_is_filled_between_its_marks() -> None:
    path = Path("README.md")
    assert fill(f"a\n{BEGIN}old\n{END}b\n", "new\n", path) == f"a\n{BEGIN}new\n{END}b\n"
    for text in ("a\n", f"{BEGIN}a\n", f"{END}{BEGIN}"):
        with pytest.raises(DejavuError, match="README.md has no lines '<!-- results: begin -->' and"):
            fill(text, "new\n", path)
