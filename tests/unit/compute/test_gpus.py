"""Processes of one machine compute on different GPUs; real ones are played by a list of names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dejavu.compute import gpus

NAMES = ["GPU-a", "GPU-b", "GPU-c"]
CLAIMS = """
import sys
from dejavu.compute import gpus
print(gpus.claim(sys.argv[1:]), flush=True)
input()
"""


class Others:
    """Other processes, each with a GPU until the test's end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []

    def begin(self, count: int) -> list[str]:
        """Start so many, all at once; what they got."""
        started = [
            subprocess.Popen(
                [sys.executable, "-c", CLAIMS, *NAMES],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"TMPDIR": str(self.folder)},
                text=True,
            )
            for _ in range(count)
        ]
        self.running += started
        return [str(one.stdout.readline()).strip() for one in started if one.stdout is not None]

    def end(self, number: int) -> None:
        """Kill one as `kill -9` does."""
        process = self.running.pop(number)
        process.kill()
        process.communicate()


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    made = Others(tmp_path)
    yield made
    while made.running:
        made.end(0)


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Stand-ins for three GPUs; the numbers that torch was told."""
    told: list[int] = []
    cuda = {
        "device_count": lambda: len(NAMES),
        "get_device_properties": lambda number: SimpleNamespace(uuid=NAMES[number]),
        "set_device": told.append,
    }
    for name, stand_in in cuda.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpus, "_settled", False)
    monkeypatch.setattr(gpus, "_taken", None)
    yield told
    if gpus._taken is not None:
        gpus._taken.close()


def test_each_gpu_is_taken_by_one(others: Others) -> None:
    assert sorted(others.begin(5)) == ["0", "1", "2", "None", "None"]


def test_it_is_free_again_when_its_process_was_killed(others: Others) -> None:
    assert others.begin(1) == ["0"]
    assert others.begin(1) == ["1"]
    others.end(0)
    assert others.begin(2) in (["0", "2"], ["2", "0"])


def test_a_training_computes_on_a_free_one(others: Others, chosen: list[int]) -> None:
    others.begin(1)
    gpus.settle()
    gpus.settle()  # evaluation, behind the training
    assert chosen == [1]


def test_where_all_are_taken_one_is_shared(
    others: Others, chosen: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    others.begin(3)
    gpus.settle()
    assert len(chosen) == 1 and f"GPU {chosen[0]} is shared" in capsys.readouterr().err


def test_a_process_of_several_has_its_own_and_others_keep_off_it(others: Others, chosen: list[int]) -> None:
    """No two of them may share one, whoever else is there: an orphan of theirs ends when its work is done."""
    gpus.settle(own=1)
    assert chosen == [1] and sorted(others.begin(3)) == ["0", "2", "None"]


def test_without_room_for_locks_it_is_as_if_alone(
    chosen: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    gpus.settle(own=2)
    assert chosen == [2]
