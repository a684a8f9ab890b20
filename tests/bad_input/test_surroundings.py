"""What surrounds a command: variables, little memory, and a terminal that shows less than what is said."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dejavu.commands import main
from dejavu.training import loop

from . import samples
from .checks import Refused
from .limits import little_memory


@pytest.mark.parametrize(
    "value",
    ["abc", "0", "-3", "", " ", "1.5", "1e1", "٣", "²", "1025", "9" * 5000, "0" * 5000 + "1"],
    ids=ascii,
)
def test_a_number_of_threads_that_is_none(
    empty: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DEJAVU_THREADS", value)
    refused("list", named=("DEJAVU_THREADS", f"'{value[:40]}'", "1 to 1024"))


@pytest.mark.parametrize("place", ["", "params.yaml"])
def test_a_folder_for_predictions_that_is_none(done: Path, refused: Refused, place: str) -> None:
    refused("predict", "hrnet18", "--out", place, named=("--out", f"'{place}'", "folder"))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what a process has, Linux says")
def test_a_crop_that_the_memory_cannot_hold(done: Path, refused: Refused) -> None:
    params = samples.params()
    params["scales"]["smoke"]["budget"]["all"]["crop"] = [20000, 20000]
    samples.write(done, params)
    with little_memory(2 * 10**9):
        refused("train", "hrnet18", named=("memory", "lower crop"), leaves="runs/*")


def begin_with(error: Exception, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a training to do here, which begins with an error."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop, "build_objective", fail)
    params = samples.params()
    params["scales"]["smoke"]["budget"]["all"]["epochs"] = 5
    samples.write(place, params)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 23.8 GiB for an array with shape (40000, 40000, 2)"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity"),
    ],
    ids=["Python", "numpy", "GPU"],
)
def test_each_kind_of_too_little_memory(
    done: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    begin_with(error, done, monkeypatch)
    refused("train", "hrnet18", named=("memory", str(error).partition(".")[0], "batch_size"))


def test_another_error_of_torch_stays_a_fault_of_ours(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_with(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), done, monkeypatch)
    with pytest.raises(RuntimeError, match="mat1"):
        main(["train", "hrnet18"])


def dejavu(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dejavu", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_a_terminal_of_few_characters_gets_the_command_to_paste(done: Path) -> None:
    told = dejavu("predict", "hrnet18", "--out", "a ü 'b", PYTHONIOENCODING="ascii")
    assert told.returncode == 0, told.stderr
    assert "\\xfc" in told.stdout and (done / "a ü 'b" / "truth").is_dir()
    told = dejavu("predict", "hrnet18", "--out", "a ü 'b", PYTHONIOENCODING="utf-8")
    program, *arguments = shlex.split(told.stdout.partition(": ")[2])
    assert program == "dejavu" and "a ü 'b/truth" in arguments
    again = dejavu(*arguments)
    assert again.returncode == 0 and '"miou"' in again.stdout, again.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_nobody_listens(empty: Path, closed: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m dejavu list {closed}"
    assert subprocess.run(line, shell=True, capture_output=True).returncode == 0
