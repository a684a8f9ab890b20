"""Two of the same at once, or both engines: the second waits or says one sentence, and nothing is spoilt."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input import samples
from bad_input.checks import tree
from helpers import ROOT
from helpers.engines import workplace
from helpers.waits import until

from dejavu.commands import main
from dejavu.config.loading import load
from dejavu.engines import one_at_a_time
from dejavu.engines.dvc_yaml import pipeline
from dejavu.errors import DejavuError
from dejavu.system import locks

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which everything was made."""
    return samples.finished_in(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "here"))
    return tmp_path / "here"


def begin(*command: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize(
    ("line", "waits_for"),
    [
        ("prepare cityscapes", "data/smoke/prepared/.cityscapes.lock"),
        ("train hrnet18", "runs/smoke/hrnet18/seed0/.lock"),
    ],
)
def test_two_jobs_take_turns_and_leave_what_one_leaves(here: Path, line: str, waits_for: str) -> None:
    before = tree(here)
    with locks.locked(here / waits_for):
        jobs = [begin(sys.executable, "-m", "dejavu", *line.split(), folder=here) for _ in range(2)]
        for job in jobs:
            assert job.stdout is not None
            assert job.stdout.readline() == f"waiting for another process that holds {waits_for}\n"
        assert tree(here) == before
    for job in jobs:
        said, _ = job.communicate(timeout=300)
        assert job.returncode == 0, said
    assert tree(here) == before


def test_a_lock_is_free_when_its_holder_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "lock"
    assert not locks.is_held(path)
    with locks.hold(path), locks.hold(path):  # several of a kind may
        assert locks.is_held(path)
        with pytest.raises(BlockingIOError):
            locks.hold(path, alone=True)
    assert not locks.is_held(path)
    with locks.hold(path, alone=True), pytest.raises(BlockingIOError):
        locks.hold(path, alone=True)
    # A job that such a process started, and that goes on, has nothing of its lock.
    child = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    code = (
        f"from dejavu.system import locks; sign = locks.hold(locks.Path({str(path)!r}), alone=True); {child}"
    )
    job = begin(sys.executable, "-c", f"{code}; import os; os.kill(os.getpid(), 9)", folder=ROOT)
    assert job.stdout is not None
    orphan = int(job.stdout.readline())
    try:
        assert job.wait(timeout=60) == -9 and path.exists() and not locks.is_held(path)
    finally:
        os.kill(orphan, signal.SIGKILL)
        job.communicate()


def test_a_look_at_a_lock_refuses_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    look = f"while True: locks.is_held(locks.Path({str(path)!r}))"
    code = f"from dejavu.system import locks\nprint(flush=True)\n{look}"
    looks = begin(sys.executable, "-c", code, folder=ROOT)
    try:
        assert looks.stdout is not None and looks.stdout.readline() == "\n"
        for alone in (True, False) * 200:
            locks.hold(path, alone).close()
    finally:
        looks.kill()
        looks.communicate()


def test_a_job_of_dvc_is_refused_while_snakemake_is_at_work(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".dvc" / "tmp").mkdir(parents=True)
    one_at_a_time.lock_for_snakemake().close()  # locks, whose files stay
    before = tree(here)
    with one_at_a_time.lock_for_snakemake():
        assert main(["prepare", "cityscapes"]) == 0  # its own jobs, and those of a user, run
        monkeypatch.setenv("DVC_STAGE", "prepare@cityscapes")
        capsys.readouterr()
        assert main(["prepare", "cityscapes"]) == 2
        out, err = capsys.readouterr()
        assert (
            out == ""
            and err.startswith("dejavu: Snakemake is at work in this clone")
            and err.count("\n") == 1
        )
    assert tree(here) == before
    assert main(["prepare", "cityscapes"]) == 0


@pytest.mark.parametrize("held", [one_at_a_time.DVC, one_at_a_time.DVC_ITSELF])
def test_snakemake_does_not_start_while_dvc_is_at_work(here: Path, held: Path) -> None:
    with locks.hold(held), pytest.raises(DejavuError, match="DVC is at work"):
        one_at_a_time.lock_for_snakemake()
    assert not locks.is_held(one_at_a_time.SNAKEMAKE)  # it has let go again
    with one_at_a_time.lock_for_snakemake(), pytest.raises(DejavuError, match="another Snakemake is at work"):
        one_at_a_time.lock_for_snakemake()
    one_at_a_time.lock_for_snakemake().close()


# The engines themselves. The first is kept at its job by a lock that the job waits for.

TARGET = "data/smoke/raw/cityscapes.json"
SNAKEMAKE = ("snakemake", "--cores", "1", TARGET)
DVC = ("dvc", "repro", "download@cityscapes")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of what the engines read, with a small params.yaml."""
    folder = tmp_path / "clone"
    folder.mkdir()
    workplace(folder)
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    _configure(folder)
    return folder


def _configure(folder: Path) -> None:
    """Write a small params.yaml, and the dvc.yaml that follows from it."""
    samples.write(folder, samples.params())
    (folder / "dvc.yaml").write_text(pipeline(load(folder / "params.yaml")))


@pytest.fixture
def begun() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended with the test, whatever happens in it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("first", "second", "status", "sentence"),
    [
        (SNAKEMAKE, SNAKEMAKE, 1, "snakemake: another Snakemake is at work in this clone"),
        (SNAKEMAKE, DVC, 255, "): Snakemake, which is at work in this clone"),
        (DVC, DVC, 255, "is busy, it is being blocked by"),
        (DVC, SNAKEMAKE, 1, "snakemake: DVC is at work in this clone"),
    ],
    ids=["two snakemake", "snakemake and dvc", "two dvc", "dvc and snakemake"],
)
def test_a_second_engine_says_so_and_stops(
    clone: Path,
    begun: list[subprocess.Popen[str]],
    first: tuple[str, ...],
    second: tuple[str, ...],
    status: int,
    sentence: str,
) -> None:
    with locks.locked(clone / "data/smoke/raw/.cityscapes.lock"):
        running = begin(*first, folder=clone)
        begun.append(running)
        sign = clone / (one_at_a_time.SNAKEMAKE if first is SNAKEMAKE else one_at_a_time.DVC)
        until(lambda: locks.is_held(sign) or running.poll() is not None)
        time.sleep(1)
        stopped = begin(*second, folder=clone)
        begun.append(stopped)
        said, _ = stopped.communicate(timeout=240)
        assert stopped.returncode == status, said
        assert sentence in said and "Traceback" not in said
        assert running.poll() is None
    said, _ = running.communicate(timeout=240)
    assert running.returncode == 0, said
    assert (clone / TARGET).is_file()


def test_what_dvc_removes_for_a_refused_value_comes_back(
    clone: Path, begun: list[subprocess.Popen[str]]
) -> None:
    """With the earlier values, from its run cache, and nothing is trained; data were not removed at all."""

    def repro(*options: str) -> tuple[int, str]:
        job = begin("dvc", "repro", *(options or ("evaluate@hrnet18_dejavu",)), folder=clone)
        begun.append(job)
        said, _ = job.communicate(timeout=240)
        return job.returncode, said

    made = [clone / folder for folder in ("data", "checkpoints", "results")]
    assert repro()[0] == 0
    before = [tree(folder) for folder in made]
    text = (clone / "params.yaml").read_text()
    value = f"gamma: {samples.params()['experiments']['hrnet18_dejavu']['dejavu']['gamma']}"
    assert value in text
    (clone / "params.yaml").write_text(text.replace(value, "gamma: -2", 1))
    status, said = repro()
    assert status == 255 and "gamma: -2 should be greater than or equal to 0" in said
    assert [tree(folder) for folder in made] == before  # the first stage refuses it, which removes nothing
    status, said = repro("--single-item", "train@hrnet18_dejavu")
    assert status == 255 and "gamma: -2 should be greater than or equal to 0" in said
    assert tree(clone / "data") == before[0]
    (clone / "params.yaml").write_text(text)
    status, said = repro()
    assert status == 0 and "'train@hrnet18_dejavu' is cached" in said, said
    assert [tree(folder) for folder in made] == before


def test_dvc_removes_nothing_that_snakemake_reads(here: Path, begun: list[subprocess.Popen[str]]) -> None:
    """It removes a stage's outputs before the command that could refuse: so it is stopped before that."""
    workplace(here)
    (here / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    _configure(here)
    made = [here / folder for folder in ("data", "checkpoints", "results")]
    before = [tree(folder) for folder in made]
    with one_at_a_time.lock_for_snakemake():
        for stage in ("train@hrnet18", "evaluate@hrnet18", "prepare@cityscapes"):
            refused = begin("dvc", "repro", "--force", "--single-item", stage, folder=here)
            begun.append(refused)
            said, _ = refused.communicate(timeout=240)
            assert refused.returncode == 255, said
            assert f"(PID {os.getpid()}): Snakemake, which is at work in this clone" in said
            assert [tree(folder) for folder in made] == before
    freed = begin("dvc", "repro", "--force", "--single-item", "evaluate@hrnet18", folder=here)
    begun.append(freed)
    said, _ = freed.communicate(timeout=240)
    assert freed.returncode == 0, said


def test_after_a_kill_the_same_command_goes_on(clone: Path, begun: list[subprocess.Popen[str]]) -> None:
    with locks.locked(clone / "data/smoke/raw/.cityscapes.lock"):
        killed = begin(*SNAKEMAKE, folder=clone)
        begun.append(killed)
        until(lambda: (clone / "logs/smoke/download/cityscapes.log").exists() or killed.poll() is not None)
        assert killed.poll() is None and locks.is_held(clone / one_at_a_time.SNAKEMAKE)
        killed.kill()
        killed.wait(timeout=60)  # its job goes on, and waits with the next run's
        again = begin(*SNAKEMAKE, folder=clone)
        begun.append(again)
        until(lambda: locks.is_held(clone / one_at_a_time.SNAKEMAKE) or again.poll() is not None)
        time.sleep(1)
        assert again.poll() is None
    said, _ = again.communicate(timeout=240)
    assert again.returncode == 0, said
    assert (clone / TARGET).is_file()


@pytest.mark.parametrize(
    ("options", "status"),
    [("--dry-run", 0), ("--lint", 0), ("--summary", 0), ("--unlock", 0), ("--touch", 1)],
)
def test_who_only_looks_is_not_refused_while_snakemake_is_at_work(
    clone: Path, options: str, status: int
) -> None:
    with locks.hold(clone / one_at_a_time.SNAKEMAKE, alone=True):
        asked = begin(*SNAKEMAKE, options, folder=clone)
        said, _ = asked.communicate(timeout=240)
    assert asked.returncode == status, said
    assert ("snakemake: another Snakemake is at work in this clone" in said) == bool(status)
