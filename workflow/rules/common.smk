# What the rules share: the configuration (params.yaml, checked as a whole before any job starts), paths and names.
import json
import os
import sys

from dejavu.config import claim, loading
from dejavu.config.paths import FORMS, Paths
from dejavu.engines import (
    dependencies,
    one_at_a_time,
    slurm_polling,
    slurm_stale_jobs,
    sources,
    unknown_files,
)
from dejavu.errors import DejavuError
from dejavu.system import provenance

# The package spells all paths (dejavu/config/paths.py): here they are patterns with Snakemake's wildcards.
PATHS = Paths("{scale}")
MANIFEST = str(PATHS.raw_manifest("{dataset}"))
REPORT = str(PATHS.report("{dataset}"))  # written last: the prepared dataset is complete
WEIGHTS = str(PATHS.weights("{experiment}", "{seed}"))
REGENERATOR = str(PATHS.regenerator("{experiment}", "{seed}"))
LEARNING_CURVE = str(PATHS.log("{experiment}", "{seed}"))
METRICS = str(PATHS.metrics("{experiment}", "{seed}"))
TABLE = str(PATHS.table("{table}", "{form}"))
FIGURE = str(PATHS.figure("{table}", "{kind}"))


def load(overrides):
    """Return params.yaml, and the name of the scale of the rule `all`."""
    if not os.path.exists("params.yaml"):
        clone = os.path.dirname(workflow.basedir)
        raise DejavuError(f"{os.getcwd()} has no params.yaml: run in a clone, or name it (`-d {clone}`)")
    for key in overrides:
        if key != "scale":
            raise DejavuError(f"--config {key}: only scale=NAME is set there, everything else in params.yaml")
    params = loading.load("params.yaml")
    scale = overrides.get("scale")
    return params, params.get_scale(scale if scale is None else str(scale)).name


try:
    PARAMS, SCALE = load(config)
    COMPARES = workflow.is_main_process and not one_at_a_time.is_busy()
except DejavuError as error:
    sys.exit(f"snakemake: {error}")  # one line, where a raised error would bring a traceback


def start():
    """Lock the clone for one engine, and cancel jobs of an earlier run, before the first job."""
    on_slurm = workflow.executor_plugin.name == "slurm"
    provenance.code()  # stderr says why git does not answer: jobs say it in their logs
    try:
        LOCKS.append(one_at_a_time.lock_for_snakemake())
        if on_slurm:
            slurm_stale_jobs.cancel(LOCKS[0])
            slurm_polling.keep_polling(workflow.scheduler._executor)
    except DejavuError as error:
        if on_slurm:
            # At its exit the plugin would remove empty log folders, also those of the other run's waiting jobs.
            workflow.executor_settings.delete_logfiles_older_than = 0
        sys.exit(f"snakemake: {error}")


def finish():
    """Release the lock after the last job. If Snakemake is killed, the operating system releases it."""
    LOCKS.pop().close()


HERE = PARAMS.at(SCALE)  # what `all` makes; any other table is made by the name of its file
LOCKS = []
CHANGED = {}
BASELINES = [name for name, row in PARAMS.experiments.items() if row.dejavu is None]
DEJAVUS = [name for name, row in PARAMS.experiments.items() if row.dejavu is not None]
FIGURES = dependencies.figure_kinds(PARAMS)
VERDICT_FILES = list(map(str, PATHS.verdicts))


def one_of(names):
    """Return the constraint of a wildcard: these names only."""
    return "|".join(names)


def refuse(wildcards):
    """Stop with a sentence about a target that no rule makes."""
    sys.exit(f"snakemake: {unknown_files.fault(PARAMS, wildcards.target)}")


def raw_files(wildcards):
    """Return the manifest of a dataset's raw files, which is renewed first if the user has changed them.

    A dry run writes nothing: there the changed file is one more input, by which `prepare` has to run.
    """
    name, scale = wildcards.dataset, wildcards.scale
    if COMPARES and (name, scale) not in CHANGED:
        try:
            CHANGED[name, scale] = sources.renew_one(PARAMS, name, scale, write=not workflow.dryrun)
        except DejavuError as error:
            sys.exit(f"snakemake: {error}")
    changed = CHANGED.get((name, scale)) if workflow.dryrun else None
    return [MANIFEST.format(scale=scale, dataset=name), *([os.path.abspath(changed)] if changed else [])]


def prepared(wildcards):
    """Return the report of the prepared dataset of an experiment."""
    return REPORT.format(scale=wildcards.scale, dataset=PARAMS.experiments[wildcards.experiment].dataset)


def by_seeds(experiments, scale):
    """Yield groups of experiments with the same seeds: the end of their rules' name, seeds, experiments.

    A rule has a fixed number of outputs, so experiments with fewer seeds than the scale have separate rules.
    """
    groups = {}
    for experiment in experiments:
        groups.setdefault(PARAMS.run(experiment, scale.name).seeds, []).append(experiment)
    for seeds, names in groups.items():
        yield scale.name if seeds == scale.seeds else f"{scale.name}_{len(seeds)}seeds", seeds, names


def seeds_of_rows(wildcards):
    """Return the seeds of each experiment of a table, as JSON."""
    rows = PARAMS.tables[wildcards.table].experiments
    return json.dumps({row: PARAMS.run(row, wildcards.scale).seeds for row in rows})


def table_inputs(wildcards):
    """Return the input files of a table."""
    return list(map(str, dependencies.of_table(PARAMS, wildcards.table).files(wildcards.scale)))


def figure_inputs(wildcards):
    """Return the input files of the figures of a table."""
    return list(map(str, dependencies.of_figures(PARAMS, wildcards.table).files(wildcards.scale)))


def verdict_inputs(wildcards):
    """Return the metrics of all rows of the claims."""
    return list(map(str, dependencies.of_verdicts(PARAMS, wildcards.scale).files(wildcards.scale)))


def verdict_settings(wildcards):
    """Return the claims, and the seeds, data and cost of their rows, as JSON."""
    claims = {
        family: {name: one.model_dump(mode="json") for name, one in group.items()}
        for family, group in PARAMS.claims.items()
    }
    runs = [PARAMS.run(name, wildcards.scale) for name in claim.experiments(PARAMS, wildcards.scale)]
    rows = {run.experiment: run.seeds for run in runs}
    data = {run.dataset: [PARAMS.cost_input(run.dataset), run.data.model_dump(mode="json")] for run in runs}
    return json.dumps([claims, rows, data], sort_keys=True)


def row(experiment, scale, without=frozenset()):
    """Return all settings of a run, except licence and address of its data, which the rule `download` watches."""
    return as_line(PARAMS.run(experiment, scale), without={"source", *without})


def as_line(section, without=frozenset()):
    """Return a section as JSON: a job is run again if this line changes, and Snakemake shows the change."""
    return json.dumps(section.model_dump(mode="json", exclude=set(without)), sort_keys=True)
