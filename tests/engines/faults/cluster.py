"""What may befall jobs on a cluster."""

from __future__ import annotations

import signal
import time

from engines.slurm.cluster import Cluster

from . import local
from .disturb import Fault, Scene
from .place import PATIENCE

# What Snakemake says when it has asked the controller in vain; without a database sacct has no answer either.
IN_VAIN = "Falling back to 'sacct'"


def mend(cluster: Cluster) -> None:
    """Start daemons that a fault has left dead (it failed itself), and take every node back."""
    for name in ("slurmctld", *(f"slurmd.{node}" for node in cluster.names)):
        if cluster.pid(name) is None:
            cluster.start_daemon(name)
    for node in cluster.names:
        resume(cluster, node)


def resume(cluster: Cluster, node: str) -> None:
    """Take a node back. It may come by itself, since its daemon calls: then Slurm refuses to be asked."""
    end = time.monotonic() + PATIENCE
    while _state(cluster, node).startswith(("down", "drain", "unk")):
        assert time.monotonic() < end, f"{node} is still {_state(cluster, node)}"
        cluster.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        time.sleep(0.5)


def kinds(cluster: Cluster) -> dict[str, Fault]:
    """The faults by name."""

    def ask(*command: str) -> Fault:
        """A command of Slurm with the job's number behind it."""

        def strike(scene: Scene) -> bool:
            cluster.call(*command, _variable(scene, "SLURM_JOB_ID"))
            return True

        return strike

    def slurmctld(scene: Scene) -> bool:
        """The controller dies, and is started again when Snakemake has asked it in vain."""
        end, asked = time.monotonic() + scene.rng.uniform(30, 60), scene.place.log.read_text().count(IN_VAIN)
        cluster.kill_daemon("slurmctld")
        while scene.place.log.read_text().count(IN_VAIN) == asked and time.monotonic() < end:
            time.sleep(0.5)
        time.sleep(scene.rng.uniform(0, 5))
        cluster.start_daemon("slurmctld")
        return True

    def slurmd(scene: Scene) -> bool:
        """A node's daemon dies, and is started again before the controller misses it."""
        name = f"slurmd.{_variable(scene, 'SLURMD_NODENAME')}"
        cluster.kill_daemon(name)
        time.sleep(scene.rng.uniform(0, 5))
        cluster.start_daemon(name)
        return True

    def cut_off(scene: Scene) -> bool:
        """A node is not heard of any more, but its job goes on, and meets the one that takes its place."""
        node = _variable(scene, "SLURMD_NODENAME")
        cluster.kill_daemon(f"slurmd.{node}")
        return returns(cluster, node, scene.rng.uniform(0, 15))

    def gone(scene: Scene) -> bool:
        """A node loses its power."""
        node = _variable(scene, "SLURMD_NODENAME")
        cluster.kill_daemon(f"slurmd.{node}")
        for pid in cluster.processes(node=node):
            local.send(pid, signal.SIGKILL)
        return returns(cluster, node, scene.rng.uniform(0, 15))

    def set_down(scene: Scene) -> bool:
        """The administrator takes a node out, with what runs there."""
        node = _variable(scene, "SLURMD_NODENAME")
        cluster.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        time.sleep(scene.rng.uniform(0, 5))
        resume(cluster, node)
        return True

    return {
        "scancel of a job": ask("scancel"),
        "SIGTERM of a job": ask("scancel", "--signal=TERM"),
        "SIGUSR1 of a job": ask("scancel", "--signal=USR1"),
        "scontrol requeue of a job": ask("scontrol", "requeue"),
        "SIGKILL of a job's training": local.training(signal.SIGKILL),
        "SIGKILL of Snakemake with jobs on Slurm": local.engine(signal.SIGKILL),
        "SIGINT of Snakemake with jobs on Slurm": local.engine(signal.SIGINT),
        "SIGKILL of slurmctld": slurmctld,
        "SIGKILL of slurmd": slurmd,
        "a node that is cut off": cut_off,
        "a node that disappears": gone,
        "a node that is set down": set_down,
    }


def _variable(scene: Scene, name: str) -> str:
    return scene.training.process.environ()[name]


def _state(cluster: Cluster, node: str) -> str:
    return cluster.call("sinfo", "--noheader", f"--nodes={node}", "--format=%T")


def returns(cluster: Cluster, node: str, seconds: float) -> bool:
    """Wait until Slurm has missed a node, and some seconds more; then it is back."""
    end = time.monotonic() + PATIENCE
    while not _state(cluster, node).startswith("down"):
        assert time.monotonic() < end, f"{node} is still {_state(cluster, node)}"
        time.sleep(0.5)
    time.sleep(seconds)
    cluster.start_daemon(f"slurmd.{node}")
    resume(cluster, node)
    return True
