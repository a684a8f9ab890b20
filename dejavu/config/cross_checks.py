"""Checks of names in params.yaml that refer to another entry: every one must have its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from .. import registry
from ..datasets import folder, reader_name
from ..datasets import names as datasets
from ..errors import known
from ..tasks import describe
from . import cross_checks_claims, cross_checks_tables
from .recipe import BESIDE

if TYPE_CHECKING:
    from . import Experiment, Method, Network, Params, Run
    from .file import ParamsFile
    from .method import MethodChanges


def check_file(file: ParamsFile) -> None:
    """Raise ValueError, one sentence, for the first name in `dejavu` without a target."""
    _options("dejavu", file.dejavu)


def check(params: Params) -> None:
    """Raise ValueError, one sentence, for the first name without a target."""
    _scales(params)
    for name, network in params.networks.items():
        registry.check("networks", network.module, network.options, f"networks.{name}")
    for name, protocol in params.protocols.items():
        if (fusion := protocol.panoptic) is not None:
            registry.check("fusion", fusion.name, fusion.options, f"protocols.{name}.panoptic")
    for name, experiment in params.experiments.items():
        _experiment(params, name, experiment)
    for name, table in params.tables.items():
        cross_checks_tables.check(params, f"tables.{name}", table)
    cross_checks_claims.check(params)


def _scales(params: Params) -> None:
    for key, scale in params.scales.items():
        if scale.name != key:
            raise ValueError(f"scales.{key}.name: must be '{key}' like its key, not '{scale.name}'")
    known(params.scale.name, params.scales, "scale", "scale")
    if params.scale != params.scales[params.scale.name]:
        raise ValueError(f"scale: must be an alias of one of scales, as in `scale: *{params.scale.name}`")
    for name, source in params.datasets.items():
        wrong = folder.fault(source.folder) if source.folder is not None else None
        if wrong:
            raise ValueError(f"datasets.{name}.folder.{wrong}")
    for key, scale in params.scales.items():
        where = f"scales.{key}"
        for dataset, data in scale.data.items():
            known(data.source, params.datasets, f"{where}.data.{dataset}.source", "dataset")
            if params.datasets[data.source].folder is None:
                known(reader_name(dataset, data.source), datasets(), f"{where}.data.{dataset}", "dataset")
            if data.source == "synthetic" and None in (
                data.train,
                data.val,
                params.datasets["synthetic"].seed,
            ):
                raise ValueError(
                    f"{where}.data.{dataset}: synthetic scenes need 'train' and 'val', how many of them, "
                    "and datasets.synthetic.seed"
                )
        for name, budget in scale.budget.items():
            if budget.protocol is not None:
                known(budget.protocol, params.protocols, f"{where}.budget.{name}.protocol", "protocol")


def _experiment(params: Params, name: str, row: Experiment) -> None:
    where = f"experiments.{name}"
    for scale in params.scales.values():
        known(row.dataset, scale.data, f"{where}.dataset", f"dataset at scale {scale.name}")
    known(row.network, params.networks, f"{where}.network", "network")
    known(row.recipe, params.recipes, f"{where}.recipe", "recipe")
    known(row.protocol, params.protocols, f"{where}.protocol", "protocol")
    _multitask(params, where, row)
    if row.dejavu is not None:
        _options(f"{where}.dejavu", row.dejavu)
        _losses(where, row)
        if row.base is None:
            raise ValueError(f"{where}: a row with 'dejavu' needs 'base', the row that it is compared with")
    if row.base is not None:
        _pair(params, name, where, row)
    for size in params.scales:
        _run(params, name, size)


def _options(where: str, method: Method | MethodChanges) -> None:
    """Check the names and options of the redactions and the regenerator."""
    for redaction in method.redactions:
        registry.check("redaction", redaction.name, redaction.options, f"{where}.redaction")
    if (crm := method.regenerator) is not None:
        registry.check("regeneration", crm.name, crm.options, f"{where}.regenerator")


def _multitask(params: Params, where: str, row: Experiment) -> None:
    """Check the list of tasks, and the keys that only a row of more than one task may have."""
    multitask = len(row.tasks) > 1
    if len(set(row.tasks)) < len(row.tasks):
        raise ValueError(f"{where}.task: names a task twice")
    module = params.networks[row.network].module
    alone = next((task for task in row.tasks if describe(task).queries), None)
    if multitask and alone:
        raise ValueError(f"{where}.task: {alone} is learnt alone, and not with {' and '.join(row.tasks)}")
    if (only := registry.only_task(module)) != alone:
        able = [name for name, one in params.networks.items() if registry.only_task(one.module) == alone]
        does = f"does {only} segmentation" if only else f"does not: {', '.join(able) or 'no network'} would"
        raise ValueError(f"{where}.network: the task is {row.task}, and '{row.network}' {does}")
    if multitask and not registry.is_multitask(module):
        able = [name for name, one in params.networks.items() if registry.is_multitask(one.module)]
        raise ValueError(f"{where}.network: '{row.network}' does one task; {', '.join(able)} do several")
    for key in ("balance", "consistency"):
        if getattr(row, key) is not None and not multitask:
            raise ValueError(f"{where}.{key}: is for several tasks: leave it out")
    if row.balance is not None:
        registry.check("balancing", row.balance.name, row.balance.options, f"{where}.balance")


def _losses(where: str, row: Experiment) -> None:
    """Check that DejaVu's terms fit each other and the task."""
    method = row.dejavu
    assert method is not None
    if method.detach and method.cycle is not None:
        raise ValueError(f"{where}.dejavu.detach: the control has no gradient, and a cycle has one")
    if method.text is not None and not any(describe(task).has_classes for task in row.tasks):
        raise ValueError(f"{where}.dejavu.text: prompts are made of classes, which {row.task} has not")
    for redaction in method.redactions:
        for task in redaction.tasks or ():
            known(task, row.tasks, f"{where}.dejavu.redaction.tasks", "task of this row")
    if method.text is not None and "{}" not in method.text.template:
        raise ValueError(f"{where}.dejavu.text.template: needs {{}}, the place of the classes")


