"""Locks: one process at a time where two would overwrite each other's files."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .signals import stop_if_signalled


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path` (a file, made when missing and left behind); wait while another process does.

    The operating system releases it when the process ends, however it ends.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that holds {path}", file=sys.stderr)
                _insist(file, float("inf"), f"while it waited for {path}")
        except OSError as error:  # some cluster file systems have no locks
            print(
                f"{path} cannot be locked ({error.strerror}): do not run this twice at once", file=sys.stderr
            )
        yield


class HeldLock:
    """A lock that shows other processes that this one is at work. It is released when the process ends.

    `sure` is False where the file system has no locks, or none that other machines respect.
    """

    def __init__(self, file: IO[Any], sure: bool) -> None:
        self._file, self.sure = file, sure
        self.at_close: list[Callable[[], None]] = []

    def close(self) -> None:
        for call in self.at_close:
            call()
        self._file.close()

    def write_host_name(self) -> None:
        """Write this machine's name into the file. Where another machine's name is there, nothing is sure.

        Some file systems of clusters give each machine a lock of its own.
        """
        name = socket.gethostname()
        self._file.seek(0)
        self.sure = self.sure and self._file.read() in ("", name)
        self._file.truncate(0)
        self._file.write(name)
        self._file.flush()

    def __enter__(self) -> HeldLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def hold(
    path: Path, alone: bool = False, seconds: float = 1.0, advice: str = "run one engine at a time"
) -> HeldLock:
    """Take the lock `path` (a file, made when missing and left behind) until the result is closed.

    Processes share it unless one holds it `alone`. Raises BlockingIOError where `alone` is requested and
    another process keeps it for so many seconds. Where there are no locks, `advice` is printed.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    # Open for both: over NFS a shared lock wants to read, and one alone to write.
    file = open(path, "a+")  # noqa: SIM115 (closed with the lock)
    try:
        if alone:
            _insist(file, seconds)
        else:
            fcntl.flock(file, fcntl.LOCK_SH)
    except BlockingIOError:
        file.close()
        raise
    except OSError as error:
        print(f"{path} cannot be locked ({error.strerror}): {advice}", file=sys.stderr)
        return HeldLock(file, sure=False)
    return HeldLock(file, sure=True)


def _insist(file: IO[Any], seconds: float, doing: str = "while it waited") -> None:
    """Lock a file, or raise BlockingIOError where another process keeps it for so long.

    A process that calls `is_held` keeps it for an instant only. Raises Stopped with the text
    `doing` after a signal.
    """
    import fcntl

    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        stop_if_signalled(doing)
        time.sleep(0.02)


def is_held(path: Path) -> bool:
    """Return whether any process holds the lock `path`."""
    import fcntl

    try:
        with open(path, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such file, or no locks
        return False
    return False
