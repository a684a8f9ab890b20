"""The rank that a launcher gave to a process: torchrun's and our own in RANK and WORLD_SIZE, or srun's."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import NamedTuple

NODES = "DEJAVU_NODES"
"""in the environment of launchers, one a machine, that the launcher of a Slurm job has started"""
LOST = 75
"""exit status of a process whose group has lost another one (sysexits.h: try again)"""
PORT = 29400  # the first of a thousand, of which a Slurm step takes one by its number


class Launched(NamedTuple):
    """The rank of one process of a launcher, before the processes are connected."""

    rank: int
    world: int
    local_rank: int
    """among the processes of its machine"""
    address: str | None
    """of the main process' machine; None is that of the Slurm step, looked up when they meet"""
    port: int | None
    bound: bool
    """whether Slurm may show it its own GPU only"""


def launched() -> Launched | None:
    """Return the rank of this process; None where no launcher started more than one.

    A Slurm step of one task is one process, as inside of an allocation for several: it can launch them.
    """
    env = os.environ
    address, port = env.get("MASTER_ADDR"), env.get("MASTER_PORT")
    if "RANK" in env and "WORLD_SIZE" in env:
        return Launched(
            int(env["RANK"]),
            int(env["WORLD_SIZE"]),
            int(env.get("LOCAL_RANK", 0)),
            address or "127.0.0.1",
            int(port or PORT),
            bound=False,
        )
    tasks = int(env.get("SLURM_STEP_NUM_TASKS", 1))
    if "SLURM_PROCID" not in env or tasks == 1 or NODES in env:
        return None
    return Launched(
        int(env["SLURM_PROCID"]),
        tasks,
        int(env.get("SLURM_LOCALID", 0)),
        address,
        None if port is None else int(port),
        bound=True,
    )


def address_of_step() -> str:
    """Return the address of the first machine of this Slurm step, where its first task runs."""
    nodes = os.environ.get("SLURM_STEP_NODELIST", "")
    listed = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True)
    first = next(iter(listed.stdout.split()), "")
    try:
        socket.getaddrinfo(first or None, PORT)
    except OSError:  # a node's name need not be its machine's
        first = ""
    return first or os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")


def port_of_step() -> int:
    """Return a port that all tasks of a Slurm step share, and the next step does not."""
    return PORT + (int(os.environ["SLURM_JOB_ID"]) * 7 + int(os.environ.get("SLURM_STEP_ID", 0))) % 1000
