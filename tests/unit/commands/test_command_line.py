"""The list of commands is that of the files, and only the one that was typed is imported."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dejavu
from dejavu import commands
from dejavu.commands.command_line import COMMANDS

SHARED = {"__init__", "command_line", "common", "completion", "parser"}
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


def test_alone_it_shows_its_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """As git does: a script whose variable is empty must not go on."""
    assert commands.main([]) == 2
    alone = capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        commands.main(["--help"])
    assert end.value.code == 0 and (alone.out, alone.err) == tuple(capsys.readouterr())
    assert all(f"    {name} " in alone.out for name in COMMANDS)


def test_versions_of_what_results_depend_on(capsys: pytest.CaptureFixture[str]) -> None:
    import platform

    import torch

    with pytest.raises(SystemExit) as end:
        commands.main(["--version"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0
    assert lines[:3] == [
        f"dejavu {dejavu.__version__}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    assert lines[3].startswith("device: ") and len(lines) == 4
    assert ("CPU" in lines[3]) == (not torch.cuda.is_available())
