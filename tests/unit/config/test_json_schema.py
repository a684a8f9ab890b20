"""The JSON schema of params.yaml, by which editors complete its keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers import ROOT

from dejavu.config.json_schema import schema
from dejavu.config.yaml import read_yaml

FILE = ROOT / "workflow" / "params.schema.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    content = json.loads(FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


def raw() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(read_yaml(ROOT / "params.yaml")))
    return content


def test_the_schema_is_that_of_the_code() -> None:
    assert FILE.read_text() == schema(), "the schema is older than the code: run `make params.schema.json`"


def test_the_first_line_of_params_yaml_names_it() -> None:
    first = (ROOT / "params.yaml").read_text().partition("\n")[0]
    assert ROOT / Path(first.removeprefix("# yaml-language-server: $schema=")) == FILE


def test_it_takes_params_yaml_as_it_is_written(validator: jsonschema.Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(raw())] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("experiments.hrnet18.netwrok", "hrnet18"), ("experiments.hrnet18.task", "semantics")),
        *(("experiments.hrnet18_dejavu.dejavu.gama", 1.0), ("scales.demo.budget.all.epochs", 0)),
        *(("tables.pair.rows", [1]), ("recipes.hrnet_cityscapes.flip", "yes"), ("dejavu.gamma", -1)),
    ],
)
def test_it_refuses_what_the_code_refuses(
    validator: jsonschema.Draft202012Validator, path: str, value: object
) -> None:
    broken = raw()
    *parents, last = path.split(".")
    section = broken
    for key in parents:
        section = section[key]
    section[last] = value
    assert not validator.is_valid(broken)


def test_options_of_networks_are_open(validator: jsonschema.Draft202012Validator) -> None:
    """The networks themselves know them: `dejavu list` checks them by their code."""
    content = raw()
    content["networks"]["hrnet18"]["anything"] = 3
    assert validator.is_valid(content)


def test_keys_have_the_descriptions_of_the_code() -> None:
    definitions = json.loads(FILE.read_text())["$defs"]
    for section, key in (
        ("Budget", "gpus"),
        ("Budget", "sync_norm"),
        ("MethodChanges", "stride"),
        ("Scale", "data"),
    ):
        assert len(definitions[section]["properties"][key]["description"]) > 10
