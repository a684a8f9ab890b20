"""`--json`: nothing else on stdout, numbers as numbers, and the same values as the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import ROOT
from PIL import Image

from dejavu.commands import main
from dejavu.commands.common import print_json
from dejavu.config import loading

PARAMS = loading.load(ROOT / "params.yaml")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the project's configuration."""
    for name in ("params.yaml", "paper"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    assert main(line) == 0
    return capsys.readouterr().out


def read(capsys: pytest.CaptureFixture[str], *line: str) -> Any:
    """The JSON, without the constants that JSON does not have."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(printed(capsys, *line, "--json"), parse_constant=refuse)


def numbers(value: Any) -> Iterator[Any]:
    """All values that are not in a list or a mapping."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    else:
        yield value


def no_number_is_text(values: Any) -> None:
    for value in numbers(values):
        if isinstance(value, str):
            with pytest.raises(ValueError):
                float(value)


def test_list(clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    values, text = read(capsys, "list"), printed(capsys, "list")
    assert values.pop("scale") == PARAMS.scale.name
    sections: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("  "):
            sections[key].append(line.split()[0])
        else:
            key = line.rstrip(":").partition(" ")[0]
            sections[key] = []
    assert sections == {key: [one["name"] for one in section] for key, section in values.items()}
    no_number_is_text(values)
    for one in values["scales"]:
        assert f"{one['seeds']} seed" in text and one["width"] == PARAMS.scales[one["name"]].width
    by_line = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    for one in values["experiments"]:
        for key, value in one["differs"].items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert f"{key.removeprefix('dejavu.')} {value}" in by_line[one["name"]]


def test_each_row_differs_from_every_other_of_its_base(
    clone: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows that are trained differently are listed differently: their resolved runs are the truth."""
    rows = read(capsys, "list")["experiments"]
    for one in rows:
        assert one["tables"] == [
            key for key, table in PARAMS.tables.items() if one["name"] in table.experiments
        ]
        for other in rows:
            if one["base"] and (one["base"], one["name"] < other["name"]) == (other["base"], True):
                runs = [PARAMS.run(name, "paper").as_dict() for name in (one["name"], other["name"])]
                for run in runs:
                    run.pop("experiment"), run.pop("seeds")
                listed = [(each["dejavu"], each["differs"]) for each in (one, other)]
                assert (runs[0] == runs[1]) == (listed[0] == listed[1]), (one["name"], other["name"])


@pytest.mark.parametrize("table", PARAMS.tables)
def test_list_of_a_table(table: str, clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    shown = read(capsys, "list", "--table", table)
    assert set(shown) == {"scale", "experiments"}
    assert {one["name"] for one in shown["experiments"]} == set(PARAMS.tables[table].experiments)


@pytest.mark.parametrize("task", ["semantic", "depth", "normals", "panoptic"])
def test_list_of_a_task(task: str, clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [one["name"] for one in read(capsys, "list", "--task", task)["experiments"]]
    assert rows == [name for name, row in PARAMS.experiments.items() if task in row.tasks]


@pytest.mark.parametrize("pattern", ["hrnet18", "HRNet18", "ablation_*_?", "[dx]*"])
def test_list_of_a_pattern(pattern: str, clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    parts = {"hrnet18": ".*hrnet18.*", "ablation_*_?": "ablation_.*_.", "[dx]*": "[dx].*"}
    right = re.compile(parts[pattern.lower()])
    shown = read(capsys, "list", pattern)
    for key in ("scales", "experiments", "networks", "datasets", "tables"):
        names = [one["name"] for one in shown[key]]
        assert names == [name for name in getattr(PARAMS, key) if right.fullmatch(name)]


@pytest.mark.parametrize("key", ["name", "task", "dataset", "network", "base"])
def test_list_in_an_order(key: str, clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read(capsys, "list", "--sort", key)["experiments"]
    values = [one["tasks" if key == "task" else key] for one in rows]
    given = [value for value in values if value is not None]
    assert given == sorted(given) and values == [None] * (len(values) - len(given)) + given
    assert {one["name"] for one in rows} == set(PARAMS.experiments)


def test_show(clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("hrnet18_dejavu", "mtl_dejavu"):
        values = read(capsys, "show", name)
        assert values == yaml.safe_load(printed(capsys, "show", name)) == PARAMS.run(name, "demo").as_dict()


def test_cost(clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    (values,), text = read(capsys, "cost", "hrnet18"), printed(capsys, "cost", "hrnet18")
    cells = text.splitlines()[1].split()
    assert [cells[0], cells[1]] == ["hrnet18", "x".join(map(str, values["input"]))]
    keys = ("params_m", "paper_params_m", "ratio_params_m", "gmacs", "paper_gmacs", "ratio_gmacs")
    for cell, key in zip(cells[2:8], keys, strict=True):
        digits = len(cell.rstrip("*").partition(".")[2])
        assert isinstance(values[key], int | float) and round(values[key], digits) == float(cell.rstrip("*"))


def test_plan(clone: None, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("plan", "hrnet18", "--scale", "smoke", "--tflops", "1")
    values, text = read(capsys, *line), printed(capsys, *line)
    row = values["rows"][0]
    cells = next(one.split() for one in text.splitlines() if one.startswith("  hrnet18 "))
    assert cells[1:4] == [str(row["seeds"]), f"{row['steps']:,}", f"{row['images']:,}"]
    assert (
        cells[4] == f"{row['forward_gmacs_per_image']:.1f}" and cells[6] == f"{row['parameters'] / 1e6:.2f}"
    )
    assert row["flops"] == row["flops_per_step"] * row["steps"] * row["seeds"]
    no_number_is_text(values)


def test_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its output is JSON with the option and without it."""
    monkeypatch.chdir(tmp_path)
    for folder, values in (("gt", [[0, 0, 1, 1]]), ("pred", [[0, 1, 1, 1]])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / folder / "a.png")
    line = ("score", "semantic", "--gt", "gt", "--pred", "pred", "--classes", "2")
    assert read(capsys, *line) == json.loads(printed(capsys, *line))
    assert read(capsys, *line)["miou"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)


def test_what_json_does_not_have_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("inf"), float("nan"), 1.5, (2, None)], "b": {"c": -float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5, [2, None]], "b": {"c": None}}
