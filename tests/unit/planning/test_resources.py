"""What jobs request from a cluster: from the numbers of `dejavu plan`, within what the cluster allows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import copy_params
from helpers.engines import ROOT, read_params, workplace, write_params

from dejavu.commands import main
from dejavu.config import Run
from dejavu.config.loading import load
from dejavu.errors import DejavuError
from dejavu.planning import resources
from dejavu.planning.resources import Cluster, Counted, JobResources, ResourceTable, Row

PARAMS = load(ROOT / "params.yaml")
TABLE = resources.read(ROOT)
LARGER = [("hrnet18", "hrnet48"), ("hrnet18", "hrnet18_dejavu"), ("mtl", "mtan"), ("mtl", "xtc")]


def run(experiment: str, scale: str, gpus: int = 1) -> Run:
    return PARAMS.run(experiment, scale).model_copy(update={"gpus": gpus})


# ------------------------------------------------ the committed numbers


ON_GPUS = [scale for scale in PARAMS.scales if scale not in TABLE.cluster.cpu_scales]


def test_every_row_of_the_scales_on_gpus_was_counted() -> None:
    rows = {(scale, row) for scale in ON_GPUS for row in PARAMS.at(scale).experiments}
    assert set(TABLE.counted.trainings) == rows
    data = {(scale, name) for scale in ON_GPUS for name in PARAMS.scales[scale].data}
    assert set(TABLE.counted.preparations) == data


def test_the_file_is_written_as_it_is_read() -> None:
    assert resources.csv_text(TABLE.counted) == (ROOT / resources.COUNTED).read_text()


ROWS = {"open": ("hrnet18_dejavu", "mtl"), "paper": ("hrnet18", "stl_depth")}


def test_they_are_what_the_command_counts_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some rows of two scales; all of them take minutes."""
    params = read_params(ROOT)
    params["scales"] = {scale: params["scales"][scale] for scale in ROWS}
    params["scale"] = params["scales"]["open"]
    names = {name for rows in ROWS.values() for name in rows}
    params["experiments"] = {name: params["experiments"][name] for name in sorted(names | {"hrnet18", "mtl"})}
    params["tables"] = params["claims"] = {}
    write_params(tmp_path, params)
    (tmp_path / "slurm").mkdir()
    shutil.copy(ROOT / resources.CLUSTER, tmp_path / resources.CLUSTER)
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--resources"]) == 0
    committed, counted = TABLE.counted, resources.read(tmp_path).counted
    assert counted.rates == committed.rates
    assert len(counted.trainings) == 2 * len(params["experiments"])
    for key, row in counted.trainings.items():
        assert committed.trainings[key].model_dump() == pytest.approx(row.model_dump(), rel=0.02), key
    assert counted.preparations
    for key, preparation in counted.preparations.items():
        assert committed.preparations[key] == preparation


def test_the_command_counts_everything_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    for argument, named in (("hrnet18", "ROW"), ("--json", "--json"), ("--scale=smoke", "--scale")):
        assert main(["plan", "--resources", argument]) == 2
        assert capsys.readouterr().err == (
            f"dejavu: dejavu plan --resources counts every row of every scale: leave {named} out\n"
        )
    assert not (tmp_path / "slurm").exists()


# ------------------------------------------------ what becomes of them


@pytest.mark.parametrize("scale", ["open", "paper"])
@pytest.mark.parametrize(("small", "large"), LARGER, ids=lambda name: name)
def test_a_larger_network_asks_for_more(small: str, large: str, scale: str) -> None:
    less, more = TABLE.train(run(small, scale)), TABLE.train(run(large, scale))
    assert less.gpu_mem_mb < more.gpu_mem_mb and less.mem_mb <= more.mem_mb
    if scale == "paper":  # at open, rows have other numbers of seeds, and all take minutes
        assert less.runtime < more.runtime


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_no_job_asks_for_more_time_than_there_is(scale: str) -> None:
    """Training and evaluation share a job."""
    for name in PARAMS.experiments:
        one = PARAMS.run(name, scale)
        assert TABLE.train(one).runtime + TABLE.evaluate(one).runtime <= TABLE.cluster.max_runtime
    for name in PARAMS.scales[scale].data:
        assert 0 < TABLE.prepare(name, scale).runtime <= TABLE.cluster.max_runtime


def of(minutes: float, model: float = 100.0, batch: float = 1000.0, **cluster: Any) -> ResourceTable:
    """A table with one row at two scales."""
    row = Row(minutes=minutes, model_mb=model, batch_mb=batch)
    rows = {(scale, "hrnet18"): row for scale in ("paper", "smoke")}
    return ResourceTable(Cluster(**cluster), Counted(rows, {}, {}))


def test_by_hand_on_gpus() -> None:
    table = of(90.0, safety=2.0, cpus_per_gpu=3)
    one, two = (table.train(run("hrnet18", "paper", gpus)) for gpus in (1, 2))
    assert one == JobResources(
        mem_mb=resources.HOST_MB_GPU + 100, runtime=10 + 180, gpu=1, gpu_mem_mb=100 + 500, cpus_per_task=3
    )
    assert (two.gpu, two.cpus_per_task, two.runtime) == (2, 6, 10 + 90)
    assert two.mem_mb == 2 * one.mem_mb and two.gpu_mem_mb == 100 + 250


