"""Checkpoints that a training cannot go on from: each is refused in one sentence, and kept."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch

from dejavu.errors import DejavuError
from dejavu.system import signals
from dejavu.training import loop
from dejavu.training.checkpoint import STATE, RunFolder
from unit.training.test_loop import make_run, train


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "pickled code"])
def test_a_foreign_checkpoint_is_refused_and_kept(content: bytes | None, tmp_path: Path) -> None:
    work = RunFolder(tmp_path, "test", "code")
    if content is None:
        torch.save({"fingerprint": os.system}, work.checkpoint)
    else:
        work.checkpoint.write_bytes(content)
    before = work.checkpoint.read_bytes()
    with pytest.raises(DejavuError, match=r"checkpoint\.pt is not a checkpoint"):
        train(tmp_path, make_run())
    assert work.checkpoint.read_bytes() == before


def test_a_checkpoint_of_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    RunFolder(tmp_path, "other", "code").save({"step": 5, "model": {}})
    assert RunFolder(tmp_path, "test", "code").load(torch.device("cpu")) is None


def test_a_checkpoint_of_other_code_is_refused_and_kept(tmp_path: Path) -> None:
    work = RunFolder(tmp_path, "test", "code")
    work.save({"step": 5, "model": {}})
    with pytest.raises(DejavuError, match="begun by other code"):
        RunFolder(tmp_path, "test", "edited").load(torch.device("cpu"))
    assert work.checkpoint.exists()


@pytest.mark.parametrize("gone", ["model", "code", "log"])
def test_a_checkpoint_that_lacks_a_part_is_refused(gone: str, tmp_path: Path) -> None:
    work = RunFolder(tmp_path, "test", "code")
    work.save(dict.fromkeys(STATE, 0))
    state = torch.load(work.checkpoint, weights_only=True)
    del state[gone]
    torch.save(state, work.checkpoint)
    with pytest.raises(DejavuError, match=r"checkpoint\.pt .*delete it to train from the start"):
        work.load(torch.device("cpu"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run that was stopped at step 3 of 6."""
    folder = tmp_path_factory.mktemp("begun")

    def ask(line: dict) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(signals.Stopped):
        train(folder, make_run(), watch=ask)
    return folder / "checkpoint.pt"


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")],
)
@pytest.mark.parametrize("moment", ["load", "restore"])
def test_too_little_memory_is_no_fault_of_the_checkpoint(
    moment: str, error: Exception, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told to delete it would lose the training."""
    shutil.copy(begun, tmp_path / "checkpoint.pt")

    def fail(*_: object, **__: object) -> None:
        raise error

    owner, function = (torch, "load") if moment == "load" else (loop.Objective, "load_state_dict")
    monkeypatch.setattr(owner, function, fail)
    with pytest.raises(type(error)) as raised:
        train(tmp_path, make_run())
    assert raised.value is error and (tmp_path / "checkpoint.pt").read_bytes() == begun.read_bytes()


WRONG: list[tuple[str, object]] = [
    *(("step", value) for value in ("x", None, 0, -3, 6, 10**6, 2.5, [1])),
    *(("model", value) for value in ({}, [1], None, {"network.unknown": torch.zeros(1)})),
    *(("optimizer", value) for value in ({}, None, {"state": {}, "param_groups": []})),
    *(("scheduler", value) for value in (None, 3, [], {"last_epoch": 1})),
    *(("log", value) for value in ("abc", [1], [], None, [{"epoch": 2}], [{}])),
    *(("sums", value) for value in (torch.zeros(9), torch.zeros(()), None, 1.0)),
    *(("seconds", value) for value in (None, "soon")),
]


@pytest.mark.parametrize(("part", "value"), WRONG, ids=lambda value: re.sub(r"\s+", " ", str(value))[:30])
def test_a_checkpoint_with_a_wrong_part_is_refused_and_kept(
    part: str, value: object, begun: Path, tmp_path: Path
) -> None:
    state = torch.load(begun, weights_only=True)
    torch.save(state | {part: value}, tmp_path / "checkpoint.pt")
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(DejavuError, match=r"checkpoint\.pt is not a checkpoint .*delete it to") as told:
        train(tmp_path, make_run())
    assert len(str(told.value)) < 400 + len(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
