"""A real Slurm for tests: its daemons on this machine, with one or two nodes and stand-in GPUs.

    python tests/engines/slurm/cluster.py up /tmp/cluster --nodes 2 --accounting  # prints the line to export
    python tests/engines/slurm/cluster.py down /tmp/cluster                       # also after a crash

Keys, state, logs and pid files lie in one folder; nothing outside it is touched. It needs root and Debian's
packages, which are installed where they are missing.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

if __package__:
    from .configuration import accounting_conf, gres_conf, slurm_conf
else:  # as a command
    from configuration import accounting_conf, gres_conf, slurm_conf

PROGRAMS = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "munged": "munge"}
OF_ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
PORTS = range(17000, 30000, 20)  # below those that the kernel hands out


class Fault(Exception):
    """What went wrong with the cluster, in one sentence."""


class NotHere(Fault):
    """A cluster cannot be had on this machine."""


@dataclass
class Cluster:
    """One cluster, told apart from others by its folder and its ports."""

    base: Path
    """an absolute path, short because sockets lie in it"""
    nodes: int = 1
    cpus: int = 2
    """of each node"""
    gpus: int = 2
    """of each node: null devices that stand in for graphics cards"""
    accounting: bool = False
    port: int = 0
    """the first of twenty; 0 looks for free ones"""

    @property
    def names(self) -> list[str]:
        """of the nodes"""
        return [f"node{number}" for number in range(1, self.nodes + 1)]

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to speak to this cluster and to no other."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        path = f"{self.base / 'bin'}:{os.environ['PATH']}"
        return inherited | {"SLURM_CONF": str(self._conf), "PATH": path}

    @property
    def _conf(self) -> Path:
        return self.base / "etc" / "slurm.conf"

    def start(self) -> None:
        """Install what is missing, then start all daemons and wait until every node is idle.

        Raises Fault where that is not possible; nothing is left running then.
        """
        install([*PROGRAMS.items(), *(OF_ACCOUNTING.items() if self.accounting else ())])
        running = [name for name in self._daemons() if self.pid(name)]
        if running:
            raise Fault(f"{self.base}: {', '.join(running)} of an earlier cluster runs: stop that one first")
        self._write()
        try:
            for name in self._daemons():
                self.start_daemon(name)
                if name == "mariadbd":
                    self._make_database()
                elif name == "slurmdbd":
                    self._register()
            states = ["sinfo", "--noheader", "--Node", "--format=%T"]
            self._until(lambda: self.call(*states).split() == ["idle"] * self.nodes, "its nodes")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cancel all jobs and stop all daemons: those that still are what the pid files say."""
        if self.pid("slurmctld"):
            self.call("scancel", "--full", "--partition=main", check=False)
            with suppress(Fault):  # those of a dead node are killed below
                self._until(lambda: not self.call("squeue", "--noheader", check=False), "", seconds=10)
        for name in reversed(self._daemons()):
            self.kill_daemon(name, signal.SIGTERM)
        for pid in self.processes():
            _kill(pid, signal.SIGKILL)

    # ------------------------------------------------ daemons, also for those who want to see one die

    def _daemons(self) -> list[str]:
        """In the order in which they start."""
        accounting = ["mariadbd", "slurmdbd"] if self.accounting else []
        return ["munged", *accounting, "slurmctld", *(f"slurmd.{node}" for node in self.names)]

    def start_daemon(self, name: str) -> None:
        """Start `slurmctld`, `slurmd.node1`, ... and wait until its pid file is there."""
        run, log = self.base / "run", self.base / "log"
        program, _, node = name.partition(".")
        command = [program]
        if program == "munged":
            command += ["--force", f"--key-file={self.base / 'munge' / 'munge.key'}"]
            command += [f"--socket={run / 'munge.socket'}", f"--pid-file={run / 'munged.pid'}"]
            command += [f"--log-file={log / 'munged.log'}", f"--seed-file={self.base / 'munge' / 'seed'}"]
        elif program == "mariadbd":
            self._install_database()
            command = ["setsid", "--fork", "mariadbd", "--no-defaults", "--user=root"]
            command += [f"--datadir={self.base / 'db'}", f"--socket={run / 'db.socket'}"]
            command += [f"--port={self.port + 2}", "--bind-address=127.0.0.1"]
            command += [f"--pid-file={run / 'mariadbd.pid'}", f"--log-error={log / 'mariadbd.log'}"]
            command += ["--innodb-buffer-pool-size=64M"]
        elif program == "slurmd":
            command += ["-N", node]
        with open(log / f"{name}.out", "a") as out:
            done = subprocess.run(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60
            )
        if done.returncode:
            raise Fault(f"{shlex.join(command)} ended with {done.returncode}: see {log}")
        self._until(lambda: self.pid(name) is not None, name)

    def kill_daemon(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a daemon a signal and wait until it is gone, with SIGKILL after 15 seconds."""
        pid = self.pid(name)
        if pid is None:
            return
        _kill(pid, number)
        try:
            self._until(lambda: not _is(pid, name), "", seconds=15)
        except Fault:
            _kill(pid, signal.SIGKILL)
            self._until(lambda: not _is(pid, name), f"the end of {name}")

    def pid(self, name: str) -> int | None:
        """Of a daemon that runs; None where the pid file names nothing, or another program."""
        try:
            pid = int((self.base / "run" / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if _is(pid, name) else None

    def processes(self, node: str | None = None, job: int | str | None = None) -> list[int]:
        """The processes of jobs on this cluster, slurmstepd among them: of one node, of one job."""
        wanted = {f"SLURM_CONF={self._conf}"}
        wanted |= {f"SLURMD_NODENAME={node}"} if node else set()
        wanted |= {f"SLURM_JOB_ID={job}"} if job else set()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has ended
                continue
            if any(one.startswith("SLURM_JOB_ID=") for one in variables) and wanted <= set(variables):
                found.append(int(folder.name))
        return found

    def call(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm prints. Raises Fault where it fails and `check` is set."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode and check:
            raise Fault(f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
        return done.stdout.strip()

    def _until(self, happened: Callable[[], bool], what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise Fault(f"waited {seconds:g} seconds for {what} in vain: see {self.base / 'log'}")
            time.sleep(0.1)

    # ------------------------------------------------ files

    def _write(self) -> None:
        self.port = self.port or free_ports()
        for name in (
            "bin",
            "etc",
            "run",
            "log",
            "state",
            "munge",
            "dev",
            *(f"spool/{node}" for node in self.names),
        ):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        (self.base / "munge").chmod(0o700)
        key = self.base / "munge" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        host, memory = socket.gethostname().split(".")[0], _memory_mb() * 95 // 100 // self.nodes
        etc = self.base / "etc"
        self._conf.write_text(
            slurm_conf(self.base, host, self.port, self.names, self.cpus, memory, self.gpus, self.accounting)
        )
        (etc / "gres.conf").write_text(gres_conf(self.base, self.names, self.gpus))
        # In a job Snakemake's plugin unsets SLURM_CONF, without which they would look into /etc/slurm.
        for name in ("srun", "squeue", "scontrol"):
            command = self.base / "bin" / name
            command.write_text(f'#!/bin/sh\nSLURM_CONF={self._conf} exec {shutil.which(name)} "$@"\n')
            command.chmod(0o755)
        for node in self.names:
            for number in range(self.gpus):
                device = self.base / "dev" / f"{node}-gpu{number}"
                if not device.exists():
                    os.mknod(device, 0o20666, os.makedev(1, 3))  # /dev/null under another name

    def _install_database(self) -> None:
        """Make the server's own tables, the first time."""
        if not (self.base / "db" / "mysql").is_dir():
            command = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self.base / 'db'}"]
            self.call(*command, "--auth-root-authentication-method=normal", "--skip-test-db")

    def _make_database(self) -> None:
        """Wait for the server, and make slurmdbd's user with a password of its own."""
        admin = ["--no-defaults", "--user=root", f"--socket={self.base / 'run' / 'db.socket'}"]
        ping = ["mariadb-admin", *admin, "ping"]
        self._until(lambda: "alive" in self.call(*ping, check=False), "mariadbd")
        password = os.urandom(18).hex()
        conf = self.base / "etc" / "slurmdbd.conf"
        conf.touch(mode=0o600)
        host = socket.gethostname().split(".")[0]
        conf.write_text(accounting_conf(self.base, host, self.port, password))
        statements = "create database if not exists slurm_acct_db; "
        statements += f"create or replace user slurm@'127.0.0.1' identified by '{password}'; "
        statements += "grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
        self.call("mariadb", *admin, f"--execute={statements}")

    def _register(self) -> None:
        """Tell slurmdbd of this cluster, once it answers."""
        show = ["sacctmgr", "--noheader", "--immediate", "show", "cluster", "format=cluster"]
        self._until(lambda: _succeeds(show, self.environment), "slurmdbd")
        if "dejavu" not in self.call(*show):
            self.call("sacctmgr", "--immediate", "--quiet", "add", "cluster", "dejavu")


