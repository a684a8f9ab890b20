"""Names in params.yaml that point at each other: every one must have its target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from . import options
from .datasets import folder, reader_name
from .datasets import names as datasets
from .errors import nearest
from .metrics import METRICS

if TYPE_CHECKING:
    from .schema import Experiment, Network, Params, Row, Run, Table


def check(params: Params) -> None:
    """Raise ValueError, one sentence, for the first name without a target."""
    _scales(params)
    for name, network in params.networks.items():
        options.check("networks", network.module, network.options, f"networks.{name}")
    for name, experiment in params.experiments.items():
        _experiment(params, name, experiment)
    for name, table in params.tables.items():
        _table(params, f"tables.{name}", table)


def _known(name: str, section: Iterable[str], where: str, kind: str) -> None:
    if name not in section:
        raise ValueError(f"{where}: unknown {kind} '{name}', {nearest(name, section)}")


def _scales(params: Params) -> None:
    for key, scale in params.scales.items():
        if scale.name != key:
            raise ValueError(f"scales.{key}.name: must be '{key}' like its key, not '{scale.name}'")
    _known(params.scale.name, params.scales, "scale", "scale")
    if params.scale != params.scales[params.scale.name]:
        raise ValueError(f"scale: must be an alias of one of scales, as in `scale: *{params.scale.name}`")
    for name, source in params.datasets.items():
        wrong = folder.fault(source.folder) if source.folder is not None else None
        if wrong:
            raise ValueError(f"datasets.{name}.folder.{wrong}")
    for key, scale in params.scales.items():
        where = f"scales.{key}"
        for dataset, part in scale.data.items():
            _known(part.source, params.datasets, f"{where}.data.{dataset}.source", "dataset")
            if params.datasets[part.source].folder is None:
                _known(reader_name(dataset, part.source), datasets(), f"{where}.data.{dataset}", "dataset")
            if part.source == "synthetic" and None in (
                part.train,
                part.val,
                params.datasets["synthetic"].seed,
            ):
                raise ValueError(
                    f"{where}.data.{dataset}: synthetic scenes need 'train' and 'val', how many of them, "
                    "and datasets.synthetic.seed"
                )
        for recipe in scale.train:
            _known(recipe, params.recipes, f"{where}.train", "recipe")


def _experiment(params: Params, name: str, row: Experiment) -> None:
    where = f"experiments.{name}"
    for scale in params.scales.values():
        _known(row.dataset, scale.data, f"{where}.dataset", f"dataset at scale {scale.name}")
    _known(row.network, params.networks, f"{where}.network", "network")
    _known(row.recipe, params.recipes, f"{where}.recipe", "recipe")
    _known(row.protocol, params.protocols, f"{where}.protocol", "protocol")
    if row.dejavu is not None:
        for redaction in row.dejavu.redactions:
            options.check("redaction", redaction.name, redaction.options, f"{where}.dejavu.redaction")
        options.check(
            "regeneration",
            row.dejavu.regenerator.name,
            row.dejavu.regenerator.options,
            f"{where}.dejavu.regenerator",
        )
        _losses(where, row)
        if row.base is None:
            raise ValueError(f"{where}: a row with 'dejavu' needs 'base', the row that it is compared with")
    if row.base is not None:
        _pair(params, name, where, row)
    for size in params.scales:
        _run(params, name, size)


def _losses(where: str, row: Experiment) -> None:
    """What DejaVu's parts need of each other and of the task."""
    method = row.dejavu
    assert method is not None
    if method.detach and method.cycle is not None:
        raise ValueError(f"{where}.dejavu.detach: the control has no gradient, and a cycle has one")
    if method.text is not None and row.task != "semantic":
        raise ValueError(f"{where}.dejavu.text: prompts are made of classes, which {row.task} has not")
    if method.text is not None and "{}" not in method.text.template:
        raise ValueError(f"{where}.dejavu.text.template: needs {{}}, the place of the classes")


