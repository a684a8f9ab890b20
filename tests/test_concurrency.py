"""Two of the same at once, or both engines: the second waits or says one sentence, and nothing is spoilt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import workplace
from test_bad_input import samples
from test_bad_input.checks import tree

from dejavu import lock
from dejavu.__main__ import main
from dejavu.errors import DejavuError

ROOT = Path(__file__).parents[1]
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
    with lock.locked(here / waits_for):
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
    assert not lock.is_held(path)
    with lock.hold(path), lock.hold(path):  # several of a kind may
        assert lock.is_held(path)
    assert not lock.is_held(path)
    code = f"from dejavu import lock; lock.hold(lock.Path({str(path)!r})); import os; os.kill(os.getpid(), 9)"
    job = begin(sys.executable, "-c", code, folder=ROOT)
    job.communicate(timeout=60)
    assert job.returncode == -9 and path.exists() and not lock.is_held(path)


def test_a_job_of_dvc_is_refused_while_snakemake_is_at_work(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".dvc" / "tmp").mkdir(parents=True)
    before = tree(here)
    with lock.become_snakemake():
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


@pytest.mark.parametrize("held", [lock.DVC, lock.DVC_ITSELF])
def test_snakemake_does_not_start_while_dvc_is_at_work(here: Path, held: Path) -> None:
    with lock.hold(held), pytest.raises(DejavuError, match="DVC is at work"):
        lock.become_snakemake()
    assert not lock.is_held(lock.SNAKEMAKE)  # it has let go again
    lock.become_snakemake().close()


# The engines themselves. The first is kept at its job by a lock that the job waits for.

TARGET = "data/smoke/raw/cityscapes.json"
SNAKEMAKE = ("snakemake", "--cores", "1", TARGET)
DVC = ("dvc", "repro", "--single-item", "download@cityscapes")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of what the engines read, with a small params.yaml."""
    folder = tmp_path / "clone"
    folder.mkdir()
    workplace(folder)
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    samples.write(folder, samples.params())
    return folder


@pytest.fixture
def begun() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended with the test, whatever happens in it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def until(happened: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("first", "second", "status", "sentence"),
    [
        (SNAKEMAKE, SNAKEMAKE, 1, "Directory cannot be locked"),
        (SNAKEMAKE, DVC, 255, "dejavu: Snakemake is at work in this clone"),
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
    with lock.locked(clone / "data/smoke/raw/.cityscapes.lock"):
        running = begin(*first, folder=clone)
        begun.append(running)
        sign = clone / (lock.SNAKEMAKE if first is SNAKEMAKE else lock.DVC)
        until(lambda: lock.is_held(sign) or running.poll() is not None)
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
