"""Locks that allow one engine at a time in a clone: one Snakemake or one DVC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DejavuError
from ..system.locks import HeldLock, hold, is_held
from . import dvc_guard

SNAKEMAKE = Path(".snakemake/dejavu.lock")
"""lock of the Snakemake that runs jobs here"""
DVC = Path(".dvc/tmp/dejavu.lock")
"""lock of every job that DVC runs here"""
DVC_ITSELF = Path(".dvc/tmp/lock")
"""lock of DVC itself between its jobs"""
_AT_WORK = "is at work in this clone: wait for its end, since each engine removes what it is about to make"


def lock_for_snakemake() -> HeldLock:
    """Keep DVC and every other Snakemake out of this clone until the returned lock is closed.

    Raises DejavuError if an engine already runs here. Each engine first takes its own lock and then checks
    the other's, so at least one of two engines that start together stops.
    """
    try:
        lock = hold(SNAKEMAKE, alone=True)
    except BlockingIOError:
        raise DejavuError(f"another Snakemake {_AT_WORK}") from None
    lock.write_host_name()
    if is_held(DVC) or is_held(DVC_ITSELF):
        lock.close()
        raise DejavuError(f"DVC {_AT_WORK}")
    dvc_guard.announce()
    lock.at_close.append(dvc_guard.withdraw)
    return lock


def is_busy() -> bool:
    """Return whether an engine is at work in this clone."""
    return any(map(is_held, (SNAKEMAKE, DVC, DVC_ITSELF)))


@contextmanager
def job_of_dvc() -> Iterator[None]:
    """Keep Snakemake out of this clone while a job of DVC runs. Outside DVC this does nothing.

    Raises DejavuError if Snakemake runs here.
    """
    if "DVC_STAGE" not in os.environ or not DVC.parents[1].is_dir():
        yield
        return
    with hold(DVC):
        if is_held(SNAKEMAKE):
            raise DejavuError(f"Snakemake {_AT_WORK}")
        yield
