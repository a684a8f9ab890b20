"""An early word from Slurm: a training that saved asks for its job to be run again."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dejavu.commands import main
from dejavu.engines import slurm_requeue
from dejavu.system import signals
from dejavu.training import loop

OUTSIDE = ("SLURM_JOB_ID", "RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", slurm_requeue.NODES)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm job with a stand-in for scontrol first on PATH: the file that it writes its arguments to."""
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    stand_in(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "asked"


def stand_in(folder: Path, end: str) -> None:
    file = folder / "bin" / "scontrol"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'#!/bin/sh\necho "$@" >> {folder / "asked"}\n{end}\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_sigusr1_in_a_job_asks_slurm_to_run_it_again(asked: Path) -> None:
    assert slurm_requeue.requeue(signal.SIGUSR1) == "Slurm runs job 12 again"
    assert asked.read_text() == "requeue 12\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_ends_a_job_for_good_does_not(asked: Path, number: int) -> None:
    """`scancel` and Ctrl-C."""
    assert slurm_requeue.requeue(number) is None and not asked.exists()


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "0", "WORLD_SIZE": "2"},
        {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"},
        {slurm_requeue.NODES: "2", "SLURM_PROCID": "1"},
        {slurm_requeue.NODES: "2", "SLURM_PROCID": "0", "RANK": "0", "WORLD_SIZE": "4"},
    ],
    ids=["of torchrun", "of srun", "launcher of a second machine", "of the first launcher"],
)
def test_one_of_several_processes_does_not(
    asked: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert slurm_requeue.requeue(signal.SIGUSR1) is None and not asked.exists()


@pytest.mark.parametrize(
    "environment",
    [{"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}, {slurm_requeue.NODES: "2", "SLURM_PROCID": "0"}],
    ids=["of srun", "launcher of a machine"],
)
def test_the_first_of_them_does(
    asked: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert slurm_requeue.requeue(signal.SIGUSR1) == "Slurm runs job 12 again"
    assert asked.read_text() == "requeue 12\n"


def test_outside_of_a_job_nobody_is_asked(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID")
    assert slurm_requeue.requeue(signal.SIGUSR1) is None and not asked.exists()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (
            "echo Requested operation is presently disabled >&2; exit 1",
            "Requested operation is presently disabled",
        ),
        ("exit 3", "status 3"),
        ("exec sleep 60", "no answer in 0.2 seconds"),
    ],
    ids=["refused", "failed", "silent"],
)
def test_where_slurm_does_not_it_is_said(
    asked: Path, monkeypatch: pytest.MonkeyPatch, end: str, reason: str
) -> None:
    monkeypatch.setattr(slurm_requeue, "SECONDS", 0.2 if "sleep" in end else 60)
    stand_in(asked.parent, end)
    said = slurm_requeue.requeue(signal.SIGUSR1)
    assert said == f"`scontrol requeue 12` failed ({reason}): submit the job again, and it goes on"


def test_where_there_is_no_scontrol_it_is_said(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(asked.parent))
    said = slurm_requeue.requeue(signal.SIGUSR1)
    assert said is not None and "failed (No such file or directory)" in said


def test_the_command_saves_asks_and_keeps_its_status(
    asked: Path, demo_clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(demo_clone)

    def stopped(*_: object, **__: object) -> None:
        raise signals.Stopped(signal.SIGUSR1, "and saved at step 3 of 8")

    monkeypatch.setattr(loop, "train", stopped)
    capsys.readouterr()
    assert main(["train", "hrnet18", "--scale", "smoke"]) == 128 + signal.SIGUSR1
    assert capsys.readouterr().err.splitlines() == [
        "dejavu: stopped by SIGUSR1 and saved at step 3 of 8: the same command goes on",
        "dejavu: Slurm runs job 12 again",
    ]
    assert asked.read_text() == "requeue 12\n"


IGNORES = "import signal; print(signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN)"


@pytest.mark.parametrize("job", ["12", None])
def test_snakemake_in_a_job_does_not_die_of_the_early_word(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str | None
) -> None:
    """It and what it starts ignore SIGUSR1 as soon as it reads its Snakefile, but not outside of a job."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    text = (root / "workflow" / "Snakefile").read_text()
    lines = text[text.index("# Before a job's time is over") : text.index("# Read by the linter")]
    child = f"import subprocess, sys; subprocess.run(['bash', '-c', '''{sys.executable} -c \"{IGNORES}\"'''])"
    done = subprocess.run(
        [sys.executable, "-c", f"import os, signal\n{lines}\n{child}"], capture_output=True, text=True
    )
    assert done.stdout.strip() == str(job is not None), done.stderr