def test_by_hand_on_processors() -> None:
    asked = of(3.0, safety=2.0).train(run("hrnet18", "smoke"))
    assert asked == JobResources(mem_mb=resources.HOST_MB + 2 * 1100, runtime=16)


def test_several_gpus_are_asked_for_at_any_scale() -> None:
    assert of(3.0).train(run("hrnet18", "smoke", gpus=2)).gpu == 2


def test_more_gpus_than_a_machine_has() -> None:
    """The plugin is told that the command starts its own processes, a task for each GPU."""
    table = of(90.0, cpus_per_gpu=3, gpus_per_node=4)
    four, eight = (table.train(run("hrnet18", "paper", gpus)) for gpus in (4, 8))
    assert (four.nodes, four.mpi, four.tasks, four.cpus_per_task) == (None, None, None, 12)
    assert (eight.nodes, eight.mpi, eight.tasks, eight.tasks_per_gpu) == (2, "srun", 8, 1)
    assert eight.gpu == 8 and eight.cpus_per_task == 3
    assert eight.mem_mb == four.mem_mb  # of each machine
    found = {gpus: table.train(run("hrnet18", "paper", gpus)).nodes for gpus in (1, 6, 7, 12)}
    assert found == {1: None, 6: 2, 7: 7, 12: 3}


def test_time_ends_where_the_cluster_says() -> None:
    table = of(1e6, max_runtime=600)
    one = run("hrnet18", "paper")
    assert table.train(one).runtime + table.evaluate(one).runtime == 600


def test_an_uncounted_row_requests_the_default(tmp_path: Path) -> None:
    table = resources.read(tmp_path)
    asked, counted = table.train(run("hrnet18", "paper")), of(300.0, 1000.0, 1000.0)
    assert asked == counted.train(run("hrnet18", "paper"))
    assert table.prepare("cityscapes", "paper").runtime == resources.PREPARE


@pytest.mark.parametrize("scale", TABLE.cluster.cpu_scales)
def test_all_rows_of_a_small_scale_request_the_same_short_time(scale: str) -> None:
    """Slurm's backfill starts short jobs between the others."""
    requested = {TABLE.train(PARAMS.run(name, scale)) for name in PARAMS.experiments}
    assert len(requested) == 1
    assert requested.pop().runtime <= 30


HEAD = ",".join(resources.COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (resources.CLUSTER, "max_runtim: 60", "unknown key 'max_runtim', did you mean 'max_runtime'?"),
        (resources.CLUSTER, "safety: -1", "safety: -1 should be greater than 0"),
        (resources.CLUSTER, "max_runtime: [", "is not valid YAML"),
        (resources.CLUSTER, "safety: 1\nsafety: 2", "the key 'safety' is given twice"),
        (resources.CLUSTER, "- 1", "should be a mapping of keys"),
        (resources.COUNTED, "", "the first line must be scale,stage,names,minutes,model_mb,batch_mb,rate"),
        (resources.COUNTED, '{"rows": {}}', "the first line must be scale,stage,"),
        (
            resources.COUNTED,
            f"{HEAD}paper,train,hrnet18,1,2,-3,x",
            "line 2: batch_mb: -3.0 should be greater",
        ),
        (resources.COUNTED, f"{HEAD}paper,train,hrnet18,1,,3,x", "line 2: model_mb: nan should be"),
        (
            resources.COUNTED,
            f"{HEAD}paper,train,hrnet18,1,2,many,x",
            "line 2: the stage, a name or a number is wrong",
        ),
        (resources.COUNTED, f"{HEAD}paper,trian,hrnet18,1,2,3,x", "line 2: the stage, a name or a number"),
        (resources.COUNTED, f"{HEAD}paper,train", "line 2: the stage, a name or a number is wrong"),
        (resources.COUNTED, f'{HEAD}"{"x" * 140_000}', "is not valid CSV: field larger"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(tmp_path: Path, file: Path, text: str, sentence: str) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / file).write_text(text)
    with pytest.raises(DejavuError) as refused:
        resources.read(tmp_path)
    assert str(tmp_path / file) in str(refused.value) and sentence in str(refused.value)
    assert "\n" not in str(refused.value)


# ------------------------------------------------ Snakemake's jobs


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_snakemakes_jobs_ask_for_it(tmp_path: Path, scale: str) -> None:
    from helpers.engines import Snakemake

    place = workplace(tmp_path / "place")
    shutil.copytree(ROOT / "slurm", place / "slurm")
    asked = Snakemake(place, scale=scale).resources
    for name in ("hrnet18", "mtl", "mask2former_swinl_coco"):
        one = PARAMS.run(name, scale)
        train = TABLE.train(one)
        found = asked[f"dejavu train {name} --scale {scale}"]
        for key in ("mem_mb", "runtime", "gpu", "gpu_mem_mb", "cpus_per_task"):
            assert found[key] == getattr(train, key), key
        found, evaluate = asked[f"dejavu evaluate {name} --scale {scale}"], TABLE.evaluate(one)
        assert (found["mem_mb"], found["runtime"], found["gpu"]) == (
            evaluate.mem_mb,
            evaluate.runtime,
            evaluate.gpu,
        )
    found, prepare = asked[f"dejavu prepare nyudv2 --scale {scale}"], TABLE.prepare("nyudv2", scale)
    assert (found["mem_mb"], found["runtime"]) == (prepare.mem_mb, prepare.runtime)
