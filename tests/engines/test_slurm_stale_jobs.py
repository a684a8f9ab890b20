"""Slurm jobs of a killed run are cancelled before the next one begins; squeue and scancel are stand-ins."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dejavu.engines import one_at_a_time, slurm_stale_jobs
from dejavu.errors import DejavuError

RUN = "3f2b8c1e-0a4d-4c5e-9f00-1234567890ab"
SQUEUE = """
import pathlib, sys
assert sys.argv[1:] == ["--me", "--noheader", "--format=%A|%j|%Z"], sys.argv
print(pathlib.Path("{queue}").read_text(), end="")
"""
# Each call ends the first of the jobs that it is asked for.
SCANCEL = """
import pathlib, sys
queue = pathlib.Path("{queue}")
with open("{told}", "a") as told:
    print(*sys.argv[1:], file=told)
left = [line for line in queue.read_text().splitlines(True) if not line.startswith(sys.argv[1] + "|")]
queue.write_text("".join(left))
sys.exit(1)
"""


class Slurm:
    """Stand-ins on PATH: a queue to fill, and what scancel was told."""

    def __init__(self, folder: Path) -> None:
        self.queue, self.told, self.bin = folder / "queue", folder / "told", folder / "bin"
        self.bin.mkdir()
        self.put("squeue", SQUEUE)
        self.put("scancel", SCANCEL)
        self.queue.touch()
        self.told.touch()

    def put(self, name: str, code: str) -> None:
        (self.bin / name).write_text(
            f"#!{sys.executable} -ISE\n{code.format(queue=self.queue, told=self.told)}"
        )
        (self.bin / name).chmod(0o755)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    (tmp_path / "here").mkdir()
    (tmp_path / "slurm").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    stand_ins = Slurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{stand_ins.bin}:{os.environ['PATH']}")
    return stand_ins


def test_only_jobs_of_a_snakemake_in_this_folder_are_cancelled(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here"
    (tmp_path / "link").symlink_to(here)
    others = [f"11|bash|{here}", f"12|{RUN}|{here}/deeper", f"13|{RUN}|/else|where", f"14|x{RUN}|{here}"]
    ours = [f"15|{RUN}|{here}", f"16|team_{RUN}|{tmp_path}/link"]
    slurm.queue.write_text("\n".join([*others, *ours]) + "\n")
    with one_at_a_time.lock_for_snakemake() as lock:
        slurm_stale_jobs.cancel(lock)
    assert slurm.told.read_text().splitlines() == ["15 16", "16"]
    assert slurm.queue.read_text().splitlines() == others
    out, err = capsys.readouterr()
    assert out == "" and err == "snakemake: cancels Slurm jobs 15, 16 of an earlier run, which was killed\n"


def test_where_there_is_none_nothing_is_said(slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    with one_at_a_time.lock_for_snakemake() as lock:
        slurm_stale_jobs.cancel(lock)
    assert slurm.told.read_text() == "" and capsys.readouterr() == ("", "")


def test_jobs_that_do_not_end_stop_the_run(slurm: Slurm, tmp_path: Path) -> None:
    slurm.put("scancel", "pass")
    slurm.queue.write_text(f"15|{RUN}|{tmp_path}/here\n")
    with (
        one_at_a_time.lock_for_snakemake() as lock,
        pytest.raises(DejavuError, match="not ended 15 .* in 0.5 seconds: see `squeue --jobs 15`"),
    ):
        slurm_stale_jobs.cancel(lock, seconds=0.5)


def test_without_locks_nothing_is_cancelled(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    slurm.queue.write_text(f"15|{RUN}|{tmp_path}/here\n")
    with one_at_a_time.lock_for_snakemake() as lock, pytest.raises(DejavuError, match="or `scancel 15`"):
        slurm_stale_jobs.cancel(lock)
    assert slurm.told.read_text() == ""
    assert "cannot be locked (Function not implemented): run one engine at a time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys; sys.exit('a\\nslurm_load_jobs error: Unable to contact')", "error: Unable to contact"),
        ("import sys; sys.exit(3)", "exit status 3"),
        (None, "squeue does not answer"),
    ],
)
def test_a_slurm_that_does_not_answer_stops_the_run(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, code: str | None, sentence: str
) -> None:
    if code is None:
        monkeypatch.setenv("PATH", "/nowhere")
    else:
        slurm.put("squeue", code)
    with one_at_a_time.lock_for_snakemake() as lock, pytest.raises(DejavuError, match=sentence):
        slurm_stale_jobs.cancel(lock)