def _run(params: Params, name: str, scale: str) -> None:
    """The layers of a recipe, each right in itself, must be right together."""
    try:
        run = params.run(name, scale)
    except ValidationError as error:
        fault = error.errors()[0]
        reason = fault.get("ctx", {}).get("error", fault["msg"])
        raise ValueError(f"experiments.{name} at scale {scale}: {reason}") from None
    _only_for_segmentation(run, f"experiments.{name}")
    if run.data.train is not None and run.train.batch_size > run.data.train:
        raise ValueError(
            f"experiments.{name} at scale {scale}: batch_size {run.train.batch_size} is larger than the "
            f"{run.data.train} training images"
        )


def _only_for_segmentation(run: Run, where: str) -> None:
    """Keys that mean something for classes only."""
    recipe = run.train
    used = {key: getattr(recipe, key) for key in ("class_weights", "ohem", "rmi", "coarse", "class_uniform")}
    used["cat_max_ratio"] = recipe.cat_max_ratio < 1
    used["protocol"] = run.protocol.model_dump(exclude_defaults=True)
    for key, value in used.items():
        if value and run.task != "semantic":
            raise ValueError(f"{where}: {key} is for segmentation, and the task is {run.task}: leave it out")


def _pair(params: Params, name: str, where: str, row: Experiment) -> None:
    """Baseline and DejaVu differ in nothing but the method."""
    assert row.base is not None
    _known(row.base, params.experiments, f"{where}.base", "experiment")
    base = params.experiments[row.base]
    if base.base is not None:
        raise ValueError(f"{where}.base: '{row.base}' has a base itself; name the plain row '{base.base}'")
    for key in ("task", "dataset", "network", "recipe", "protocol", "train"):
        same = getattr(row, key) == getattr(base, key)
        if key == "recipe" and not same:  # by another name, with another number of seeds
            same = all(
                params.run(name, scale).train == params.run(row.base, scale).train for scale in params.scales
            )
        if key == "network" and not same:
            same = _differ_in_attention(params.networks[row.network], params.networks[base.network])
        if not same:
            raise ValueError(
                f"{where}.{key}: differs from its base '{row.base}'; a pair may differ only in 'dejavu', and "
                "its networks in 'attention'"
            )


def _differ_in_attention(network: Network, other: Network) -> bool:
    """Whether two networks are the same but for the attention that DejaVu-SA adds."""
    plain = [
        {key: value for key, value in one.options.items() if not key.startswith("attention")}
        for one in (network, other)
    ]
    return network.module == other.module and plain[0] == plain[1]


def _table(params: Params, where: str, table: Table) -> None:
    for scale in params.scales.values():
        _known(table.dataset, scale.data, f"{where}.dataset", f"dataset at scale {scale.name}")
    source = params.datasets.get(table.dataset)
    if source is None or source.cost_input is None:
        raise ValueError(f"datasets.{table.dataset}.cost_input is missing: {where} shows costs at that size")
    rows = {row.id: row for row in table.rows}
    for metric in table.metrics:
        _known(metric, METRICS, f"{where}.metrics", "metric")
    for row in table.rows:
        at = f"{where}.rows.{row.id}"
        if row is not rows[row.id]:
            raise ValueError(f"{at}: the id is given twice")
        for key in row.paper:
            _known(key, [*METRICS, "gmacs", "params_m"], f"{at}.paper", "metric")
        if row.base is not None:
            _known(row.base, rows, f"{at}.base", "row")
        if row.experiment is not None:
            _known(row.experiment, params.experiments, f"{at}.experiment", "experiment")
            _row(params, at, table, row, rows)


def _row(params: Params, at: str, table: Table, row: Row, rows: dict[str, Row]) -> None:
    """The line says of its experiment what the experiment is."""
    experiment = params.experiments[str(row.experiment)]
    if experiment.dataset != table.dataset:
        raise ValueError(
            f"{at}.experiment: '{row.experiment}' is on {experiment.dataset}, not on {table.dataset}"
        )
    base = rows[row.base].experiment if row.base is not None else None
    if (row.base is None) != (experiment.base is None) or base != experiment.base:
        raise ValueError(
            f"{at}: '{row.experiment}' is compared with '{experiment.base}', but the line's base "
            f"'{row.base}' is filled by '{base}'"
        )
