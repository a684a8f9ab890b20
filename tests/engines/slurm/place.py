"""A copy of the project in which Snakemake sends its jobs to the test cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from helpers.engines import ROOT, read_params, shorten, workplace, write_params

from .cluster import Cluster

STAMP = r"\[(\w{3} \w{3} +\d+ \d+:\d+:\d+ \d{4})\]"
OUTER = re.compile(rf"{STAMP}\nFinished jobid: (\d+)")
SUBMITTED = re.compile(r"has been submitted with SLURM jobid (\d+)")
COMMAND = re.compile(rf"{STAMP}\nlocalrule (\w+):.*?{STAMP}\nFinished jobid: \d+ \(Rule: \2\)", re.DOTALL)


def make(folder: Path, short: bool = True) -> Path:
    """A workplace with its own copy of the code, which nobody changes under a job; `short`: a few rows."""
    folder.mkdir()
    workplace(folder)
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    shutil.copytree(ROOT / "dejavu", folder / "dejavu", ignore=shutil.ignore_patterns("__pycache__"))
    if short:
        shorten(folder)
    return folder


def lengthen(folder: Path, recipe: str, epochs: int) -> None:
    """Let the rows of a recipe train for so many epochs at smoke scale, with a line of the log for each."""
    params = read_params(folder)
    rows = [row for row in params["experiments"].values() if row["recipe"] == recipe]
    for scale in [*params["scales"].values(), params["scale"]]:
        scale["budget"]["longer"] = scale["budget"][rows[0]["budget"]] | {"epochs": epochs}
    for row in rows:
        row["budget"] = "longer"
    write_params(folder, params)


@dataclass(frozen=True)
class Ended:
    """A Snakemake that has ended."""

    status: int
    said: str

    @property
    def jobs(self) -> list[int]:
        """The Slurm jobs that it submitted."""
        return [int(number) for number in SUBMITTED.findall(self.said)]

    @property
    def last_finished(self) -> datetime:
        """When it saw the last job end."""
        return when(OUTER.findall(self.said)[-1][0])


def when(stamp: str) -> datetime:
    """A time of Snakemake's log."""
    return datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y")


@contextmanager
def begun(cluster: Cluster, place: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`snakemake --profile slurm`, under way; it is killed if it still is when the block ends."""
    environment = cluster.environment | {"PYTHONPATH": str(place)}
    environment["PATH"] += f":{Path(sys.executable).parent}"
    with open(place / "snakemake.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments, "--profile", "slurm"],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def finish(process: subprocess.Popen[str], place: Path, seconds: float) -> Ended:
    """Wait for its end."""
    status = process.wait(timeout=seconds)
    return Ended(status, (place / "snakemake.log").read_text())


def snakemake(cluster: Cluster, place: Path, *arguments: str, seconds: float = 900) -> Ended:
    """Run `snakemake ARGUMENTS --profile slurm` to its end."""
    with begun(cluster, place, *arguments) as process:
        return finish(process, place, seconds)


def show(cluster: Cluster, job: int) -> dict[str, str]:
    """What `scontrol show job` says of a job."""
    said = cluster.call("scontrol", "show", "job", "--details", "--oneliner", str(job))
    return dict(part.split("=", 1) for part in said.split() if "=" in part)


def variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty where it has ended."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(part.split("=", 1) for part in text.split("\0") if "=" in part)


def own_seconds(place: Path, job: int) -> list[float]:
    """What each command of a job took itself, to the second: needs `--slurm-keep-successful-logs`."""
    (log,) = (place / ".snakemake" / "slurm_logs").rglob(f"{job}.log")
    return [(when(end) - when(start)).total_seconds() for start, _, end in COMMAND.findall(log.read_text())]


def local(place: Path, *arguments: str) -> None:
    """Run `dejavu ARGUMENTS` here, without any cluster."""
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-m", "dejavu", *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
