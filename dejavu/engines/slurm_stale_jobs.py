"""Slurm jobs that a killed Snakemake left behind.

No process waits for them any more, but they continue, or start later, and remove and write files of the next
run. A cancelled training loses no work: it saves its step when Slurm stops it (system/signals.py).
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from ..errors import DejavuError
from ..system.locks import HeldLock

# Snakemake's plugin names all jobs of a run by the run's UUID, behind a prefix if the user wants one.
RUN = re.compile(r"(.*_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def cancel(lock: HeldLock, seconds: float = 180.0) -> None:
    """Cancel jobs that Snakemake once sent from this folder, and wait until they are gone.

    `lock` must be the one of `lock_for_snakemake`: as long as this process alone holds it, no other Snakemake
    waits for such a job. If this is not certain, nothing is cancelled.

    Raises DejavuError if Slurm does not answer, or if jobs still exist after `seconds`.
    """
    jobs = _find()
    if not jobs:
        return
    which = f"Slurm job{'s' * (len(jobs) > 1)} {', '.join(jobs)} of an earlier run"
    if not lock.sure:
        raise DejavuError(
            f"{which} may still write here, and nobody can tell from this machine whether its Snakemake "
            f"lives: wait for its end, or `scancel {' '.join(jobs)}`"
        )
    print(f"snakemake: cancels {which}, which was killed", file=sys.stderr, flush=True)
    end = time.monotonic() + seconds
    while jobs:
        if time.monotonic() > end:
            raise DejavuError(
                f"Slurm has not ended {', '.join(jobs)} of an earlier run in {seconds:g} seconds: "
                f"see `squeue --jobs {','.join(jobs)}`, and run this again when they are gone"
            )
        subprocess.run(["scancel", *jobs], capture_output=True)  # it fails where one has just ended
        time.sleep(min(2.0, seconds / 4))
        jobs = _find()


def _find() -> list[str]:
    """Return the ids of this user's jobs, also ending ones, that a Snakemake sent from this folder."""
    here = Path.cwd().resolve()
    ids = []
    for line in _output("squeue", "--me", "--noheader", "--format=%A|%j|%Z").splitlines():
        number, name, folder = line.split("|", 2)
        if RUN.fullmatch(name) and Path(folder).resolve() == here:
            ids.append(number)
    return list(dict.fromkeys(ids))


def _output(*command: str) -> str:
    """Return what a command of Slurm prints.

    Raises DejavuError with the last line of its error where it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DejavuError(f"{command[0]} does not answer ({error}): is this a node of a cluster?") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise DejavuError(f"Slurm does not answer ({reason}): run this again when `squeue --me` does")
    return done.stdout
