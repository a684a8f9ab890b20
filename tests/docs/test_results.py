"""The committed results of the scale `open`: metrics of the current format, and the tables made from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import ROOT, copy_params

from dejavu.__main__ import main
from dejavu.config import FORMAT, loading
from dejavu.config.paths import FORMS, Paths

PARAMS = loading.load(ROOT / "params.yaml")
HERE = Paths("open", ROOT)
FILES = sorted(HERE.metrics("", 0).parent.rglob("seed*[0-9].json"))
TABLES = [name for name in PARAMS.tables if HERE.table(name, "csv").exists()]


def test_metrics_have_the_format_and_the_configuration_of_today() -> None:
    assert len(FILES) > 100
    for file in FILES:
        content = json.loads(file.read_text())
        assert content["format"] == FORMAT
        assert content["config"] == PARAMS.run(file.parent.name, "open").as_dict(), file


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.filterwarnings("ignore:.*were not trained alike")
def test_tables_are_those_of_the_metrics(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    for experiment in PARAMS.tables[table].experiments:
        for path in (HERE.metrics(experiment, 0).parent, HERE.log(experiment, 0).parent):
            if path.exists():
                shutil.copytree(path, path.relative_to(ROOT))
    assert main(["tables", table, "--scale", "open", "--partial"]) == 0
    for form in FORMS:
        assert Paths("open").table(table, form).read_bytes() == HERE.table(table, form).read_bytes()
    capsys.readouterr()
