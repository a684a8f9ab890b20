# What the rules share: the configuration (params.yaml, checked as a whole before any job starts), names and paths.
import json
import sys

from dejavu.config import loading
from dejavu.engines import one_at_a_time, slurm_polling, slurm_stale_jobs
from dejavu.errors import DejavuError

# Paths that occur in more than one rule; tests hold them against dejavu/config/paths.py.
REPORT = "data/{scale}/prepared/{dataset}/report.json"
WEIGHTS = "checkpoints/{scale}/{experiment}/seed{seed}.safetensors"
REGENERATOR = "checkpoints/{scale}/{experiment}/seed{seed}.regenerator.safetensors"
LEARNING_CURVE = "results/{scale}/logs/{experiment}/seed{seed}.csv"
METRICS = "results/{scale}/metrics/{experiment}/seed{seed}.json"
TABLE = "results/{scale}/tables/{table}.{form}"
FIGURE = "results/{scale}/figures/{table}_{kind}.png"
FORMS = ["csv", "md", "tex"]


def load(overrides):
    """params.yaml, and the name of the scale that `all` is made at."""
    for key in overrides:
        if key != "scale":
            raise DejavuError(f"--config {key}: only scale=NAME is set there, everything else in params.yaml")
    params = loading.load("params.yaml")
    scale = overrides.get("scale")
    return params, params.get_scale(scale if scale is None else str(scale)).name


try:
    PARAMS, SCALE = load(config)
except DejavuError as error:
    sys.exit(f"snakemake: {error}")  # one line, where a raised error would bring a traceback


def start():
    """Before the first job: one engine at a time in a clone, and no job of an earlier run on the cluster."""
    on_slurm = workflow.executor_plugin.name == "slurm"
    try:
        SIGN.append(one_at_a_time.become_snakemake())
        if on_slurm:
            slurm_stale_jobs.cancel(SIGN[0])
            slurm_polling.keep_asking(workflow.scheduler._executor)
    except DejavuError as error:
        if on_slurm:
            # At its exit the plugin would sweep away empty log folders: those of the other's waiting jobs, too.
            workflow.executor_settings.delete_logfiles_older_than = 0
        sys.exit(f"snakemake: {error}")


def finish():
    """After the last job; where a run is killed, the sign goes with its process."""
    SIGN.pop().close()


SIGN = []
BASELINES = [name for name, row in PARAMS.experiments.items() if row.dejavu is None]
DEJAVUS = [name for name, row in PARAMS.experiments.items() if row.dejavu is not None]
# Figures show a DejaVu row beside its base: a table of which no such pair is run has none.
FIGURES = {
    name: table.figures
    for name, table in PARAMS.tables.items()
    if table.figures and set(table.experiments) & set(DEJAVUS)
}


def one_of(names):
    """A wildcard's constraint: these names and no others."""
    return "|".join(names)


def data_of(scale, dataset):
    """The prepared dataset, by the file that is written last."""
    return REPORT.format(scale=scale, dataset=dataset)


def seeds_of(experiment, scale):
    """The seeds that an experiment is run with: the scale's, or the first few of them."""
    return PARAMS.run(experiment, scale).seeds


def every_seed(path, wildcards, experiments):
    """A path of several experiments, for each seed of each."""
    scale = wildcards.scale
    return [
        path.format(scale=scale, experiment=experiment, seed=seed)
        for experiment in experiments
        for seed in seeds_of(experiment, scale)
    ]


def by_seeds(experiments, scale):
    """Experiments that are run with the same seeds at a scale: the end of their rules' name, seeds, experiments.

    A rule has a fixed number of outputs, so experiments with fewer seeds than the scale have rules of their own.
    """
    groups = {}
    for experiment in experiments:
        groups.setdefault(seeds_of(experiment, scale.name), []).append(experiment)
    for seeds, names in groups.items():
        yield scale.name if seeds == scale.seeds else f"{scale.name}_{len(seeds)}seeds", seeds, names


def seeds_of_rows(wildcards):
    """The seeds of each experiment of a table."""
    rows = PARAMS.tables[wildcards.table].experiments
    return json.dumps({row: seeds_of(row, wildcards.scale) for row in rows})


def made_from(wildcards):
    """What a table is made from: metrics, and logs where it reports the best epoch instead of the last."""
    table = PARAMS.tables[wildcards.table]
    files = every_seed(METRICS, wildcards, table.experiments)
    return files + (every_seed(LEARNING_CURVE, wildcards, table.experiments) if table.epoch == "best" else [])


def drawn_from(wildcards):
    """What the figures of a table are drawn from: it depends on their kinds."""
    table = PARAMS.tables[wildcards.table]
    files = []
    if "curves" in table.figures:
        files += every_seed(LEARNING_CURVE, wildcards, table.experiments)
    if {"panel", "teaser"} & set(table.figures):
        files += every_seed(WEIGHTS, wildcards, table.experiments)
        files += every_seed(REGENERATOR, wildcards, [row for row in table.experiments if row in DEJAVUS])
        files.append(data_of(wildcards.scale, table.dataset))
    if "classes" in table.figures:
        files += every_seed(METRICS, wildcards, table.experiments)
    if {"gains", "tradeoff", "bands"} & set(table.figures):
        files.append(TABLE.format(scale=wildcards.scale, table=wildcards.table, form="csv"))
    return files


def row(experiment, scale, without=frozenset()):
    """What a run depends on. Its data's licence and address are `download`'s to watch."""
    return as_line(PARAMS.run(experiment, scale), without={"source", *without})


def as_line(section, without=frozenset()):
    """Configuration as JSON: a job whose line changes is run again, and Snakemake shows the change."""
    return json.dumps(section.model_dump(mode="json", exclude=set(without)), sort_keys=True)
