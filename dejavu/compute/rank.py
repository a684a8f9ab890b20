"""Who a process is, as its launcher says: torchrun or our own by RANK and WORLD_SIZE, or Slurm's srun."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import NamedTuple

NODES = "DEJAVU_NODES"
"""in the environment of launchers, one a machine, that the launcher of a Slurm job has started"""
LOST = 75
"""exit status of a process that another one has left (sysexits.h: try again)"""
PORT = 29400  # the first of a thousand, of which a Slurm step takes one by its number


class Member(NamedTuple):
    """One process of several, before they know of each other."""

    rank: int
    world: int
    local_rank: int
    """among the processes of its machine"""
    address: str | None
    """of the lead's machine; None is that of the Slurm step, which is asked for when they meet"""
    port: int | None
    bound: bool
    """whether Slurm may show it its own GPU only"""


def member() -> Member | None:
    """Which of several processes this is; None where nobody started several.

    A Slurm step of one task is one process, as inside of an allocation for several: it can launch them.
    """
    env = os.environ
    address, port = env.get("MASTER_ADDR"), env.get("MASTER_PORT")
    if "RANK" in env and "WORLD_SIZE" in env:
        return Member(
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
    return Member(
        int(env["SLURM_PROCID"]),
        tasks,
        int(env.get("SLURM_LOCALID", 0)),
        address,
        None if port is None else int(port),
        bound=True,
    )


def address_of_step() -> str:
    """Of the first machine of the Slurm step that this is in, where its first task runs."""
    nodes = os.environ.get("SLURM_STEP_NODELIST", "")
    asked = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True)
    first = next(iter(asked.stdout.split()), "")
    try:
        socket.getaddrinfo(first or None, PORT)
    except OSError:  # a node's name need not be its machine's
        first = ""
    return first or os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")


def port_of_step() -> int:
    """The same for all tasks of a Slurm step, and another one for the next step."""
    return PORT + (int(os.environ["SLURM_JOB_ID"]) * 7 + int(os.environ.get("SLURM_STEP_ID", 0))) % 1000
