# What the rules share: the configuration (params.yaml, checked as a whole before any job starts), names and paths.
import json
import sys

from dejavu import config as configuration
from dejavu.errors import DejavuError

# Paths that occur in more than one rule; tests hold them against dejavu/paths.py.
REPORT = "data/{scale}/prepared/{dataset}/report.json"
WEIGHTS = "checkpoints/{scale}/{experiment}/seed{seed}.safetensors"
REGENERATOR = "checkpoints/{scale}/{experiment}/seed{seed}.regenerator.safetensors"
LEARNING_CURVE = "results/{scale}/logs/{experiment}/seed{seed}.csv"
METRICS = "results/{scale}/metrics/{experiment}/seed{seed}.json"
FORMS = ["csv", "md", "tex"]
FIGURES = ["curves", "panel"]


def load(overrides):
    """params.yaml, and the name of the scale that `all` is made at."""
    for key in overrides:
        if key != "scale":
            raise DejavuError(f"--config {key}: only scale=NAME is set there, everything else in params.yaml")
    params = configuration.load("params.yaml")
    scale = overrides.get("scale")
    return params, params.get_scale(scale if scale is None else str(scale)).name


try:
    PARAMS, SCALE = load(config)
except DejavuError as error:
    sys.exit(f"snakemake: {error}")  # one line, where a raised error would bring a traceback

BASELINES = [name for name, row in PARAMS.experiments.items() if row.dejavu is None]
DEJAVUS = [name for name, row in PARAMS.experiments.items() if row.dejavu is not None]
# Figures show a DejaVu row beside its base: a table of which no such pair is run has none.
WITH_PAIR = [name for name, table in PARAMS.tables.items() if set(table.experiments) & set(DEJAVUS)]


def one_of(names):
    """A wildcard's constraint: these names and no others."""
    return "|".join(names)


def data_of(scale, dataset):
    """The prepared dataset, by the file that is written last."""
    return REPORT.format(scale=scale, dataset=dataset)


def every_seed(path, wildcards, experiments):
    """A path of several experiments, for each seed of the scale."""
    seeds = PARAMS.scales[wildcards.scale].seeds
    return expand(path, scale=wildcards.scale, experiment=experiments, seed=seeds)


def row(experiment, scale):
    """What a training depends on. Its data's licence and address are `download`'s to watch."""
    return as_line(PARAMS.run(experiment, scale), without={"source"})


def as_line(section, without=frozenset()):
    """Configuration as JSON: a job whose line changes is run again, and Snakemake shows the change."""
    return json.dumps(section.model_dump(mode="json", exclude=set(without)), sort_keys=True)
