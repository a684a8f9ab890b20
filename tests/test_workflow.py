"""Snakemake and DVC run one pipeline: the same commands on the same files, when the same things change."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml
from engines import (
    ROOT,
    Job,
    Snakemake,
    choose_scale,
    differences,
    dvc_jobs,
    dvc_params,
    read_params,
    workplace,
    write_params,
)

from dejavu.config import load
from dejavu.paths import Paths
from dejavu.schema import Scale

PARAMS = load(ROOT / "params.yaml")
ROWS = [name for name, row in PARAMS.experiments.items() if row.dejavu is not None]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return workplace(tmp_path)


# ------------------------------------------------ the same jobs


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_both_engines_have_the_same_jobs(place: Path, scale: str) -> None:
    choose_scale(place, scale)
    jobs = Snakemake(place).jobs
    assert len(jobs) >= 2 + 2 * len(PARAMS.experiments)
    assert differences(jobs, dvc_jobs(place)) == []


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_config_scale_is_the_scale_of_params_yaml(place: Path, scale: str) -> None:
    by_option = Snakemake(place, scale=scale).jobs
    by_path = Snakemake(place, targets={f"results/{scale}/tables/{table}.md" for table in PARAMS.tables}).jobs
    choose_scale(place, scale)
    assert by_option == Snakemake(place).jobs
    assert by_path == {job for job in by_option if not job.command.startswith("dejavu figures")}


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_declared_files_are_those_of_paths(scale: str) -> None:
    paths, params = Paths(scale), PARAMS
    seeds = params.scales[scale].seeds
    rows, dejavu = params.experiments, ROWS
    expected = {paths.raw_manifest(name) for name in params.scales[scale].data}
    expected |= {paths.report(name) for name in params.scales[scale].data}
    expected |= {
        path(row, seed)
        for path in (paths.weights, paths.log, paths.metrics)
        for row in rows
        for seed in seeds
    }
    expected |= {paths.regenerator(row, seed) for row in dejavu for seed in seeds}
    expected |= {paths.table(table, form) for table in params.tables for form in ("csv", "md", "tex")}
    expected |= {paths.figure(table, kind) for table in params.tables for kind in ("curves", "panel")}
    declared = {file for job in Snakemake(ROOT, scale=scale).jobs for file in job.outputs}
    assert declared == set(map(str, expected))


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_dvc_watches_keys_that_exist_and_every_key_of_a_run(place: Path, scale: str) -> None:
    """A new key of a scale that `train` and `evaluate` do not name would leave their results stale."""
    choose_scale(place, scale)
    params = read_params(place)
    for command, watched in dvc_params(place).items():
        for key in watched:
            reduce(
                lambda section, part: section[part], key.split("."), params
            )  # KeyError: `dvc repro` would stop
        if command.startswith(("dejavu train", "dejavu evaluate")):
            assert {key.split(".")[1] for key in watched if key.startswith("scale.")} == set(
                Scale.model_fields
            ) - {"name"}
            assert {key.split(".")[0] for key in watched} >= {"experiments", "networks", "recipes", "scale"}


MUTATIONS = {
    "option": ("cmd: dejavu evaluate ${key}", "cmd: dejavu evaluate ${key} --fast"),
    "command": ("cmd: dejavu figures cityscapes", "cmd: dejavu report cityscapes"),
    "scale": ("train ${key} --scale ${scale.name}", "train ${key} --scale smoke2"),
    "output renamed": ("- results/${scale.name}/logs/${key}: ", "- results/${scale.name}/curves/${key}: "),
    "output dropped": ("      - results/${scale.name}/tables/cityscapes.tex: {cache: false}\n", ""),
    "output added": (
        "- results/${scale.name}/tables/cityscapes.tex: {cache: false}",
        "- results/${scale.name}/tables/cityscapes.tex: {cache: false}\n      - extra: {cache: false}",
    ),
    "folder too wide": ("- checkpoints/${scale.name}/${key}: ", "- checkpoints: "),
    "input dropped": ("      - results/${scale.name}/metrics/hrnet18_dejavu\n", ""),
    "input added": (
        "      - results/${scale.name}/metrics/hrnet18_dejavu\n",
        "      - results/${scale.name}/metrics/hrnet18_dejavu\n      - params.yaml.orig\n",
    ),
}


@pytest.fixture(scope="module")
def jobs() -> set[Job]:
    return Snakemake(ROOT).jobs


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_comparison_notices(place: Path, jobs: set[Job], mutation: str) -> None:
    before, after = MUTATIONS[mutation]
    text = (place / "dvc.yaml").read_text()
    assert text.count(before) == 1, "the mutation must change one place of dvc.yaml"
    (place / "dvc.yaml").write_text(text.replace(before, after))
    assert differences(jobs, _stages(place)) != []


def _stages(place: Path) -> set[Job]:
    """Like dvc_jobs; where DVC itself refuses the file, that is noticing too."""
    from dvc.exceptions import DvcException

    try:
        return dvc_jobs(place)
    except DvcException:
        return set()


# ------------------------------------------------ the same jobs again, when the same things change


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that has been run at smoke in both engines, with a stand-in for the `dejavu` command.

    It writes the outputs that Snakemake declares; their contents depend on params.yaml and the inputs.
    """
    place = workplace(tmp_path_factory.mktemp("finished"))
    _shorten(place)
    jobs = {job.command: [sorted(job.inputs), sorted(job.outputs)] for job in Snakemake(place).jobs}
    (place / "jobs.json").write_text(json.dumps(jobs))
    stand_in = place / "bin" / "dejavu"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!{sys.executable} -ISE\n{STAND_IN}")
    stand_in.chmod(0o755)
    assert repro(place) == set(jobs), "the first `dvc repro` runs everything"
    Snakemake(place, executor="touch")
    return place


