"""The seed, an undisturbed run to compare with, and the number of faults at the end."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dejavu.system.locks import locked

from .disturb import Fault, disturb
from .place import TABLES, Place, make

SEED = "DEJAVU_FAULTS_SEED"
COUNTED = "fault"


def pytest_configure() -> None:
    # The processes of pytest-xdist inherit it.
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**6)))


@dataclass
class Undisturbed:
    """A run that nothing befell."""

    prepared: Path
    """the working directory before the first training"""
    made: dict[str, dict[str, str]]
    """checksums of what lies there at the end, by table and path"""
    seconds: dict[str, float]
    """from start to end of each training process, by row"""

    def place(self, folder: Path, tables: Sequence[str], *options: str, **more: Any) -> Place:
        """A fresh working directory, in which Snakemake is to make some tables."""
        shutil.copytree(self.prepared, folder)
        files = [file for table in tables for file in targets(table)]
        return Place(folder, ("snakemake", *options, *files), tuple(tables), **more)


def targets(table: str) -> list[str]:
    return [f"results/smoke/tables/{table}.csv", f"results/smoke/figures/{table}_curves.png"]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Made by the first test that asks for it, in whichever process."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, told = base / "undisturbed", base / "undisturbed.json"
    with locked(base / "undisturbed.lock"):
        if not told.exists():
            told.write_text(json.dumps(run_undisturbed(folder)))
    made, seconds = json.loads(told.read_text())
    return Undisturbed(folder / "prepared", made, seconds)


def run_undisturbed(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, float]]:
    """Prepare the data, then make each table in a copy: what that leaves, and how long trainings take."""
    folder.mkdir()
    prepared = Place(
        make(folder / "prepared"), ("snakemake", "--cores", "2", "--until", "prepare", "all"), ""
    )
    with prepared.engine() as engine:
        pass
    assert engine.returncode == 0, prepared.said[-1]
    made, seconds = {}, {}
    for table in TABLES:
        place = Undisturbed(folder / "prepared", {}, {}).place(folder / table, [table], "--cores", "2")
        with place.engine() as engine:
            while engine.poll() is None:
                for training in place.trainings():
                    seconds[training.row] = time.time() - training.process.create_time()
                time.sleep(0.1)
        assert engine.returncode == 0, place.said[-1]
        made[table] = place.made()
        assert set(targets(table)) <= made[table].keys()
    return made, seconds


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of one test, from the seed."""
    return random.Random(f"{os.environ[SEED]} {request.node.name}")


Survives = Callable[[Place, Sequence[tuple[str, Fault]]], None]


@pytest.fixture
def survives(undisturbed: Undisturbed, rng: random.Random, record_property: Any) -> Iterator[Survives]:
    """Let faults, named by kind, strike a place: it must end with the files of the undisturbed run."""
    places = []

    def survive(place: Place, faults: Sequence[tuple[str, Fault]]) -> None:
        places.append(place)
        given = disturb(place, [fault for _, fault in faults], rng, undisturbed.seconds)
        made, expected = place.made(), {}
        for table in place.tables:
            expected |= undisturbed.made[table]
        assert made.keys() == expected.keys()
        assert [path for path in made if made[path] != expected[path]] == []
        for kind, _ in faults:
            record_property(COUNTED, kind)
        print(f"`{' '.join(place.command)}` was given {given} times")

    yield survive
    for place in places:
        place.end()


def pytest_report_header() -> str:
    return f"faults: {SEED}={os.environ[SEED]}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many faults of which kind were survived."""
    reports = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    kinds = Counter(kind for report in reports for key, kind in report.user_properties if key == COUNTED)
    if kinds:
        total = f"faults: {kinds.total()} injections, after each of which the same command finished"
        terminalreporter.write_line(f"{total} ({SEED}={os.environ[SEED]})")
    for kind, number in sorted(kinds.items()):
        terminalreporter.write_line(f"{number:6} {kind}")
