"""One process at a time for what two would spoil for each other, and one engine at a time in a clone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import DejavuError

SNAKEMAKE = Path(".snakemake/dejavu.lock")
"""held by every Snakemake that runs jobs here"""
DVC = Path(".dvc/tmp/dejavu.lock")
"""held by every job that DVC runs here; between its jobs DVC holds a lock of its own"""
DVC_ITSELF = Path(".dvc/tmp/lock")
_AT_WORK = "is at work in this clone: wait for its end, since each engine removes what it is about to make"


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
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # some cluster file systems have no locks
            print(
                f"{path} cannot be locked ({error.strerror}): do not run this twice at once", file=sys.stderr
            )
        yield


def hold(path: Path) -> IO[Any]:
    """Share the lock `path` with others of the kind until the file that is returned is closed.

    The operating system closes it when the process ends.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "w")  # noqa: SIM115 (closed by whoever asked for it)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError as error:
        print(f"{path} cannot be locked ({error.strerror}): run one engine at a time", file=sys.stderr)
    return file


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock `path`."""
    import fcntl

    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such file, or no locks
        return False
    return False


def become_snakemake() -> IO[Any]:
    """Keep DVC out of this clone until the file that is returned is closed.

    Raises DejavuError where DVC is at work here. Each engine first says that it is there and then looks for
    the other, so that of two that start together one stops at least.
    """
    file = hold(SNAKEMAKE)
    if is_held(DVC) or is_held(DVC_ITSELF):
        file.close()
        raise DejavuError(f"DVC {_AT_WORK}")
    return file


@contextmanager
def job_of_dvc() -> Iterator[None]:
    """Keep Snakemake out of this clone while a job of DVC runs; of other jobs nothing is asked.

    Raises DejavuError where Snakemake is at work here.
    """
    if "DVC_STAGE" not in os.environ or not DVC.parents[1].is_dir():
        yield
        return
    with hold(DVC):
        if is_held(SNAKEMAKE):
            raise DejavuError(f"Snakemake {_AT_WORK}")
        yield
