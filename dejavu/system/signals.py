"""Signals that ask a training to stop: it finishes its step, saves, and the same command goes on from there.

What takes long beside steps, as measuring does, asks with `heed` whether one has come.

Slurm sends SIGTERM before it ends a job, for its time limit, for `scancel` or for another job that goes
first, and SIGUSR1 if `--signal=USR1@300` asked for an earlier word. SIGINT is Ctrl-C. A second one of the
same kind is not waited for.
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
    """A training was asked to stop, and what it needs to go on is saved.

    `where` it was, behind the signal's name: "and saved at step 3 of 8".
    """

    def __init__(self, number: int, where: str) -> None:
        self.number = number
        """of the signal"""
        self.again = True
        """whether Slurm may be asked for another job: not by one that has come no further"""
        super().__init__(f"stopped by {signal.Signals(number).name} {where}: the same command goes on")


class Request:
    """Whether a signal has come: its number, or None."""

    def __init__(self) -> None:
        self.number: int | None = None


_request: Request | None = None  # of the outermost `listening`


def heed(where: str) -> None:
    """Raise Stopped, which says `where`, if somebody is `listening` and a signal has come."""
    if _request is not None and _request.number is not None:
        raise Stopped(_request.number, where)


@contextmanager
def listening(patient: bool = False) -> Iterator[Request]:
    """Note `SIGNALS` instead of dying of them; afterwards, and for a second one of a kind, all is as before.

    Only the main thread can; in another one nothing is noted. Within another `listening` it is that one's
    request. `patient`: a second signal changes nothing, since Slurm and a launcher may both hand on the same.
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
    """Within it `SIGNALS` go to this handler; those of before are back afterwards."""
    earlier: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, handler)
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, earlier[number])
