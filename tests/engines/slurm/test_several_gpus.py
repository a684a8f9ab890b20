"""A row that two machines train together: one process on each, which their job starts by srun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.engines import read_params, write_params
from helpers.waits import until

from dejavu.config.paths import Paths

from .cluster import Cluster
from .conftest import Tell, had
from .place import begun, finish, local, make, show

pytestmark = pytest.mark.slurm

ROW = "hrnet18"


@pytest.fixture
def machines() -> Iterator[Cluster]:
    """Two nodes with a processor and a stand-in GPU each."""
    with had(Cluster(Path("/tmp/dejavu-several"), nodes=2, cpus=1, gpus=1)) as made:
        yield made


def test_two_machines_train_what_two_processes_do(machines: Cluster, tmp_path: Path, tell: Tell) -> None:
    place = make(tmp_path / "place")
    params = read_params(place)
    for scale in [*params["scales"].values(), params["scale"]]:
        scale["budget"]["shared"] = {}
    for row in params["experiments"].values():
        row["budget"] = "shared" if row["recipe"] == "hrnet_cityscapes" else row["budget"]
    for scale in (params["scales"]["smoke"], params["scale"]):
        scale["budget"]["shared"] = {"gpus": 2, "sync_norm": True, "epochs": 40}
    write_params(place, params)
    limits = place / "slurm" / "cluster.yaml"
    asked = yaml.safe_load(limits.read_text()) | {"gpus_per_node": 1, "cpus_per_gpu": 1}
    limits.write_text(yaml.safe_dump(asked))
    # The nodes are parts of one machine, with less memory than those of clusters with GPUs.
    smaller = [f"{rule}:mem_mb=3000" for rule in ("train_baseline_smoke", "evaluate_smoke")]
    options = ["--set-resources", *smaller]
    said = place / "logs/smoke/train" / f"{ROW}.log"
    with begun(machines, place, str(Paths("smoke").metrics(ROW, 0)), *options) as process:
        until(lambda: said.exists() and "epoch 2/" in said.read_text(), 240, process, "training", 0.2)
        (number,) = machines.call("squeue", "--noheader", "--states=running", "--format=%i").split()
        machines.call("scancel", "--signal=USR1", number)
        until(lambda: show(machines, int(number))["Restarts"] == "1", 240, process, "second start", 0.2)
        ended = finish(process, place, 600)
    assert ended.status == 0, ended.said[-3000:]
    assert ended.jobs[-1] == int(number)
    job = show(machines, int(number))
    assert (job["NodeList"], job["TresPerJob"]) == ("node[1-2]", "gres:gpu:2")
    there = Paths("smoke", place)
    weights, log = (getattr(there, file)(ROW, 0).read_bytes() for file in ("weights", "log"))
    # The same two processes on one machine, which no Slurm starts.
    for made in (there.run(ROW, 0).parent, there.weights(ROW, 0).parent, there.log(ROW, 0).parent):
        for file in (*made.rglob("*.csv"), *made.rglob("*.json"), *made.rglob("*.safetensors")):
            file.unlink()
    local(place, "train", ROW, "--scale", "smoke")
    assert (there.weights(ROW, 0).read_bytes(), there.log(ROW, 0).read_bytes()) == (weights, log)
    tell("a row by two machines, run again after SIGUSR1: the same bytes as by two processes of one machine")
