"""On a Slurm of two nodes, whatever strikes: the same command again leaves what an undisturbed run leaves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dejavu.engines import one_at_a_time
from dejavu.system import locks
from engines.slurm.cluster import Cluster, NotHere, running

from .cluster import kinds, mend
from .conftest import Survives, Undisturbed
from .place import PATIENCE, TABLES

pytestmark = pytest.mark.faults

# Several kinds in a run, since a run on Slurm is mostly waiting.
TOGETHER = {
    "jobs": [
        "scancel of a job",
        "SIGTERM of a job",
        "SIGUSR1 of a job",
        "scontrol requeue of a job",
        "SIGKILL of a job's training",
    ],
    "daemons": ["SIGKILL of slurmctld", "SIGKILL of slurmd", "a node that is set down"],
    "nodes": ["a node that is cut off", "a node that disappears"],
    "Snakemake": ["SIGKILL of Snakemake with jobs on Slurm"] * 2 + ["SIGINT of Snakemake with jobs on Slurm"],
}
CANCELS = "snakemake: cancels Slurm job"


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    try:
        with running(Cluster(Path("/tmp/dejavu-faults"), nodes=2, cpus=1, gpus=0)) as cluster:
            yield cluster
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    """In order before a test, and without jobs after it."""
    mend(started)
    yield started
    mend(started)
    started.call("scancel", "--full", "--partition=main", check=False)


@pytest.mark.parametrize("group", TOGETHER)
def test_snakemake(
    group: str,
    cluster: Cluster,
    undisturbed: Undisturbed,
    survives: Survives,
    rng: random.Random,
    tmp_path: Path,
) -> None:
    known, names = kinds(cluster), list(TOGETHER[group])
    rng.shuffle(names)
    # A job for each row: more to hit than in the profile's own, which have several.
    options = ("--profile", "slurm", "--group-components", "rows_smoke=1", "--")
    place = undisturbed.place(tmp_path / "place", list(TABLES), *options, environment=cluster.environment)
    survives(place, [(name, known[name]) for name in names])
    if "SIGKILL of Snakemake with jobs on Slurm" in names:  # not each time: the jobs may just have ended
        assert any(CANCELS in said for said in place.said)


def test_who_is_refused_leaves_the_log_folders_of_waiting_jobs(
    cluster: Cluster, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    place = undisturbed.place(
        tmp_path / "place", list(TABLES), "--profile", "slurm", "--", environment=cluster.environment
    )
    logs = place.folder / ".snakemake/slurm_logs/rule_train/of_a_job_that_waits"
    logs.mkdir(parents=True)  # Slurm cannot start a job without it
    with locks.hold(place.folder / one_at_a_time.SNAKEMAKE, alone=True), place.engine() as engine:
        engine.wait(timeout=PATIENCE)
    assert engine.returncode == 1 and "another Snakemake is at work" in place.said[-1], place.said[-1]
    assert logs.is_dir()
