"""Waiting for what another process does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def until(
    happened: Callable[[], bool],
    seconds: float = 240,
    process: subprocess.Popen[str] | None = None,
    what: str = "what was waited for",
    pause: float = 0.05,
) -> None:
    """Wait for it, and fail where it does not happen in so many seconds, or `process` ends before."""
    end = time.monotonic() + seconds
    while not happened():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended before {what}: {process.communicate()}")
        assert time.monotonic() < end, f"no {what} in {seconds:.0f} seconds"
        time.sleep(pause)