def _run(params: Params, name: str, scale: str) -> None:
    """Check the resolved recipe: its layers, each valid alone, must be valid together."""
    try:
        run = params.run(name, scale)
    except ValidationError as error:
        fault = error.errors()[0]
        key = "".join(f"{name}: " for name in fault["loc"][:1])
        reason = fault.get("ctx", {}).get("error", fault["msg"])
        raise ValueError(f"experiments.{name} at scale {scale}: {key}{reason}") from None
    _only_for_segmentation(run, f"experiments.{name}")
    _labelled(run, f"experiments.{name}")
    if run.protocol_fault:
        raise ValueError(f"experiments.{name}.{run.protocol_fault}")
    if run.data.train is not None and run.train.batch_size > run.data.train:
        raise ValueError(
            f"experiments.{name} at scale {scale}: batch_size {run.train.batch_size} is larger than the "
            f"{run.data.train} training images"
        )
    _norm_of_regenerator(run, f"experiments.{name} at scale {scale}")
    if run.gpus > 1:
        _shared_by_gpus(run, f"scales.{scale}.budget.{params.experiments[name].budget}.gpus")


def _labelled(run: Run, where: str) -> None:
    """Check that the labels which are learnt from suit the number of tasks, and the rest of the run them."""
    labelled, recipe, method = run.train.labelled, run.train, run.dejavu
    if labelled == BESIDE:
        _beside_unlabelled(run, where)
        return
    if not isinstance(labelled, float):
        if labelled != "full" and len(run.tasks) == 1:
            raise ValueError(
                f"{where}: labelled {labelled} is for several tasks: leave it out, or write a share of the "
                "images"
            )
        return
    if len(run.tasks) > 1 or run.task == "panoptic":
        raise ValueError(
            f"{where}: labelled {labelled:g}, a share of the images, is for one task of semantic, depth and "
            f"normals, not {' and '.join(run.tasks)}"
        )
    if recipe.batch_size == 1:
        raise ValueError(f"{where}: labelled {labelled:g} needs a batch_size of 2 or more: half have labels")
    uses = {"class_uniform": recipe.class_uniform, "cat_max_ratio": recipe.cat_max_ratio < 1}
    uses["dejavu.text"] = method is not None and method.text is not None
    for key, used in uses.items():
        if used:
            raise ValueError(
                f"{where}: {key} reads labels of all images, and labelled is {labelled:g}: leave it out"
            )


def _beside_unlabelled(run: Run, where: str) -> None:
    """Check that half of each batch may be images without any labels."""
    cycle = None if run.dejavu is None else run.dejavu.cycle
    if run.train.batch_size // run.gpus < 2:
        raise ValueError(f"{where}: labelled {BESIDE} needs 2 or more images a process: half have labels")
    if run.consistency is not None:
        raise ValueError(f"{where}: consistency compares labels of all images, and labelled is {BESIDE}")
    if cycle is not None and cycle.target == "labels":
        raise ValueError(
            f"{where}: dejavu.cycle.target is labels, and labelled {BESIDE} has images without: prediction"
        )


