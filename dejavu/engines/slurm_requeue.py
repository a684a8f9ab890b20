"""Requeues a Slurm job whose training stopped at SIGUSR1: the next run continues from the saved step.

`sbatch --signal=USR1@300` sends SIGUSR1 five minutes before a job's time is over. SIGTERM comes from
`scancel`, after which the job must not run again.
"""

from __future__ import annotations

import os
import signal
import subprocess

from ..compute.rank import NODES, launched

SECONDS = 60  # to wait for Slurm's answer; the job has some minutes left


def requeue(number: int) -> str | None:
    """Requeue this job if signal `number` is SIGUSR1; return the result in one sentence.

    Returns None for another signal and outside a Slurm job. In a training with more than one process only one
    process requeues the job; the others return None.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if number != signal.SIGUSR1 or job is None or not _is_responsible():
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


def _is_responsible() -> bool:
    """Return whether this process requeues the job for all processes of the training.

    This is the launcher, on the first machine if there is more than one, or rank 0 of the processes that srun
    started.
    """
    own = launched()
    if own is not None:
        return own.bound and own.rank == 0
    return NODES not in os.environ or os.environ.get("SLURM_PROCID") == "0"
