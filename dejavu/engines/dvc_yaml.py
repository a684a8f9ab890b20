"""params.yaml -> dvc.yaml, the same pipeline as workflow/ has for Snakemake, at params.yaml's scale.

DVC makes the stages of datasets and experiments from params.yaml itself (`foreach`), but takes no list there
for the dependencies of a stage (treeverse/dvc#8171). So each table's and figure's stage is written out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..config import Params, claim
from ..config.paths import FORMS, VERDICTS, Paths
from ..metrics import DELTA
from .dependencies import figure_kinds, of_figures, of_table, of_verdicts

SCALE = "${scale.name}"

# `<name>` is one of `_PATHS` below, or the keys of params.yaml that a run depends on; all else is DVC's own
# language.
DATASETS_AND_EXPERIMENTS = """\
# The pipeline of workflow/ for DVC: the same commands on the same files (tests/engines/test_workflow.py
# compares them). Written by `make dvc.yaml`: run it after a change of params.yaml's experiments, tables or
# scale, because tables may be of some scales only. The text is dejavu/engines/dvc_yaml.py's.
#
# `dvc repro` runs the pipeline at the scale that params.yaml names. Checkpoints go into DVC's cache, as
# copies (.dvc/config): `dvc push` shares them. Everything else has `cache: false`: results are small and are
# shared through git, and DVC refuses to cache a file that git tracks; the terms of the datasets do not allow
# to pass data on. DVC removes a stage's outputs before it starts the command. `persist` keeps data in case
# the command refuses its parameters. Outputs of a training have no `persist`, because DVC's run cache would
# then not restore them when a parameter returns to an earlier value.
#
# `sources` compares raw files with their manifests, and writes the manifests of changed files again. It runs
# always, before all others, and its output never changes: only stages that depend on such a manifest follow.
stages:
  sources:
    cmd: dejavu sources --scale ${scale.name}
    always_changed: true
    outs:
      - <compared>: {cache: false, persist: true}

  download:
    foreach: ${scale.data}
    do:
      cmd: dejavu download ${key} --scale ${scale.name}
      params:
        - scale.data.${key}
        - datasets.${item.source}
      deps:
        - <compared>
      outs:
        - <raw>: {cache: false, persist: true}

  prepare:
    foreach: ${scale.data}
    do:
      cmd: dejavu prepare ${key} --scale ${scale.name}
      params:
        - scale.data.${key}
        - datasets.${item.source}
      deps:
        - <raw>
      outs:
        - <prepared>: {cache: false, persist: true}

  train:
    foreach: <rows>
    do:
      cmd: dejavu train ${key} --scale ${scale.name}
      params:
        <keys of a run>
      deps:
        - <prepared of item>
      outs:
        - <weights>: {cache: true}
      plots:
        - <logs>: {cache: false, x: step, y: loss}

  evaluate:
    foreach: <rows>
    do:
      cmd: dejavu evaluate ${key} --scale ${scale.name}
      params:                    # the metrics' file holds the resolved configuration, and the cost
        <keys of a run>
        - datasets.${item.dataset}.cost_input
        - protocols
      deps:
        - <weights>
        - <prepared of item>
      metrics:
        - <metrics>: {cache: false}

  # From here on one stage for each table, one for its figures, and one for the verdicts on all claims.
"""

_KEYS_OF_A_RUN = """\
- experiments.${key}
- networks.${item.network}
- recipes.${item.recipe}
- scale.seeds
- scale.width
- scale.depth
- scale.pretrained
- scale.frozen_width
- scale.budget.all
- scale.budget.${item.budget}
- scale.data.${item.dataset}
- dejavu"""

_PATHS = {
    "compared": Paths(SCALE).compared,
    "raw": Paths(SCALE).raw_manifest("${key}"),
    "prepared": Paths(SCALE).prepared("${key}"),
    "prepared of item": Paths(SCALE).prepared("${item.dataset}"),
    "weights": Paths(SCALE).weights("${key}", "").parent,
    "logs": Paths(SCALE).log("${key}", "").parent,
    "metrics": Paths(SCALE).metrics("${key}", "").parent,
}


def pipeline(params: Params) -> str:
    """The text of dvc.yaml."""
    text = DATASETS_AND_EXPERIMENTS.replace("<keys of a run>", _KEYS_OF_A_RUN.replace("\n", "\n        "))
    for name, path in _PATHS.items():
        text = text.replace(f"<{name}>", str(path))
    here = params.at(params.scale.name)
    text = text.replace(" <rows>", _rows(params, here))
    kinds = figure_kinds(here)
    stages = []
    for name in here.tables:
        stages.append(_table(params, name))
        if name in kinds:
            stages.append(_figures(params, name, kinds[name]))
    if claim.experiments(params, params.scale.name):
        stages.append(_verdicts(params))
    return text + "\n".join(stages)


def _rows(params: Params, here: Params) -> str:
    """Return the rows for DVC's foreach: all of params.yaml, or a list of those that the scale has."""
    if here.experiments == params.experiments:
        return " ${experiments}"
    return "".join(f"\n      {name}: ${{experiments.{name}}}" for name in here.experiments)


def _table(params: Params, name: str) -> str:
    dataset = params.tables[name].dataset
    watched = [f"tables.{name}", f"datasets.{dataset}.cost_input", "scale.seeds", f"scale.data.{dataset}"]
    outputs = [Paths(SCALE).table(name, form) for form in FORMS]
    return _stage("tables", name, watched, of_table(params, name).folders(SCALE), outputs)


def _figures(params: Params, name: str, kinds: Iterable[str]) -> str:
    outputs = [Paths(SCALE).figure(name, kind) for kind in kinds]
    watched = [f"tables.{name}", "scale.seeds"]
    return _stage("figures", name, watched, of_figures(params, name).folders(SCALE), outputs)


def _verdicts(params: Params) -> str:
    inputs = of_verdicts(params, params.scale.name)
    datasets = dict.fromkeys(params.experiments[name].dataset for name in inputs.metrics)
    tables = [
        claim.table_of_delta(params, one.row, claim.other_row(params, one))
        for _, _, one in claim.named(params)
        if one.metric == DELTA
    ]
    watched = ["claims", "scale.seeds", *(f"tables.{name}.single" for name in dict.fromkeys(tables))]
    for name in datasets:
        watched += [f"datasets.{name}.cost_input", f"scale.data.{name}"]
    return _stage(VERDICTS, "", watched, inputs.folders(SCALE), Paths(SCALE).verdicts)


def _stage(command: str, name: str, watched: list[str], inputs: list[Path], outputs: list[Path]) -> str:
    """A stage of dvc.yaml: `watched` are the keys of params.yaml whose change makes it run again.

    The name of its table is '' for a command of all of them.
    """
    words = [word for word in (command, name) if word]
    lines = [
        f"  {'_'.join(words)}:",
        f"    cmd: dejavu {' '.join(words)} --scale {SCALE}",
        "    params:",
        *(f"      - {key}" for key in watched),
        "    deps:",
        *(f"      - {path}" for path in inputs),
        "    outs:",
        *(f"      - {path}: {{cache: false}}" for path in outputs),
    ]
    return "\n".join(lines) + "\n"
