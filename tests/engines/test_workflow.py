"""Snakemake and DVC run one pipeline: the same commands on the same files, when the same things change."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.engines import (
    ROOT,
    SOURCES_STAND_IN,
    Job,
    Snakemake,
    choose_scale,
    differences,
    dvc_stages,
    read_params,
    shorten,
    workplace,
    write_params,
)

from dejavu.config import Scale
from dejavu.config.loading import load
from dejavu.config.paths import Paths
from dejavu.engines import unknown_files
from dejavu.engines.dvc_yaml import pipeline

PARAMS = load(ROOT / "params.yaml")
ROWS = [name for name, row in PARAMS.experiments.items() if row.dejavu is not None]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return workplace(tmp_path)


# ------------------------------------------------ the same jobs


@cache
def jobs_at(scale: str) -> set[Job]:
    """Snakemake's jobs for every table and figure of a scale, asked for by name."""
    return {job for job in _all_jobs() if job.command.endswith(f"--scale {scale}")}


@cache
def _all_jobs() -> set[Job]:
    targets = set()
    for paths in map(Paths, PARAMS.scales):
        for name, table in PARAMS.at(paths.scale).tables.items():
            targets |= {paths.table(name, "md"), *(paths.figure(name, kind) for kind in table.figures)}
        targets.add(paths.table("verdicts", "md"))
    return Snakemake(ROOT, targets=set(map(str, targets))).jobs


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_both_engines_have_the_same_jobs(place: Path, scale: str) -> None:
    choose_scale(place, scale)
    jobs, stages = jobs_at(scale), dvc_stages(place)
    assert len(jobs) >= 2 + 2 * len(PARAMS.at(scale).experiments)
    assert differences(jobs, set(stages)) == []
    _check_watched(read_params(place), stages)


def test_dvc_yaml_is_what_params_yaml_says() -> None:
    committed = (ROOT / "dvc.yaml").read_text()
    assert committed == pipeline(PARAMS), "dvc.yaml is older than params.yaml: run `make dvc.yaml`"


def _check_watched(params: dict[str, Any], stages: dict[Job, list[str]]) -> None:
    """DVC watches keys that exist, and every key of a run.

    A new key of a scale that `train` and `evaluate` do not name would leave their results stale.
    """
    for job, watched in stages.items():
        for key in watched:
            reduce(
                lambda section, part: section[part], key.split("."), params
            )  # KeyError: `dvc repro` would stop
        _, stage, name, *_ = job.command.split()
        if stage in ("train", "evaluate"):
            of_scale = {key.split(".")[1] for key in watched if key.startswith("scale.")}
            assert of_scale == set(Scale.model_fields) - {"name"}
            assert {"scale.budget.all", f"scale.budget.{PARAMS.experiments[name].budget}"} <= set(watched)
            sections = {key.split(".")[0] for key in watched}
            assert sections >= {"experiments", "networks", "recipes", "scale", "dejavu"}


def test_all_makes_every_table_and_figure_of_the_chosen_scale(place: Path) -> None:
    choose_scale(place, "smoke")
    assert PARAMS.scale.name != "smoke"
    assert Snakemake(place).jobs == jobs_at("smoke") == Snakemake(ROOT, scale="smoke").jobs


@pytest.mark.parametrize("scale", PARAMS.scales)
def test_declared_files_are_those_of_paths(scale: str) -> None:
    paths, params = Paths(scale), PARAMS.at(scale)
    expected = {paths.raw_manifest(name) for name in params.scales[scale].data}
    expected |= {paths.report(name) for name in params.scales[scale].data}
    for row, experiment in params.experiments.items():
        files = [paths.weights, paths.log, paths.metrics]
        files += [paths.regenerator] if experiment.dejavu is not None else []
        expected |= {path(row, seed) for path in files for seed in params.run(row, scale).seeds}
    for name, table in params.tables.items():
        expected |= {paths.table(name, form) for form in ("csv", "md", "tex")}
        expected |= {paths.figure(name, kind) for kind in table.figures}
    expected |= {paths.table("verdicts", form) for form in ("csv", "md", "tex")}
    expected.add(paths.figure("verdicts", "forest"))
    declared = {file for job in jobs_at(scale) for file in job.outputs}
    assert declared == set(map(str, expected))


def test_a_table_without_a_pair_or_without_kinds_has_no_figures(place: Path) -> None:
    shorten(place)
    params = read_params(place)
    alone, without, *others = params["tables"]
    for other in others:
        del params["tables"][other]
    (plain, _) = params["tables"][alone]["rows"]
    params["tables"][alone]["rows"] = [plain]
    params["tables"][without]["figures"] = []
    write_params(place, params)
    jobs = Snakemake(place).jobs
    assert {f"dejavu tables {name} --scale smoke" for name in (alone, without)} < {
        job.command for job in jobs
    }
    assert not any("figures" in job.command for job in jobs)


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
    "sources not first": ("    deps:\n        - data/${scale.name}/raw/compared.txt\n", "XX"),
    "folder too wide": ("- checkpoints/${scale.name}/${key}: ", "- checkpoints: "),
    "input dropped": ("      - results/${scale.name}/tables/ablations.csv\n", ""),
    "input added": (
        "      - results/${scale.name}/tables/ablations.csv\n",
        "      - results/${scale.name}/tables/ablations.csv\n      - params.yaml.orig\n",
    ),
}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[Job]]:
    """A short pipeline, and its jobs as Snakemake has them."""
    place = workplace(tmp_path_factory.mktemp("short"))
    shorten(place)
    return place, Snakemake(place).jobs