def _norm_of_regenerator(run: Run, where: str) -> None:
    """Check that the regenerator's BatchNorm has more than one value a channel, where its stride is given."""
    method, recipe = run.dejavu, run.train
    if method is None or method.stride is None or method.regenerator.options.get("norm", "batch") != "batch":
        return
    images = recipe.batch_size if recipe.sync_norm else recipe.batch_size // run.gpus
    if images == 1 and max(recipe.crop) <= method.stride:
        raise ValueError(
            f"{where}: dejavu.regenerator.norm is batch and would see one value a channel (crop "
            f"{recipe.crop[0]} x {recipe.crop[1]}, dejavu.stride {method.stride}, {images} image a process): "
            "set it to group, or lower the stride, or raise crop or batch_size"
        )


def _shared_by_gpus(run: Run, where: str) -> None:
    """Check that the run can be shared by more than one process."""
    if run.train.batch_size % run.gpus:
        raise ValueError(
            f"{where}: {run.gpus} cannot share batch_size {run.train.batch_size} evenly: make that a multiple"
        )
    for key, used in (
        ("balance", run.balance),
        ("consistency", run.consistency),
        ("labelled", run.train.labelled not in ("full", BESIDE)),
    ):
        if used:
            raise ValueError(
                f"{where}: must be 1, since '{run.experiment}' has {key}, which looks at one process' batch"
            )


def _only_for_segmentation(run: Run, where: str) -> None:
    """Check that keys for classes are used for segmentation only."""
    recipe, task = run.train, " and ".join(run.tasks)
    used = {key: getattr(recipe, key) for key in ("class_weights", "ohem", "rmi", "coarse", "class_uniform")}
    used["head"] = run.head != "classes"
    used["cat_max_ratio"] = recipe.cat_max_ratio < 1
    used["protocol"] = run.protocol.foreign_to(run.task)
    if run.protocol.panoptic is not None and run.task != "panoptic":
        raise ValueError(f"{where}.protocol: says how queries become segments, and the task is {task}")
    if run.protocol.depth is not None and "depth" not in run.tasks:
        raise ValueError(f"{where}.protocol: says how depth is scored, and the task is {task}")
    if len(run.tasks) > 1:
        used |= {"auxiliary": recipe.auxiliary, "align_corners": recipe.align_corners}
    for key, value in used.items():
        if value and run.task != "semantic":
            raise ValueError(f"{where}: {key} is for segmentation, and the task is {task}: leave it out")


def _pair(params: Params, name: str, where: str, row: Experiment) -> None:
    """Check that a baseline and its DejaVu row differ in nothing but the method."""
    assert row.base is not None
    known(row.base, params.experiments, f"{where}.base", "experiment")
    base = params.experiments[row.base]
    if base.base is not None:
        raise ValueError(f"{where}.base: '{row.base}' has a base itself; name the plain row '{base.base}'")
    alike = "task head dataset network recipe protocol budget train balance consistency"
    for key in alike.split():
        same = getattr(row, key) == getattr(base, key)
        if key == "budget" and not same:  # it may have another number of seeds
            same = all(_sized_alike(params, name, row.base, scale) for scale in params.scales)
        if key == "network" and not same:
            same = _differ_in_attention(params.networks[row.network], params.networks[base.network])
        if not same:
            raise ValueError(
                f"{where}.{key}: differs from its base '{row.base}'; a pair may differ only in 'dejavu', and "
                "its networks in 'attention'"
            )


def _sized_alike(params: Params, name: str, other: str, scale: str) -> bool:
    """Return True if two experiments are trained and measured alike at a scale, except for their seeds."""
    runs = [params.run(one, scale) for one in (name, other)]
    ours, theirs = ((one.train, one.gpus, one.network.width, one.network.depth, one.protocol) for one in runs)
    return ours == theirs


def _differ_in_attention(network: Network, other: Network) -> bool:
    """Return True if two networks are the same except for the attention that DejaVu-SA adds."""
    plain = [
        {key: value for key, value in one.options.items() if not key.startswith("attention")}
        for one in (network, other)
    ]
    return network.module == other.module and plain[0] == plain[1]
