"""Completion as the shells ask for it: in a process of its own, by the variables that argcomplete sets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from dejavu.commands.command_line import COMMANDS
from dejavu.config import loading

PARAMS = loading.load(ROOT / "params.yaml")
BY_NAME = {
    "train": PARAMS.experiments,
    "evaluate": PARAMS.experiments,
    "predict": PARAMS.experiments,
    "show": PARAMS.experiments,
    "tables": PARAMS.tables,
    "figures": PARAMS.tables,
    "download": PARAMS.scale.data,
    "prepare": PARAMS.scale.data,
    "cost": [*PARAMS.experiments, *PARAMS.networks],
    "plan": [*PARAMS.experiments, *PARAMS.networks],
    "list": [*PARAMS.experiments, *PARAMS.networks, *PARAMS.datasets, *PARAMS.tables],
}


def completions(line: str, folder: Path, place: Path) -> set[str]:
    """What the shell offers at the end of a line."""
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(place),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
        "IFS": "\013",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dejavu"], cwd=folder, env=os.environ | asked, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return {word.strip() for word in place.read_text().split("\013") if word.strip()}


def test_commands(tmp_path: Path) -> None:
    assert completions("dejavu ", ROOT, tmp_path / "out") >= set(COMMANDS)
    assert completions("dejavu tr", ROOT, tmp_path / "out") == {"train"}


@pytest.mark.parametrize("command", BY_NAME)
def test_names_are_those_of_params_yaml(command: str, tmp_path: Path) -> None:
    assert completions(f"dejavu {command} ", ROOT, tmp_path / "out") == set(BY_NAME[command])


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dejavu train HRNET1", {name for name in PARAMS.experiments if name.startswith("hrnet1")}),
        ("dejavu train hrnet18 --scale ", set(PARAMS.scales)),
        ("dejavu download --scale paper ", set(PARAMS.scales["paper"].data)),
        ("dejavu evaluate hrnet18 --protocol ", set(PARAMS.protocols)),
        ("dejavu list --table ", set(PARAMS.tables)),
        ("dejavu list --task ", {"semantic", "depth", "normals", "panoptic"}),
        ("dejavu score ", {"semantic", "depth", "normals", "panoptic"}),
        ("dejavu score semantic --c", {"--classes"}),
        ("dejavu train hrnet18 --s", {"--seed", "--scale"}),
    ],
)
def test_options_and_their_values(line: str, offered: set[str], tmp_path: Path) -> None:
    assert completions(line, ROOT, tmp_path / "out") == offered


@pytest.mark.parametrize("content", [None, "", "scales: [", "experiments: 3\n"])
def test_without_a_right_params_yaml_nothing_is_offered_and_nothing_printed(
    content: str | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "params.yaml").write_text(content)
    assert completions("dejavu train ", tmp_path, tmp_path / "out") == set()


def test_bash_completes_by_what_argcomplete_registers(tmp_path: Path) -> None:
    """As docs/commands.md says, in a bash of its own."""
    (tmp_path / "dejavu").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m dejavu "$@"\n')
    (tmp_path / "dejavu").chmod(0o755)
    register = Path(sys.executable).with_name("register-python-argcomplete")
    script = f"""
        eval "$("{register}" dejavu)"
        COMP_LINE="dejavu tables pa"; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
        COMP_WORDS=(dejavu tables pa); COMP_CWORD=2
        $(complete -p dejavu | sed 's/.*-F \\([^ ]*\\).*/\\1/') dejavu
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["pair"], "")


def test_zsh_gets_a_function_of_its_own() -> None:
    register = Path(sys.executable).with_name("register-python-argcomplete")
    code = subprocess.run([register, "--shell", "zsh", "dejavu"], capture_output=True, text=True).stdout
    assert code.startswith("#compdef dejavu")
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n", "-c", code], check=True)


@pytest.mark.parametrize("line", [["--help"], ["list", "--help"], ["list"]], ids=" ".join)
def test_a_command_does_not_pay_for_completion(line: list[str]) -> None:
    code = (
        f"import sys; from dejavu.commands import main\ntry: main({line!r})\n"
        "finally: print('heavy:', *{'argcomplete', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1].strip() == "heavy:", done.stderr
