"""Who a process is, as its launcher says: torchrun or our own by RANK and WORLD_SIZE, or Slurm's srun."""

from __future__ import annotations

import os
from typing import NamedTuple

NODES = "DEJAVU_NODES"
"""in the environment of launchers, one a machine, that the launcher of a Slurm job has started"""
LOST = 75
"""exit status of a process that another one has left (sysexits.h: try again)"""
PORT = 29400  # the first of a thousand, of which a Slurm step takes one by its job's number


class Member(NamedTuple):
    """One process of several, before they know of each other."""

    rank: int
    world: int
    local_rank: int
    """among the processes of its machine"""
    address: str
    """of the lead's machine"""
    port: int
    bound: bool
    """whether Slurm may show it its own GPU only"""

    def environment(self) -> dict[str, str]:
        """What torch reads."""
        return {"MASTER_ADDR": self.address, "MASTER_PORT": str(self.port)}


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
        address or env.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"),
        int(port or PORT + int(env["SLURM_JOB_ID"]) % 1000),
        bound=True,
    )
