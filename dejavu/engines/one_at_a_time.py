"""One engine at a time in a clone: Snakemake or DVC, and one of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DejavuError
from ..system.locks import Sign, hold, is_held
from . import dvc_guard

SNAKEMAKE = Path(".snakemake/dejavu.lock")
"""held by the Snakemake that runs jobs here; a job of DVC looks at it"""
DVC = Path(".dvc/tmp/dejavu.lock")
"""held by every job that DVC runs here; between its jobs DVC holds a lock of its own"""
DVC_ITSELF = Path(".dvc/tmp/lock")
_AT_WORK = "is at work in this clone: wait for its end, since each engine removes what it is about to make"


def become_snakemake() -> Sign:
    """Keep DVC and every other Snakemake out of this clone until the sign that is returned is closed.

    Raises DejavuError where one is at work here. Each engine first says that it is there and then looks for
    the other, so that of two that start together one stops at least.
    """
    try:
        sign = hold(SNAKEMAKE, alone=True)
    except BlockingIOError:
        raise DejavuError(f"another Snakemake {_AT_WORK}") from None
    sign.put_name()
    if is_held(DVC) or is_held(DVC_ITSELF):
        sign.close()
        raise DejavuError(f"DVC {_AT_WORK}")
    dvc_guard.occupy()
    sign.at_close.append(dvc_guard.leave)
    return sign


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