def test_the_short_pipeline_is_the_same_in_both_engines(short: tuple[Path, set[Job]]) -> None:
    place, jobs = short
    assert differences(jobs, set(dvc_stages(place))) == []
    kinds = {tuple(table.figures) for table in PARAMS.tables.values() if table.figures}
    assert sum("figures" in job.command for job in jobs) == len(kinds) > 1


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_comparison_notices(short: tuple[Path, set[Job]], tmp_path: Path, mutation: str) -> None:
    before, after = MUTATIONS[mutation]
    place = shutil.copytree(short[0], tmp_path / "place")
    text = (place / "dvc.yaml").read_text()
    assert text.count(before) == 1, "the mutation must change one place of dvc.yaml"
    (place / "dvc.yaml").write_text(text.replace(before, after))
    assert differences(short[1], _stages(place)) != []


def _stages(place: Path) -> set[Job]:
    """The stages; where DVC itself refuses the file, that is noticing too."""
    from dvc.exceptions import DvcException

    try:
        return set(dvc_stages(place))
    except DvcException:
        return set()


# ------------------------------------------------ the same jobs again, when the same things change


@pytest.fixture(scope="module")
def finished(short: tuple[Path, set[Job]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that has been run at smoke in both engines, with a stand-in for the `dejavu` command.

    It writes the outputs that Snakemake declares; their contents depend on params.yaml and the inputs.
    """
    place = shutil.copytree(short[0], tmp_path_factory.mktemp("finished") / "place")
    jobs = {job.command: [sorted(job.inputs), sorted(job.outputs)] for job in short[1]}
    (place / "jobs.json").write_text(json.dumps(jobs))
    stand_in = place / "bin" / "dejavu"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!{sys.executable} -ISE\n{STAND_IN.replace('SOURCES', SOURCES_STAND_IN)}")
    stand_in.chmod(0o755)
    assert repro(place) == set(jobs), "the first `dvc repro` runs everything"
    Snakemake(place, executor="touch")
    return place


STAND_IN = """
import hashlib, json, pathlib, sys
SOURCES
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


def _rows(params: dict[str, Any], names: set[str]) -> set[str]:
    """The jobs of rows, and the tables and figures that show any of them."""
    fills = {name: {row.id: row.experiment for row in table.rows} for name, table in PARAMS.tables.items()}
    shown = {
        name
        for name, table in params["tables"].items()
        if names & {*(fills[name][row] for row in table["rows"]), *table.get("single", {}).values()}
    }
    jobs = {(stage, name) for stage in ("train", "evaluate") for name in names}
    jobs |= {("tables", name) for name in shown}
    jobs |= {
        ("figures", name) for name in shown if params["tables"][name].get("figures", ["curves", "panel"])
    }
    claimed = {one["row"] for claims in params["claims"].values() for one in claims.values()}
    claimed |= {params["experiments"][row]["base"] for row in claimed}
    verdicts = {"dejavu verdicts --scale smoke"} if names & claimed else set()
    return verdicts | {f"dejavu {stage} {name} --scale smoke" for stage, name in jobs}


def _with_recipe(params: dict[str, Any], recipe: str) -> set[str]:
    return _rows(params, {name for name, row in params["experiments"].items() if row["recipe"] == recipe})


def _gamma(params: dict[str, Any]) -> set[str]:
    params["experiments"][ROWS[0]]["dejavu"]["gamma"] = 0.125
    return _rows(params, {ROWS[0]})


def _recipe(params: dict[str, Any]) -> set[str]:
    name = params["experiments"][ROWS[0]]["recipe"]
    params["recipes"][name]["flip"] = False
    return _with_recipe(params, name)


def _budget(params: dict[str, Any]) -> set[str]:
    name = list(params["experiments"].values())[-1]["budget"]
    for scale in (params["scales"]["smoke"], params["scale"]):
        scale["budget"] = scale["budget"] | {name: scale["budget"][name] | {"epochs": 3}}
    return _rows(params, {row for row, one in params["experiments"].items() if one["budget"] == name})


def _title(params: dict[str, Any]) -> set[str]:
    table = next(iter(params["tables"]))
    params["tables"][table]["title"] = "Another title"
    return {f"dejavu {stage} {table} --scale smoke" for stage in ("tables", "figures")}


def _claim(params: dict[str, Any]) -> set[str]:
    (claim,) = params["claims"]["main"].values()
    claim["says"] = "It helps more"
    return {"dejavu verdicts --scale smoke"}


def _width(params: dict[str, Any]) -> set[str]:
    """A key of the scale, which all rows have in common."""
    params["scales"]["smoke"]["width"] = params["scale"]["width"] = 0.5
    return _rows(params, set(params["experiments"]))


def _unrelated(params: dict[str, Any]) -> set[str]:
    params["scales"]["paper"]["seeds"] = [7]
    return set()


CHANGES = [
    *(_gamma, _recipe, _budget, _title, _claim, _unrelated),
    pytest.param(_width, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("change", CHANGES)
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


def test_a_printed_value_reruns_the_table_and_its_figures(finished: Path, tmp_path: Path) -> None:
    place = shutil.copytree(finished, tmp_path / "changed")
    name, table = next((name, one) for name, one in read_params(place)["tables"].items() if "paper" in one)
    file = place / "paper" / f"{table['paper']}.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header + ",gmacs", *(row + ",12" for row in rows)]))
    expected = {f"dejavu {stage} {name} --scale smoke" for stage in ("tables", "figures")}
    assert Snakemake(place).to_run == expected
    assert repro(place) == expected


@pytest.mark.slow
def test_the_methods_default_reruns_the_rows_that_have_it(finished: Path, tmp_path: Path) -> None:
    """In DVC, which has one template for all rows, their baselines too: these are published, not trained."""
    place = shutil.copytree(finished, tmp_path / "changed")
    params = read_params(place)
    params["dejavu"]["gamma"] = 0.125
    write_params(place, params)
    plain = {row for row, one in params["experiments"].items() if one.get("dejavu") is None}
    assert Snakemake(place).to_run == _rows(params, set(params["experiments"]) - plain)
    assert repro(place) == _rows(params, set(params["experiments"]))


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


def test_slurm_profile_names_groups_of_the_rules() -> None:
    """Snakemake ignores a group that no rule has, and would send each row as a job of its own."""
    profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
    named = {entry.split("=")[0] for entry in profile["group-components"]}
    assert named and named <= Snakemake(ROOT).groups


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("results/smoke/tables/pairs.csv", "'pairs' is unknown there, did you mean 'pair'?"),
        ("results/smoke/tables/zz.csv", "'zz' is unknown there, the closest of [0-9]+ are .+, .+ and .+"),
        ("results/smoke/tables/pair.txt", "'pair.txt' is unknown there, did you mean 'pair.tex'?"),
        ("results/smok/tables/pair.md", "'smok' is unknown there, did you mean 'smoke'?"),
        (
            "results/smoke/figures/pair_pannel.png",
            "'pair_pannel' is unknown there, did you mean 'pair_panel'?",
        ),
        ("results/smoke/metrics/hrnet188/seed0.json", "'hrnet188' is unknown there, did you mean 'hrnet18'?"),
        ("checkpoints/smoke/hrnet18/seed9.safetensors", "'seed9' is unknown there, did you mean 'seed0'?"),
        ("data/smoke/raw/cityscape.json", "'cityscape' is unknown there, did you mean 'cityscapes'?"),
        ("results/smoke/tables", "it is a folder, and the name of a file is needed"),
    ],
)
def test_a_target_that_no_rule_makes_is_one_sentence(target: str, sentence: str) -> None:
    with pytest.raises(SystemExit) as stop:
        Snakemake(ROOT, targets={target})
    assert re.fullmatch(
        rf"snakemake: no rule makes {target}: {sentence}".replace("?", r"\?"), str(stop.value.code)
    )


def test_a_word_that_is_no_target_is_one_sentence() -> None:
    with pytest.raises(
        SystemExit, match=r"^snakemake: 'pair' is no target: type `all`, or .*/tables/TABLE\.md$"
    ):
        Snakemake(ROOT, targets={"pair"})


def test_files_of_rules_are_those_that_are_suggested() -> None:
    made = {file for job in _all_jobs() for file in job.outputs}
    known = set(map(str, unknown_files.known_files(PARAMS)))
    assert made <= known
    # What `all` leaves out at a scale can be made by its name: rows and tables of other scales alone.
    for file in known - made:
        (scale,) = (scale for scale in PARAMS.scales if f"/{scale}/" in file)
        here = PARAMS.at(scale)
        others = {*PARAMS.experiments} - {*here.experiments} | {*PARAMS.tables} - {*here.tables}
        assert any(f"/{name}/" in file or f"/{name}_" in file or f"/{name}." in file for name in others), file
    pattern = re.compile(unknown_files.constraint(PARAMS))
    assert not any(map(pattern.fullmatch, made))
    assert all(map(pattern.fullmatch, (f"{file}x" for file in made)))


def test_in_another_folder_the_sentence_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        Snakemake(ROOT, workdir=tmp_path)
    assert (
        stop.value.code
        == f"snakemake: {tmp_path} has no params.yaml: run in a clone, or name it (`-d {ROOT}`)"
    )
