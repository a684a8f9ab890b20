"""The list of commands is that of the files, and only the one that was typed is imported."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from dejavu import commands
from dejavu.commands.command_line import COMMANDS

SHARED = {"__init__", "command_line", "common"}
HEAVY = "{'torch', 'pydantic', 'yaml', 'numpy', 'pandas', 'scipy', 'matplotlib', 'snakemake', 'dvc'}"


def test_every_file_is_a_command() -> None:
    folder = Path(str(commands.__file__)).parent
    files = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    assert files - SHARED == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_arguments_and_a_run(name: str) -> None:
    module = importlib.import_module(f"dejavu.commands.{name}")
    assert module.__doc__ and f"`dejavu {name}" in module.__doc__
    assert callable(module.add_arguments) and callable(module.run)


@pytest.mark.parametrize("line", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_costs_no_heavy_import(line: list[str]) -> None:
    code = (
        "import sys; from dejavu.commands import main\n"
        f"try: main({line!r})\n"
        f"finally: print('heavy:', *{HEAVY} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage: dejavu" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "heavy:"
