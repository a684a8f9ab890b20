"""Starts the processes of one training: on this machine, and through srun on all machines of a Slurm job.

torchrun would do, but it ends with a traceback and the status 1 whatever its processes said, and hands on
neither every signal nor which one it was.
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

from ..compute.rank import LOST, NODES, address_of_step, member, port_of_step
from ..errors import DejavuError
from ..system.signals import SIGNALS, handled

GRACE = 30.0  # seconds for the others to end of themselves when one has failed
POLL = 0.1

Process = subprocess.Popen[bytes]


def wants_launch(count: int) -> bool:
    """Whether `count` processes are needed and nobody has started them."""
    return count > 1 and member() is None


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `dejavu ARGUMENTS` as `count` processes and return their exit status: that of the first to fail.

    In a Slurm job of several machines each has as many of them. What the first process says is shown; of
    the others only what one says that fails before it. Signals are handed on.

    Raises DejavuError where machines cannot have the same number of processes.
    """
    command = [sys.executable, "-m", "dejavu", *arguments]
    nodes, processors = _machines()
    if count % nodes:
        raise DejavuError(
            f"{count} processes (gpus in params.yaml) cannot be shared by the {nodes} machines of this Slurm "
            "job evenly: ask for another number of machines"
        )
    if nodes > 1 and NODES not in os.environ:  # one of us on each machine, which then starts its own
        # --overlap: Snakemake's own step may hold what the job was given; --wait: the lead ends last.
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
    """How many machines this has, and how many processors of each: of the Slurm job that it is in, else 1, 1.

    Slurm is asked, because Snakemake's plugin leaves no more than the job's number in the environment.

    Raises DejavuError where it does not say.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if NODES in os.environ or job is None:
        return int(os.environ.get(NODES, 1)), 1
    asked = subprocess.run(
        ["squeue", "--noheader", "--format=%D %C", "--jobs", job], capture_output=True, text=True
    )
    try:
        nodes, processors = map(int, asked.stdout.split())
    except ValueError:
        reason = " ".join((asked.stderr or asked.stdout).split()) or "no answer"
        raise DejavuError(f"Slurm does not say how many machines job {job} has: {reason}") from None
    return nodes, processors // nodes


def _of_the_job() -> dict[str, str]:
    """The environment without what sbatch or an outer step says of tasks: srun takes that for options."""
    kept = ("SLURM_JOB_ID", "SLURM_CONF", "SLURM_CLUSTER_NAME")
    return {key: value for key, value in os.environ.items() if not key.startswith("SLURM_") or key in kept}


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


def _run(
    commands: Sequence[Sequence[str]],
    environments: Sequence[dict[str, str]],
    quiet: bool = False,
    instead: Mapping[int, int] = MappingProxyType({}),
) -> int:
    """Run processes to their end, and return the exit status of the first that failed, or 0.

    It is 128 + its number where a signal ended that one. What the first one says is shown, unless `quiet`.
    Signals that ask a training to stop are handed on to them, or others `instead`; a second one of a kind
    kills them.
    """
    processes: list[Process] = []
    seen: set[int] = set()

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if number in seen else instead.get(number, number))
        seen.add(number)

    with tempfile.TemporaryDirectory(prefix="dejavu-") as folder, handled(hand_on):
        said = [Path(folder) / str(number) if number or quiet else None for number in range(len(commands))]
        try:
            for command, env, path in zip(commands, environments, said, strict=True):
                processes.append(_start(command, env, path))
            return _watched(processes, said)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(command: Sequence[str], env: dict[str, str], said: Path | None) -> Process:
    # A session of its own: Ctrl-C reaches the launcher alone, which hands it on once.
    if said is None:
        return subprocess.Popen(command, env=env, start_new_session=True)
    with open(said, "wb") as file:
        return subprocess.Popen(
            command, env=env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=file
        )


def _watched(processes: Sequence[Process], said: Sequence[Path | None]) -> int:
    """Wait for all; the exit status of the first that failed, 128 + its number for a signal, or 0."""
    failed: list[int] = []  # in their order
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
    # Who was left by another says so; the other one knows why.
    causes = [number for number in failed if processes[number].returncode != LOST] or failed
    if not causes:
        return 0
    shown = [number for number in causes if said[number] is None and processes[number].returncode > 0]
    first = shown[0] if shown else causes[0]
    path, status = said[first], processes[first].returncode
    if path is not None and status - 128 not in SIGNALS:  # that they were asked to stop, the lead says
        sys.stderr.write(path.read_text(encoding="utf-8", errors="replace"))
    if status < 0:
        name = signal.Signals(-status).name
        print(f"dejavu: process {first} of {len(processes)} was ended by {name}", file=sys.stderr)
    return status if status >= 0 else 128 - status


def _failed(processes: Sequence[Process], but: Sequence[int]) -> list[int]:
    """The numbers of the processes that have ended with an error, but those that are known."""
    return [number for number, one in enumerate(processes) if one.returncode and number not in but]
