"""Every table and figure at smoke scale, made on a Slurm cluster."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dejavu.config.loading import load
from dejavu.config.paths import Paths

from .cluster import Cluster
from .conftest import Tell
from .place import make, show, snakemake

pytestmark = pytest.mark.slurm


def test_everything_at_smoke_scale(cluster: Cluster, tmp_path: Path, tell: Tell) -> None:
    place = make(tmp_path / "place", short=False)
    began = time.monotonic()
    # `--config` takes all words behind it: the target comes first.
    ended = snakemake(cluster, place, "all", "--config", "scale=smoke", seconds=5400)
    seconds = time.monotonic() - began
    assert ended.status == 0, ended.said[-3000:]
    params, paths = load(place / "params.yaml").at("smoke"), Paths("smoke", place)
    for name, table in params.tables.items():
        made = [paths.table(name, form) for form in ("csv", "md", "tex")]
        made += [paths.figure(name, kind) for kind in table.figures]
        for file in made:
            assert file.stat().st_size > 0
    jobs = [show(cluster, job) for job in ended.jobs]
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert len(jobs) == len(cluster.call("squeue", "--noheader", "--states=all").splitlines())
    # Rows share jobs, so that there are fewer of these than rows.
    assert len(params.scale.data) < len(jobs) < len(params.experiments)
    steps = int(ended.said.rsplit(" steps (100%) done", 1)[0].rsplit(" ", 1)[1])
    tell(
        f"all of smoke scale, {len(params.experiments)} rows: {steps} steps of Snakemake, {len(jobs)} jobs "
        f"submitted and completed, {seconds:.0f} s"
    )
