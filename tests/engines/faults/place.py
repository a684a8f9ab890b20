"""A working directory with a short pipeline, and its engines as processes that may be hit."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

import psutil
from helpers.engines import ROOT, read_params, workplace, write_both

BIN = Path(sys.executable).parent
# A table of two rows each: one task, several tasks.
TABLES = {"pair": ("hrnet18", "hrnet18_dejavu"), "nyud_mtl": ("mtl", "mtl_dejavu")}
EPOCHS = {"pair": 110, "nyud_mtl": 90}
PATIENCE = 600.0
"""seconds after which a command that should end by itself is taken for one that hangs"""


def make(folder: Path) -> Path:
    """A clone with two tables at smoke scale, whose trainings last some ten seconds and save every second."""
    folder.mkdir()
    workplace(folder)
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    shorten(folder)
    for file in (folder / "dvc.yaml", folder / "workflow" / "rules" / "train.smk"):
        text = file.read_text()
        assert text.count("dejavu train ") > text.count("`dejavu train ")
        file.write_text(text.replace("dejavu train ", "dejavu train --checkpoint-seconds 1 "))
    return folder


def shorten(folder: Path) -> None:
    """Leave `TABLES` in params.yaml, with more epochs than smoke has."""
    params = read_params(folder)
    smoke, tables = params["scales"]["smoke"], {}
    rows = [row for pair in TABLES.values() for row in pair]
    params["experiments"] = {name: params["experiments"][name] for name in rows}
    for name in TABLES:
        tables[name] = table = params["tables"][name]
        table["rows"] = list(TABLES[name])
        table.pop("single", None)  # the rows of one task that MTL is compared with
        table["metrics"] = [metric for metric in table["metrics"] if metric != "delta_mtl"]
        for row in TABLES[name]:
            params["experiments"][row]["budget"] = name
        smoke["budget"][name] = {"epochs": EPOCHS[name], "evaluations": 6}
    used = {row["dataset"] for row in params["experiments"].values()}
    smoke["data"] = {name: part for name, part in smoke["data"].items() if name in used}
    params |= {"tables": tables, "claims": {}, "scales": {"smoke": smoke}, "scale": smoke}
    write_both(folder, params)


@dataclass
class Training:
    """A process `dejavu train ROW` of this working directory, wherever it was started from."""

    row: str
    process: psutil.Process

    @property
    def lives(self) -> bool:
        try:
            return self.process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return False


@dataclass
class Place:
    """The working directory, and the command that is given in it again and again."""

    folder: Path
    command: tuple[str, ...]
    tables: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    said: list[str] = field(default_factory=list)
    """what each run of the command printed"""

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(row for table in self.tables for row in TABLES[table])

    @property
    def log(self) -> Path:
        """What the command prints now."""
        return self.folder.parent / f"{self.folder.name}.{len(self.said)}.log"

    def trainings(self) -> list[Training]:
        """Those that run now."""
        found = []
        for process in self.processes():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            program, *arguments = [Path(word).name for word in line[1:]] or [""]
            if program == "dejavu" and arguments[:1] == ["train"]:
                found.append(Training(next(word for word in arguments if word in self.rows), process))
        return [training for training in found if training.lives]

    def processes(self) -> Iterator[psutil.Process]:
        """All that work in this folder, the engine's and the jobs' it has left behind."""
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.cwd() == str(self.folder):
                    yield process
            except psutil.Error:
                continue

    @contextmanager
    def engine(self) -> Iterator[subprocess.Popen[str]]:
        """The command, begun. What is left of it at the end is killed only if the test fails."""
        environment = self.environment | {
            "PATH": f"{BIN}:{self.environment['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
        }
        said = self.log
        with open(said, "w") as out:
            process = self._start(environment, out)
            try:
                yield process
                process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"it hangs: {said.read_text(errors='replace')[-5000:]}") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                self.said.append(said.read_text(errors="replace"))

    def _start(self, environment: dict[str, str], out: IO[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # In the background of a script SIGINT is ignored, and would be by the engine, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def forget(self, row: str) -> None:
        """Delete what a finished row has left, and what was made of it: the command trains it again."""
        for folder in list(self.folder.rglob(row)):
            shutil.rmtree(folder)
        shutil.rmtree(self.folder / ".dvc/cache", ignore_errors=True)  # DVC would take all from there
        for name in ("tables", "figures"):
            shutil.rmtree(self.folder / "results/smoke" / name)

    def end(self) -> None:
        """Kill whatever still works here."""
        for process in self.processes():
            try:
                process.kill()
            except psutil.Error:
                continue

    def made(self) -> dict[str, str]:
        """Checksums of data, checkpoints and results, and of the runs' own copies.

        Left out is what differs between identical runs (how long they took, and when), locks, and what a
        killed process did not get to rename (hidden, and never read).
        """
        timed = ("*.run.json", "runs/*/train.json", "runs/*/metrics.json")
        found = {}
        for top in ("data", "checkpoints", "results", "runs"):
            for file in sorted((self.folder / top).rglob("*")):
                path = str(file.relative_to(self.folder))
                if file.name.startswith(".") or any(fnmatch(path, pattern) for pattern in timed):
                    continue
                if file.is_file():
                    found[path] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found


def until(end: float, *alive: Training | subprocess.Popen[str]) -> bool:
    """Wait for a moment (of time.monotonic); whether all are alive then."""
    while all(one.lives if isinstance(one, Training) else one.poll() is None for one in alive):
        if time.monotonic() >= end:
            return True
        time.sleep(0.02)
    return False
