"""Studies in studies/: what each params.yaml reads, and that it shows all that it tries."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

from dejavu.config import loading

PARAMS = loading.load(ROOT / "params.yaml")
STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/params.yaml"))


def test_choosing_never_reads_the_test_split() -> None:
    params = loading.load(ROOT / "studies" / "choosing" / "params.yaml")
    for scale in params.scales.values():
        assert all(source.source.endswith("_val") for source in scale.data.values())
        assert min(scale.seeds) >= 100


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_every_setting_that_is_tried_is_in_a_table(study: Path) -> None:
    params = loading.load(study / "params.yaml")
    shown = {name for table in params.tables.values() for name in table.experiments}
    assert shown == set(params.experiments)


@pytest.mark.parametrize(("row", "chosen"), [("semantic", "fpn_lite0"), ("depth", "fpn_lite0_depth")])
def test_choosing_trains_the_network_of_params_yaml_by_its_recipe(row: str, chosen: str) -> None:
    study = loading.load(ROOT / "studies" / "choosing" / "params.yaml")
    ours, theirs = study.run(row, "round2"), PARAMS.run(chosen, "open")
    assert (ours.network, ours.task, ours.data.size) == (theirs.network, theirs.task, theirs.data.size)
    assert ours.train == theirs.train.model_copy(update={"evaluations": ours.train.evaluations})


@pytest.mark.parametrize("task", ["semantic", "depth", "normals"])
def test_the_study_compares_four_redactions_of_each_task(task: str) -> None:
    """The redaction that a pair has stands there as its own row: a change of it may need another row."""
    rows = [
        PARAMS.experiments[name]
        for table in ("practical_redaction", "practical_redaction_nyud")
        for name in PARAMS.tables[table].experiments
    ]
    methods = [row.dejavu for row in rows if row.tasks == (task,) and row.dejavu is not None]
    names = sorted(one.name for method in methods for one in method.redactions)
    assert names == ["band_stop", "low_pass", "random_blocks", "random_pixels"]
    changed = {"redaction"}
    assert len({method.model_dump_json(exclude=changed) for method in methods}) == 1


def test_the_studys_rows_are_not_run_below_open() -> None:
    names = {name for name in PARAMS.tables if name.startswith("practical_")} - {"practical_nyud"}
    assert names and all(PARAMS.tables[name].scales == ("open", "paper") for name in names)
    for scale in ("smoke", "demo"):
        here = PARAMS.at(scale)
        assert (
            names.isdisjoint(here.tables) and {"fpn_lite0_dejavu", "fpn_lite0_mtl"} < here.experiments.keys()
        )
        assert {"fpn_lite0_detached", "fpn_lite0_eighth"}.isdisjoint(here.experiments)
    assert PARAMS.at("open").experiments == PARAMS.experiments


def test_the_study_on_a_gpu_has_the_networks_and_data_of_params_yaml() -> None:
    study = loading.load(ROOT / "studies" / "gpu" / "params.yaml")
    assert study.datasets["camvid"] == PARAMS.datasets["camvid"]
    assert study.networks["fpn_lite0"] == PARAMS.networks["fpn_lite0"]
    ours, theirs = (one.networks["hrnet18"].model_dump(exclude={"pretrained"}) for one in (study, PARAMS))
    assert ours == theirs


@pytest.mark.slow
def test_the_study_on_a_gpu_keeps_what_is_there_when_its_time_is_over(tmp_path: Path) -> None:
    """Without time it trains nothing; a later call goes on, and all of its seeds are in the table."""
    shutil.copytree(ROOT / "studies" / "gpu", tmp_path / "gpu", ignore=shutil.ignore_patterns("[!pr]*"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PARALLEL": "2", "SCALE": "try"}
    for minutes in ("0", "15"):
        environment["MINUTES"] = minutes
        subprocess.run([tmp_path / "gpu" / "run.sh"], env=environment, check=True, capture_output=True)
        with open(tmp_path / "gpu/results/try/tables/pairs.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4
        assert {row["seeds"] for row in rows} == ({"0"} if minutes == "0" else {"2"})
