"""The status of jobs by sacct, on a cluster that has accounting."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cluster import Cluster
from .conftest import Tell
from .place import make, snakemake

pytestmark = pytest.mark.slurm


def test_status_by_sacct(accounting: Cluster, tmp_path: Path, tell: Tell) -> None:
    place = make(tmp_path / "place")
    target = "results/smoke/tables/cityscapes.md"
    ended = snakemake(accounting, place, target, "--slurm-status-command", "sacct")
    assert ended.status == 0, ended.said[-3000:]
    assert (place / target).is_file()
    asked = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State"]
    states = dict(line.split("|") for line in accounting.call(*asked).splitlines())
    assert states == {str(job): "COMPLETED" for job in ended.jobs} and states
    tell(f"status by sacct: {len(states)} jobs submitted and completed")
