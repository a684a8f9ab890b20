"""Starts the processes of one training: on this machine, and through srun on all machines of a Slurm job.

torchrun and `elastic_launch` (tried with torch 2.15) lose the exit status when a signal stops the training:
they end with a traceback and the status 1, which does not show that Slurm must run the job again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, MappingProxyType

from ..compute.rank import LOST, NODES, address_of_step, launched, port_of_step
from ..errors import DejavuError
from ..system.signals import SIGNALS, handled

GRACE = 30.0  # seconds for the other processes to end by themselves when one has failed
POLL = 0.1

Process = subprocess.Popen[bytes]


def wants_launch(count: int) -> bool:
    """Return True if more than one process is needed and no launcher has started them."""
    return count > 1 and launched() is None


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `dejavu ARGUMENTS` as `count` processes and return their exit status: that of the first to fail.

    In a Slurm job of more than one machine each machine runs the same number of them. The output of the first
    process is shown; of the others only the errors of one that fails before it. Signals are passed on.

    Raises DejavuError if the processes cannot be shared evenly by the machines.
    """
    command = [sys.executable, "-m", "dejavu", *arguments]
    nodes, processors = _machines()
    if count % nodes:
        raise DejavuError(
            f"{count} processes (gpus in params.yaml) cannot be shared by the {nodes} machines of this Slurm "
            "job evenly: ask for another number of machines"
        )
    if nodes > 1 and NODES not in os.environ:  # start one launcher on each machine
        # --overlap: Snakemake's own step may hold the resources of the job; --wait: rank 0 ends last.
        step = ["srun", "--overlap", "--kill-on-bad-exit=1", "--wait=0"]
        step += [f"--nodes={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={processors}"]
        env = _of_the_job() | {NODES: str(nodes)}
        # srun answers SIGINT with a report.
        return _run([[*step, *command]], [env], instead={signal.SIGINT: signal.SIGTERM})
    local = count // nodes
    if nodes > 1:
        first, address, port = int(os.environ["SLURM_PROCID"]), address_of_step(), port_of_step()
    else:
        first, address, port = 0, "127.0.0.1", free_port()
    env = os.environ | {"MASTER_ADDR": address, "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    each = [env | {"RANK": str(first * local + number), "LOCAL_RANK": str(number)} for number in range(local)]
    return _run([command] * local, each, quiet=first > 0)


def _machines() -> tuple[int, int]:
    """Return the number of machines of this Slurm job and of processors on each; (1, 1) outside a job.

    squeue gives them, because Snakemake's plugin leaves only the job's number in the environment.

    Raises DejavuError if squeue does not answer.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if NODES in os.environ or job is None:
        return int(os.environ.get(NODES, 1)), 1
    answer = subprocess.run(
        ["squeue", "--noheader", "--format=%D %C", "--jobs", job], capture_output=True, text=True
    )
    try:
        nodes, processors = map(int, answer.stdout.split())
    except ValueError:
        reason = " ".join((answer.stderr or answer.stdout).split()) or "no answer"
        raise DejavuError(f"Slurm does not say how many machines job {job} has: {reason}") from None
    return nodes, processors // nodes


def _of_the_job() -> dict[str, str]:
    """Return the environment without the variables of tasks: srun would read them as options."""
    kept = ("SLURM_JOB_ID", "SLURM_CONF", "SLURM_CLUSTER_NAME")
    return {key: value for key, value in os.environ.items() if not key.startswith("SLURM_") or key in kept}


def free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


def _run(
    commands: Sequence[Sequence[str]],
    environments: Sequence[dict[str, str]],
    quiet: bool = False,
    instead: Mapping[int, int] = MappingProxyType({}),
) -> int:
    """Run processes to their end, and return the exit status of the first that failed, or 0.

    It is 128 + the signal's number where a signal ended that process. The output of process 0 is shown,
    unless `quiet`. Signals that stop a training are passed on, or replaced as `instead` says; a second signal
    of the same kind kills the processes.
    """
    processes: list[Process] = []
    received: set[int] = set()

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if number in received else instead.get(number, number))
        received.add(number)

    with tempfile.TemporaryDirectory(prefix="dejavu-") as folder, handled(pass_on):
        errors = [Path(folder) / str(number) if number or quiet else None for number in range(len(commands))]
        try:
            for command, env, path in zip(commands, environments, errors, strict=True):
                processes.append(_start(command, env, path))
            return _wait(processes, errors)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(command: Sequence[str], env: dict[str, str], errors: Path | None) -> Process:
    # A session of its own: Ctrl-C reaches the launcher alone, which passes it on once.
    if errors is None:
        return subprocess.Popen(command, env=env, start_new_session=True)
    with open(errors, "wb") as file:
        return subprocess.Popen(
            command, env=env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=file
        )


def _wait(processes: Sequence[Process], errors: Sequence[Path | None]) -> int:
    """Wait for all; return the status of the first that failed (128 + number for a signal), or 0."""
    failed: list[int] = []  # in the order of their end
    end = float("inf")
    while any([process.poll() is None for process in processes]):
        failed += _failed(processes, but=failed)
        if failed:
            end = min(end, time.monotonic() + GRACE)
        if time.monotonic() > end:
            for process in processes:
                process.kill()
        time.sleep(POLL)
    failed += _failed(processes, but=failed)
    # A process that lost another one ends with LOST; the cause is in the other one.
    causes = [number for number in failed if processes[number].returncode != LOST] or failed
    if not causes:
        return 0
    shown = [number for number in causes if errors[number] is None and processes[number].returncode > 0]
    first = shown[0] if shown else causes[0]
    path, status = errors[first], processes[first].returncode
    if path is not None and status - 128 not in SIGNALS:  # rank 0 prints that a signal stopped them
        sys.stderr.write(path.read_text(encoding="utf-8", errors="replace"))
    if status < 0:
        name = signal.Signals(-status).name
        print(f"dejavu: process {first} of {len(processes)} was ended by {name}", file=sys.stderr)
    return status if status >= 0 else 128 - status


def _failed(processes: Sequence[Process], but: Sequence[int]) -> list[int]:
    """Return the numbers of the processes that have failed, except those in `but`."""
    return [number for number, one in enumerate(processes) if one.returncode and number not in but]
