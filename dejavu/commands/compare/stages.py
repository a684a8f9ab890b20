"""Trainings and probes of a study, each in a process of its own, side by side."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import repeat
from pathlib import Path

from ...errors import DejavuError
from ...system.progress import track
from ...system.signals import SIGNALS, Request, Stopped, listening

LOG = "compare.log"
"""everything that the stages have printed"""
_EPOCH = re.compile(r": epoch (\d+)/(\d+),")


class Stages:
    """Runs commands in `folder`, which keeps what they print in `LOG`.

    Args:
        folder: the study's.
        here: the user's working directory, in which a network of the user's is looked for, too.
    """

    def __init__(self, folder: Path, here: Path) -> None:
        self.folder = folder
        places = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}

    def start(self, *line: str, module: str = "dejavu") -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *line],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[str, list[str]]:
        """Wait for a command; return its stdout and the lines of its stderr.

        Raises DejavuError, with the command's own sentence, if it failed.
        """
        out, errors = process.communicate()
        self.log(out + errors)
        check(process.returncode, errors.splitlines())
        return out, errors.splitlines()

    def train(self, lines: Sequence[Sequence[str]], workers: int, epochs: int) -> None:
        """Run commands of trainings, `workers` at a time, and show how far they are.

        Raises DejavuError with the sentence of the first that failed, and Stopped after a signal. Both end
        the others, which go on when they are run again.
        """
        with listening() as request:
            running = Running(self, lines)
            try:
                began, every = time.monotonic(), len(lines) * epochs
                shown = track(running.epochs(workers, epochs, request), every, "training")
                for done, _ in enumerate(shown, 1):
                    running.report((time.monotonic() - began) / done * (every - done))
            finally:
                running.end()
            if request.number is not None:
                raise Stopped(request.number, f"with {running.finished} of {len(lines)} trainings finished")

    def log(self, text: str) -> None:
        """Add a text to the log."""
        with open(self.folder / LOG, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)


class Running:
    """Trainings that run and wait, and how many have finished."""

    def __init__(self, stages: Stages, lines: Sequence[Sequence[str]]) -> None:
        self.stages, self.waiting, self.total = stages, deque(lines), len(lines)
        self.processes: list[subprocess.Popen[str]] = []
        self.events: queue.Queue[tuple[subprocess.Popen[str], str | None]] = queue.Queue()
        self.readers: list[threading.Thread] = []
        self.last: dict[int, list[str]] = {}
        self.finished = self.reported = 0

    def epochs(self, workers: int, epochs: int, request: Request) -> Iterator[None]:
        """Run everything; yield after each epoch, those of trainings that were finished earlier included."""
        past: dict[int, int] = {}
        while (self.waiting or self.processes) and request.number is None:
            while self.waiting and len(self.processes) < workers:
                self._start(self.waiting.popleft())
            try:
                process, line = self.events.get(timeout=0.2)
            except queue.Empty:
                continue
            if line is not None:
                match = _EPOCH.search(line)
                if match:
                    now, before = int(match[1]), past.get(process.pid, 0)
                    past[process.pid] = now
                    yield from repeat(None, now - before)
                continue
            status = process.wait()
            self.processes.remove(process)
            if request.number is None:
                check(status, self.last[process.pid])
            self.finished += status == 0
            yield from repeat(None, epochs - past.get(process.pid, 0))

    def _start(self, line: Sequence[str]) -> None:
        process = self.stages.start(*line)
        self.processes.append(process)
        self.last[process.pid] = []
        self.readers.append(threading.Thread(target=self._read, args=(process,), daemon=True))
        self.readers[-1].start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None and process.stdout is not None
        with process.stdout, process.stderr:
            for line in process.stderr:
                self.last[process.pid].append(line.rstrip("\n"))
                self.stages.log(line)
                self.events.put((process, line))
        self.events.put((process, None))

    def report(self, seconds_left: float) -> None:
        """Print a line after each training, where there is no bar."""
        if self.finished > self.reported and not sys.stderr.isatty():
            self.reported = self.finished
            left = timedelta(seconds=round(seconds_left))
            print(f"{self.finished} of {self.total} trainings, {left} left", file=sys.stderr, flush=True)

    def end(self) -> None:
        """End what still runs, as a signal does: a training saves first."""
        for process in self.processes:
            process.send_signal(SIGNALS[0])
        for process in self.processes:
            process.wait()
        for reader in self.readers:
            reader.join()


def check(status: int, errors: Sequence[str]) -> None:
    """Raise DejavuError with a failed command's own sentence."""
    if status:
        lines = [line.removeprefix("dejavu: ") for line in errors if line.strip()]
        raise DejavuError(lines[-1] if lines else f"a stage ended with status {status}")