def install(programs: list[tuple[str, str]]) -> None:
    """Install the Debian packages of programs (name, package) that are missing.

    Raises NotHere where this is no Debian, or the user is not root, and Fault where apt-get fails.
    """
    if os.getuid():
        raise NotHere("a Slurm of one's own needs root, whose jobs it may start: this user is not root")
    missing = sorted({package for program, package in programs if shutil.which(program) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise NotHere(f"{', '.join(missing)} cannot be installed: there is no apt-get, this is not Debian")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["--yes", "-qq", "--no-install-recommends"]
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", *options, *missing]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip() or "nothing was said").splitlines()[-1]
            raise Fault(f"{shlex.join(command)} ended with {done.returncode}: {said}")


def free_ports() -> int:
    """The first of twenty ports that nobody listens on."""
    for first in PORTS:
        try:
            for port in range(first, first + 20):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise Fault(f"no twenty free ports from {PORTS.start} to {PORTS.stop}")


def _is(pid: int, name: str) -> bool:
    """Whether a process is the daemon `name`, and not a new one of the same number or a dead one's rest."""
    try:
        comm, state = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
    except OSError:
        return False
    return comm == name.partition(".")[0] and not state.split()[0].startswith(("Z", "X"))


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _succeeds(command: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode == 0


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that is stopped whatever happens, and its folder removed.

    Its folder should be the same each time: then the next run stops what a killed one has left there. Raises
    Fault where another process that lives has one in this folder.
    """
    with open(f"{cluster.base}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Fault(f"{cluster.base} is the cluster of another test run: wait for its end") from None
        cluster.stop()
        shutil.rmtree(cluster.base, ignore_errors=True)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(cluster.base, ignore_errors=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Start or stop a Slurm for tests.")
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("base", type=Path, help="the folder of keys, state, logs and pid files")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=2, help="of each node")
    parser.add_argument("--gpus", type=int, default=2, help="of each node, stand-ins")
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd, so that sacct works")
    args = parser.parse_args()
    made = Cluster(args.base.resolve(), args.nodes, args.cpus, args.gpus, args.accounting)
    if args.what == "down":
        # Whatever it was started with: a daemon without a pid file is none.
        Cluster(made.base, nodes=max(2, args.nodes), accounting=True).stop()
        return 0
    try:
        made.start()
    except Fault as fault:
        print(f"cluster.py: {fault}", file=sys.stderr)
        return 1
    environment = made.environment
    print("export", *(f"{name}={shlex.quote(environment[name])}" for name in ("SLURM_CONF", "PATH")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
