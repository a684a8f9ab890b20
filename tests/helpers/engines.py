"""The pipeline as each engine understands it: jobs with a command, inputs and outputs."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dejavu.config.loading import load
from dejavu.engines import sources
from dejavu.engines.dvc_yaml import pipeline
from helpers import ROOT, copy_params


@dataclass(frozen=True)
class Job:
    """Paths are relative to the repository's root."""

    command: str
    inputs: frozenset[str]
    outputs: frozenset[str]


def workplace(folder: Path) -> Path:
    """A copy of what both engines read, in which params.yaml and the pipelines may be changed."""
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    copy_params(folder)
    (folder / ".dvc").mkdir()
    # Like the repository's own, except that the copy lies in no git repository.
    (folder / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text() + "    no_scm = true\n")
    return folder


def read_params(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "params.yaml").read_text())


def write_params(folder: Path, params: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def choose_scale(folder: Path, scale: str) -> None:
    """As a user does: `scale: *smoke` in params.yaml, and `make dvc.yaml`."""
    params = read_params(folder)
    write_both(folder, params | {"scale": params["scales"][scale]})


def shorten(folder: Path) -> None:
    """Leave a pair of rows in one table of each kind, and a claim: DVC parses all five times a stage."""
    params, complete = read_params(folder), load(folder / "params.yaml")
    everywhere = [(name, table) for name, table in params["tables"].items() if "scales" not in table]
    by_figures = {tuple(table.get("figures", ())): name for name, table in reversed(everywhere)}
    tables = {name: params["tables"][name] for name in sorted(by_figures.values())}
    kept = {name for table in tables.values() for name in table.get("single", {}).values()}
    claims = {}
    for name, table in tables.items():
        rows = complete.tables[name].rows
        paired = next(row for row in rows if row.base)
        pair = [row for row in rows if row.id in (paired.base, paired.id)]
        table["rows"] = [row.id for row in pair]
        kept |= {str(row.experiment) for row in pair}
        claims[name] = {"says": "It helps", "row": paired.experiment, "metric": table["metrics"][0]}
    experiments = {name: row for name, row in params["experiments"].items() if name in kept}
    used = {row["dataset"] for row in experiments.values()}
    scales = {name: params["scales"][name] for name in ("smoke", "paper")}
    for scale in scales.values():
        scale["data"] = {name: part for name, part in scale["data"].items() if name in used}
    params |= {"tables": tables, "experiments": experiments, "scales": scales, "scale": scales["smoke"]}
    name, claim = next(iter(claims.items()))
    params["claims"] = {"main": {name: claim}}
    write_both(folder, params)


def write_both(folder: Path, params: dict[str, Any]) -> None:
    """Write a changed params.yaml, and the dvc.yaml that follows from it."""
    write_params(folder, params)
    (folder / "dvc.yaml").write_text(pipeline(load(folder / "params.yaml")))


class Snakemake:
    """A dry run of workflow/Snakefile in `folder`: its jobs, and the commands that would be run now."""

    def __init__(
        self,
        folder: Path,
        targets: set[str] | None = None,
        executor: str = "dryrun",
        workdir: Path | None = None,
        **config: str,
    ):
        from snakemake.api import SnakemakeApi
        from snakemake.settings.types import (
            ConfigSettings,
            DAGSettings,
            OutputSettings,
            Quietness,
            ResourceSettings,
        )

        here = os.getcwd()
        try:
            with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
                workflow = api.workflow(
                    resource_settings=ResourceSettings(cores=1),
                    config_settings=ConfigSettings(config=config),
                    snakefile=folder / "workflow" / "Snakefile",
                    workdir=workdir or folder,
                )
                # A touch without force passes over what is up to date, and records no parameters of it.
                dag = workflow.dag(DAGSettings(targets=targets or {"all"}, forceall=executor == "touch"))
                dag.execute_workflow(executor=executor)
                graph = workflow._workflow.dag
                self.rules = {rule.name for rule in workflow._workflow.rules}
                self.groups = {rule.group for rule in workflow._workflow.rules if rule.group}
                jobs = [job for job in graph.jobs if job.shellcmd]
                self.jobs = {_of_snakemake(job) for job in jobs}
                self.resources = {_of_snakemake(job).command: dict(job.resources.items()) for job in jobs}
                self.to_run = {_of_snakemake(job).command for job in jobs if graph.needrun(job)}
        finally:
            os.chdir(here)


def _of_snakemake(job: Any) -> Job:
    # The log is Snakemake's own: DVC shows the same output on the terminal.
    command = job.shellcmd.removesuffix(f" > {job.log} 2>&1")
    return Job(command, frozenset(map(str, job.input)), frozenset(map(str, job.output)))


def dvc_stages(folder: Path) -> dict[Job, list[str]]:
    """The stages of dvc.yaml at the scale of params.yaml.

    Each with the keys of params.yaml whose change makes it run again.
    """
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    with Repo(folder) as repo:
        return {
            Job(
                stage.cmd,
                frozenset(str(dep.def_path) for dep in stage.deps if dep.def_path != "params.yaml"),
                frozenset(str(out.def_path) for out in stage.outs),
            ): [key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params]
            for stage in repo.index.stages
        }


COMPARED = "data/smoke/raw/compared.txt"
"""the output of DVC's stage `sources` at smoke, which is always the same"""
SOURCES_STAND_IN = f"""
if sys.argv[1] == "sources":  # which DVC always runs, and which has nothing to do here
    file = pathlib.Path("{COMPARED}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text({sources.COMPARED!r})
    sys.exit()
"""
"""lines of a stand-in for `dejavu`, behind its imports"""


def without_sources(dvc: set[Job]) -> tuple[set[Job], list[str]]:
    """The stages that Snakemake has, too; and, in words, what is wrong with the one that it has not.

    That is `sources`, before all downloads. Snakemake compares raw files when it reads its rules.
    """
    own = [job for job in dvc if job.command.startswith("dejavu sources ")]
    if len(own) != 1 or own[0].inputs or len(own[0].outputs) != 1:
        return dvc, [f"DVC must compare raw files once, without inputs: {own}"]
    others, faults = set(), []
    for job in dvc - set(own):
        if job.command.startswith("dejavu download ") and not own[0].outputs <= job.inputs:
            faults.append(f"{job.command}: may run before {own[0].command}")
        others.add(Job(job.command, job.inputs - own[0].outputs, job.outputs))
    return others, faults


def differences(snakemake: set[Job], dvc: set[Job]) -> list[str]:
    """Where the two pipelines differ, in words; nothing where they are one but for DVC's stage `sources`.

    DVC may name a folder where Snakemake names the files in it. Then every file that Snakemake's job declares
    lies in a path of DVC's job, each such path holds one of those files, and no other job writes there.
    """
    dvc, found = without_sources(dvc)
    ours, theirs = ({job.command: job for job in jobs} for jobs in (snakemake, dvc))
    found += [f"only in Snakemake: {command}" for command in sorted(ours.keys() - theirs.keys())]
    found += [f"only in DVC: {command}" for command in sorted(theirs.keys() - ours.keys())]
    for command in sorted(ours.keys() & theirs.keys()):
        for kind in ("inputs", "outputs"):
            files, paths = getattr(ours[command], kind), getattr(theirs[command], kind)
            found += [f"{command}: {kind}: DVC lacks {file}" for file in files if not _holder(file, paths)]
            hit = {_holder(file, paths) for file in files}
            found += [f"{command}: {kind}: Snakemake lacks {path}" for path in sorted(paths - hit)]
        others = {file for job in snakemake if job.command != command for file in job.outputs}
        outputs = theirs[command].outputs
        found += [f"{command}: holds another job's {file}" for file in others if _holder(file, outputs)]
    return found


def _holder(file: str, paths: frozenset[str]) -> str | None:
    """The path that is the file or a folder above it."""
    return next((path for path in paths if Path(file).is_relative_to(path)), None)
