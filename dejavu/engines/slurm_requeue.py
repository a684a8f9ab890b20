"""A training that Slurm stops with SIGUSR1 asks for its job to be run again, and goes on where it saved.

`sbatch --signal=USR1@300` sends SIGUSR1 five minutes before a job's time is over. SIGTERM is different: after
`scancel` nobody wants the job back.
"""

from __future__ import annotations

import os
import signal
import subprocess

from ..compute.rank import NODES, member

SECONDS = 60  # that Slurm has for its answer; the job has some minutes


def requeue(number: int) -> str | None:
    """Ask Slurm to run this job again where signal `number` is SIGUSR1; what came of it, in one sentence.

    None where nothing was asked: for another signal, outside a Slurm job, and by those of several processes
    that leave it to another.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if number != signal.SIGUSR1 or job is None or not _asks():
        return None
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        failed = done.returncode != 0
        reason = " ".join(done.stderr.split()) or f"status {done.returncode}"
    except OSError as error:
        failed, reason = True, error.strerror or type(error).__name__
    except subprocess.TimeoutExpired:
        failed, reason = True, f"no answer in {SECONDS} seconds"
    if failed:
        return f"`scontrol requeue {job}` failed ({reason}): submit the job again, and it goes on"
    return f"Slurm runs job {job} again"


def _asks() -> bool:
    """Whether this process asks for all that train together.

    It is their launcher, on several machines the first one's, or the first of those that srun started.
    """
    who = member()
    if who is not None:
        return who.bound and who.rank == 0
    return NODES not in os.environ or os.environ.get("SLURM_PROCID") == "0"
