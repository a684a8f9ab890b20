"""docs/architecture.md has the rule that `make lint` checks; public names stay where users import them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib

import pytest
from helpers import ROOT

import dejavu

PACKAGE = ROOT / "dejavu"
TEXT = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")


def test_the_table_of_import_directions_is_the_contract() -> None:
    table = TEXT.partition("| from top to bottom |\n|---|\n")[2].partition("\n\n")[0]
    assert [re.findall(r"`(\w+)`", line) for line in table.splitlines()] == [
        line.split(" | ") for line in LAYERS
    ]


def test_no_import_runs_upwards() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run([*command, "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_and_the_page_name_every_package() -> None:
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    there -= {"__init__"}
    assert {name for line in LAYERS for name in line.split(" | ")} == there
    for name in there - {"__main__", "errors", "registry"}:
        assert f"| `{name}/` |" in TEXT, name


def test_the_top_of_the_package_holds_packages() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files <= {"__init__.py", "__main__.py", "errors.py", "registry.py", "py.typed"}
    assert sum((path / "__init__.py").exists() for path in PACKAGE.iterdir()) <= 16


# Every name and module that a user of the library may import: removing one breaks somebody's code.
PUBLIC = {
    "dejavu": [
        *("BandPass", "BandStop", "Bands", "Checkerboard", "CyclicConsistency", "DejaVu", "DejavuError"),
        *("ForwardCRM", "HighPass", "LowPass", "Perceptual", "RandomBands", "RandomBlocks", "RandomPixels"),
        *("RecursiveCRM", "SharedAttention", "TextSupervision", "dejavu_loss"),
    ],
    "dejavu.attention": ["SharedAttention", "SharedRegeneration"],
    "dejavu.balancing": ["build", "names"],
    "dejavu.conditioning": ["Conditioning"],
    "dejavu.consistency": [],
    "dejavu.cost": ["measure"],
    "dejavu.cycle": ["CyclicConsistency"],
    "dejavu.errors": ["DejavuError"],
    "dejavu.losses": ["dejavu_loss"],
    "dejavu.method": ["DejaVu"],
    "dejavu.metrics": ["METRICS", "collect"],
    "dejavu.metrics.panoptic": ["PanopticQuality"],
    "dejavu.networks": ["build", "names"],
    "dejavu.partial_labels": ["hide"],
    "dejavu.perceptual": ["Perceptual"],
    "dejavu.predictions": ["Queries", "read"],
    "dejavu.redaction": ["RandomBlocks", "Redaction", "SpatialRedaction", "SpectralRedaction", "build"],
    "dejavu.redaction.spectral": ["BandStop"],
    "dejavu.regeneration": ["CRM", "ForwardCRM", "RecursiveCRM"],
    "dejavu.text": ["TextSupervision"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_import_as_before(module: str) -> None:
    found = importlib.import_module(module)
    for name in PUBLIC[module]:
        assert getattr(found, name)
    attribute = module.removeprefix("dejavu.")
    if module != attribute and "." not in attribute and attribute != "errors":
        assert getattr(dejavu, attribute) is found, "one module, whichever way it is imported"


def test_a_public_module_is_no_second_copy() -> None:
    from dejavu.method.redaction import spectral as inner

    outer = importlib.import_module("dejavu.redaction.spectral")
    assert outer is inner
    assert inner.__spec__ is not None and inner.__spec__.name == "dejavu.method.redaction.spectral"