def _shorten(place: Path) -> None:
    """Leave out of params.yaml what no job reads: DVC parses the whole file five times a stage."""
    params = read_params(place)
    params["scales"] = {name: params["scales"][name] for name in ("smoke", "paper")}
    for table in params["tables"].values():
        table["rows"] = [row for row in table["rows"] if row.get("experiment")]
    write_params(place, params | {"scale": params["scales"]["smoke"]})


STAND_IN = """
import hashlib, json, pathlib, sys
command = " ".join(["dejavu", *sys.argv[1:]])
inputs, outputs = json.loads(pathlib.Path("jobs.json").read_text())[command]
text = b"".join(pathlib.Path(file).read_bytes() for file in ["params.yaml", *inputs])
for file in map(pathlib.Path, outputs):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(hashlib.sha256(text).hexdigest())
with open("ran.txt", "a") as ran:
    print(command, file=ran)
"""


def repro(place: Path) -> set[str]:
    """`dvc repro`: the commands that it ran."""
    from dvc.repo import Repo

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
        with Repo(place) as repo:
            repo.reproduce()
    ran = place / "ran.txt"
    commands = set(ran.read_text().splitlines()) if ran.exists() else set()
    ran.unlink(missing_ok=True)
    return commands


def test_a_second_run_does_nothing(finished: Path) -> None:
    assert Snakemake(finished).to_run == set()
    assert repro(finished) == set()


def _row(name: str) -> set[str]:
    """A row's own jobs, and the tables and figures that show it."""
    shown = [key for key, table in PARAMS.tables.items() if name in table.experiments]
    jobs = {("train", name), ("evaluate", name)} | {
        (kind, key) for key in shown for kind in ("tables", "figures")
    }
    return {f"dejavu {stage} {key} --scale smoke" for stage, key in jobs}


def _gamma(params: dict[str, Any]) -> set[str]:
    params["experiments"][ROWS[0]]["dejavu"]["gamma"] += 0.125
    return _row(ROWS[0])


def _recipe(params: dict[str, Any]) -> set[str]:
    name = params["experiments"][ROWS[0]]["recipe"]
    params["recipes"][name]["flip"] = not params["recipes"][name]["flip"]
    return set().union(*(_row(key) for key, row in PARAMS.experiments.items() if row.recipe == name))


def _paper_value(params: dict[str, Any]) -> set[str]:
    table = next(iter(params["tables"]))
    params["tables"][table]["rows"][0]["paper"]["miou"] = 12.5
    return {f"dejavu {stage} {table} --scale smoke" for stage in ("tables", "figures")}


def _width(params: dict[str, Any]) -> set[str]:
    """A key of the scale, which all rows have in common."""
    params["scales"]["smoke"]["width"] = params["scale"]["width"] = 0.5
    return set().union(*map(_row, PARAMS.experiments))


def _unrelated(params: dict[str, Any]) -> set[str]:
    params["scales"]["paper"]["seeds"] = [7]
    return set()


@pytest.mark.parametrize("change", [_gamma, _recipe, _width, _paper_value, _unrelated])
def test_a_change_reruns_what_depends_on_it_and_nothing_else(
    finished: Path, tmp_path: Path, change: Callable[[dict[str, Any]], set[str]]
) -> None:
    place = tmp_path / "changed"
    shutil.copytree(finished, place)
    params = read_params(place)
    expected = change(params)
    write_params(place, params)
    assert Snakemake(place).to_run == expected
    assert repro(place) == expected


# ------------------------------------------------ what users type


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"scale": "smok"}, "snakemake: unknown scale 'smok', did you mean 'smoke'?"),
        (
            {"seeds": "3"},
            "snakemake: --config seeds: only scale=NAME is set there, everything else in params.yaml",
        ),
    ],
)
def test_a_wrong_config_stops_with_one_sentence(config: dict[str, str], sentence: str) -> None:
    with pytest.raises(SystemExit) as stop:
        Snakemake(ROOT, **config)
    assert stop.value.code == sentence


def test_a_wrong_params_yaml_stops_with_one_sentence(place: Path) -> None:
    params = read_params(place)
    params["experiments"][ROWS[0]]["dejavu"]["gama"] = 1.0
    write_params(place, params)
    with pytest.raises(
        SystemExit, match=r"^snakemake: params.yaml: experiments\..*'gama', did you mean 'gamma'\?$"
    ):
        Snakemake(place)


def test_slurm_profile_names_rules_that_exist() -> None:
    """Snakemake ignores resources of an unknown rule without a word."""
    profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
    assert set(profile["set-resources"]) <= Snakemake(ROOT).rules
