"""Single jobs on a Slurm cluster: their GPUs, an early word from Slurm, what one costs beside its work."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import yaml
from helpers.waits import until

from dejavu.config.paths import Paths

from .cluster import Cluster
from .conftest import Tell
from .place import begun, finish, lengthen, local, make, own_seconds, show, snakemake, variables

pytestmark = pytest.mark.slurm

ROW = "hrnet18"
EPOCHS = 150  # of two steps: long enough to be met at work


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short pipeline whose HRNet rows train for some seconds, with its data prepared."""
    place = make(tmp_path_factory.mktemp("jobs") / "place")
    lengthen(place, "hrnet_cityscapes", EPOCHS)
    for stage in ("download", "prepare"):
        local(place, stage, "cityscapes", "--scale", "smoke")
    return place


def targets(*rows: str) -> list[str]:
    return [str(Paths("smoke").metrics(row, 0)) for row in rows]


def test_jobs_at_once_have_a_gpu_each(cluster: Cluster, prepared: Path, tmp_path: Path, tell: Tell) -> None:
    """Asked for by the rules, where slurm/cluster.yaml says that this scale trains on GPUs."""
    place = prepared
    limits = place / "slurm" / "cluster.yaml"
    before = limits.read_text()
    limits.write_text(yaml.safe_dump(yaml.safe_load(before) | {"cpu_scales": [], "cpus_per_gpu": 1}))
    rows = (ROW, "hrnet18_dejavu")
    # A GPU's job asks for more memory, which the machine of this test may not have twice.
    rules = ("train_baseline_smoke", "train_dejavu_smoke", "evaluate_smoke")
    smaller = [f"{rule}:mem_mb=3000" for rule in rules]
    options = ["--set-resources", *smaller, "--group-components", "rows_smoke=1"]
    devices: dict[str, str] = {}

    def seen() -> bool:
        found = cluster.call("squeue", "--noheader", "--states=running", "--format=%i").split()
        for job in found:
            for pid in cluster.processes(job=job):
                if b"\0train\0" in _command(pid):
                    devices[job] = variables(pid)["CUDA_VISIBLE_DEVICES"]
        return len(devices) == 2

    try:
        with begun(cluster, place, *targets(*rows), *options) as process:
            until(seen, process=process, what="two trainings at once", pause=0.2)
            ended = finish(process, place, 600)
    finally:
        limits.write_text(before)
    assert ended.status == 0, ended.said[-3000:]
    assert sorted(devices.values()) == ["0", "1"]
    assert [show(cluster, job)["TresPerJob"] for job in ended.jobs] == ["gres:gpu:1"] * 2
    tell(f"{len(ended.jobs)} jobs at once, CUDA_VISIBLE_DEVICES {' and '.join(devices.values())}")


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def test_a_job_that_hears_of_its_end_saves_and_is_run_again(
    cluster: Cluster, prepared: Path, tmp_path: Path, tell: Tell
) -> None:
    """SIGUSR1 as `--signal=USR1@300` sends it; what comes out is what an undisturbed training makes."""
    place = make(tmp_path / "place")
    lengthen(place, "hrnet_cityscapes", EPOCHS)
    for stage in ("download", "prepare"):
        local(place, stage, "cityscapes", "--scale", "smoke")
    paths = Paths("smoke", place)
    log, checkpoint = place / "logs/smoke/train" / f"{ROW}.log", paths.run(ROW, 0) / "checkpoint.pt"

    def trains() -> bool:
        return log.exists() and "epoch 2/" in log.read_text()

    with begun(cluster, place, *targets(ROW)) as process:
        until(trains, process=process, what="training", pause=0.2)
        (job,) = cluster.call("squeue", "--noheader", "--states=running", "--format=%i").split()
        cluster.call("scancel", "--signal=USR1", job)
        until(lambda: show(cluster, int(job))["Restarts"] == "1", 60, process, "second start", 0.2)
        assert checkpoint.is_file()
        said = log.read_text()
        ended = finish(process, place, 600)
    assert ended.status == 0, ended.said[-3000:]
    assert "stopped by SIGUSR1 and saved at step" in said and f"Slurm runs job {job} again" in said
    shown = show(cluster, int(job))
    assert ended.jobs == [int(job)] and (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1")
    local(prepared, "train", ROW, "--scale", "smoke")
    undisturbed = Paths("smoke", prepared)
    for file in ("weights", "log"):
        assert getattr(paths, file)(ROW, 0).read_bytes() == getattr(undisturbed, file)(ROW, 0).read_bytes()
    tell(f"SIGUSR1 in a training: saved, job {job} run again once, the same weights as undisturbed")


def test_a_job_costs_some_seconds_beside_its_work(cluster: Cluster, tmp_path: Path, tell: Tell) -> None:
    """From its start to Snakemake's seeing its end, beside what the commands take."""
    place = make(tmp_path / "place")
    options = ["--slurm-keep-successful-logs"]
    ended = snakemake(cluster, place, *targets(ROW, "hrnet18_dejavu"), *options)
    assert ended.status == 0, ended.said[-3000:]
    preparing, rows = ended.jobs  # the rows of this scale share a job
    parts = {}
    for job, commands in ((preparing, 1), (rows, 4)):
        times = {key: _time(value) for key, value in show(cluster, job).items() if key.endswith("Time")}
        inside, took = (times["EndTime"] - times["StartTime"]).total_seconds(), own_seconds(place, job)
        own = sum(took)  # to the second: the preparation may take none
        assert len(took) == commands and 0 <= own <= inside
        parts[job] = f"{inside - own:.0f} s beside {own:.0f} s of work"
    assert own > 0
    seen = (ended.last_finished - times["EndTime"]).total_seconds()
    assert 0 <= seen < 60
    tell(f"overhead of a job of 1 command: {parts[preparing]}")
    tell(f"overhead of a job of 4 commands: {parts[rows]}; its end was seen after {seen:.0f} s")


def _time(text: str) -> datetime:
    """A time as Slurm shows it, or the first there is for 'N/A' and the like."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.min
