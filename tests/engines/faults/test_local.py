"""On this machine, whatever strikes a run: the same command again leaves what an undisturbed one leaves."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import local
from .conftest import Survives, Undisturbed
from .disturb import Fault
from .place import TABLES

pytestmark = pytest.mark.faults

KINDS: dict[str, Fault] = {
    "SIGKILL of a training": local.training(signal.SIGKILL),
    "SIGTERM of a training": local.training(signal.SIGTERM),
    "SIGUSR1 of a training": local.training(signal.SIGUSR1),
    "SIGKILL of Snakemake": local.engine(signal.SIGKILL),
    "SIGTERM of Snakemake": local.engine(signal.SIGTERM),
    "SIGINT of Snakemake": local.engine(signal.SIGINT),
    "SIGKILL of Snakemake and its jobs": local.everything(signal.SIGKILL),
    "SIGINT of Snakemake and its jobs (Ctrl-C)": local.everything(signal.SIGINT),
    "truncated checkpoint": local.truncated_checkpoint,
}


def table(rng: random.Random) -> str:
    return rng.choice(list(TABLES))


@pytest.mark.parametrize("kind", KINDS)
def test_snakemake(
    kind: str, undisturbed: Undisturbed, survives: Survives, rng: random.Random, tmp_path: Path
) -> None:
    place = undisturbed.place(tmp_path / "place", [table(rng)], "--cores", str(rng.choice([1, 2])))
    survives(place, [(kind, KINDS[kind])] * 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, with room for a run and little more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a full disk needs the right to mount one: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk(
    small_disk: Path, undisturbed: Undisturbed, survives: Survives, rng: random.Random
) -> None:
    place = undisturbed.place(small_disk / "place", [table(rng)], "--cores", "1")
    survives(place, [("full disk", local.full_disk)] * 2)


DVC: dict[str, Fault] = {
    "SIGKILL of DVC": local.engine(signal.SIGKILL),
    "SIGKILL of DVC and its job": local.everything(signal.SIGKILL),
    "SIGKILL of a training of DVC": local.training(signal.SIGKILL),
}


def test_dvc(undisturbed: Undisturbed, survives: Survives, rng: random.Random, tmp_path: Path) -> None:
    drawn = table(rng)
    place = undisturbed.place(tmp_path / "place", [drawn])
    place.command = ("dvc", "repro", f"tables_{drawn}", f"figures_{drawn}")
    faults = list(DVC.items())
    rng.shuffle(faults)
    survives(place, faults)
