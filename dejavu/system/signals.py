"""Signals that stop a training: it finishes its step and saves, and the same command resumes from there.

Long work beside steps, such as a measurement, calls `stop_if_signalled`.

Slurm sends SIGTERM before it ends a job, for its time limit, for `scancel` or for another job that goes
first, and SIGUSR1 earlier with `--signal=USR1@300`. SIGINT is Ctrl-C. A second signal of the same kind ends
the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Stopped(Exception):
    """A signal has stopped a training, and what it needs to resume is saved.

    `where` it was, behind the signal's name: "and saved at step 3 of 8".
    """

    def __init__(self, number: int, where: str) -> None:
        self.number = number
        """of the signal"""
        self.again = True
        """whether Slurm may run the job again: not where it has made no progress"""
        super().__init__(f"stopped by {signal.Signals(number).name} {where}: the same command goes on")


class Request:
    """The number of the signal that has come; None before that."""

    def __init__(self) -> None:
        self.number: int | None = None


_request: Request | None = None  # of the outermost `listening`


def stop_if_signalled(where: str) -> None:
    """Raise Stopped with the text `where` if a signal has come within `listening`."""
    if _request is not None and _request.number is not None:
        raise Stopped(_request.number, where)


@contextmanager
def listening(patient: bool = False) -> Iterator[Request]:
    """Record `SIGNALS` instead of ending; the old handlers are back afterwards and for a second signal.

    Only the main thread can; in another one nothing is recorded. A nested `listening` returns the outer one's
    request. `patient`: a second signal changes nothing, since Slurm and a launcher may both pass on the same.
    """
    global _request
    if _request is not None:
        yield _request
        return
    request = Request()
    earlier: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        request.number = number
        signal.signal(number, signal.SIG_IGN if patient else earlier[number])

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    with handled(note):
        _request = request
        try:
            yield request
        finally:
            _request = None


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Send `SIGNALS` to this handler within it; the earlier handlers are back afterwards."""
    earlier: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, handler)
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, earlier[number])
