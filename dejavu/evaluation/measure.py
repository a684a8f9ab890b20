"""Exported weights -> predictions -> metrics, and the cost of the deployed network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import registry
from ..config import Params, Run
from ..config.paths import NETWORK_COSTS, Paths
from ..errors import DejavuError
from ..metrics import collect
from ..system.files import read_json, write_json
from ..system.fingerprint import code_hash, json_hash
from ..system.signals import stop_if_signalled

if TYPE_CHECKING:
    from ..datasets.prepared.store import Array, Split


def measuring_roots(run: Run) -> list[str]:
    """Return the modules from which everything that a measurement runs is imported.

    The network, the dataset and the tasks are imported by name; `config` derives a run from params.yaml.
    """
    datasets = set(registry.modules("datasets")) & {run.dataset, run.data.source}
    roots = [f"networks.{run.network.module}", *(f"datasets.{name}" for name in sorted(datasets))]
    roots += [f"{package}.{task}" for package in ("tasks", "metrics") for task in run.tasks]
    return ["evaluation.measure", "config", *roots]


def measure(run: Run, seed: int, report: dict[str, Any], split: Split) -> dict[str, Any]:
    """Return the metrics (`compute` of `metrics.collect`) of one seed's exported weights on a split.

    Raises Stopped after a signal if a training measures its own weights.
    """
    truths, by_task = truth(run, split), len(run.tasks) > 1
    scoring = run.protocol.depth
    caps = None if scoring is None else scoring.model_dump(exclude_none=True)
    metrics = collect(run.task, report["classes"], report["ignore_index"], caps, report.get("things", ()))
    for number, prediction in enumerate(predicted(run, seed, report, split)):
        stop_if_signalled(f"while it measured seed {seed}")
        expected = {task: array[number] for task, array in truths.items()}
        try:
            metrics.update(expected if by_task else expected[run.tasks[0]], prediction)
        except DejavuError as error:
            raise DejavuError(
                f"image '{split.names[number]}' of the prepared '{run.dataset}': {error}"
            ) from None
    return metrics.compute()


def predicted(run: Run, seed: int, report: dict[str, Any], split: Split) -> Iterator[Any]:
    """Yield the prediction of one seed's exported weights for each image of a split, at its truth's size."""
    import torch

    from ..compute.skip_compiler import leave_compiler_out

    leave_compiler_out()
    from ..compute import gpus
    from ..evaluation.predictor import Predictor
    from ..models.load import load_network
    from ..system.progress import track
    from ..tasks import channels, describe

    classes = report["classes"]
    weights = Paths(run.scale).weights(run.experiment, seed)
    network = load_network(run, channels(run.task, len(classes)), weights, classes)
    hides_nan = any(describe(task).has_classes for task in run.tasks)  # an argmax does not show NaN
    for name, values in network.state_dict().items() if hides_nan else ():
        # load_network refuses predictions that are not finite; this check also names the tensor.
        if not torch.isfinite(values).all():
            raise DejavuError(f"{weights} holds what is no number, in '{name}': delete it and train again")
    network = network.to(memory_format=torch.channels_last).to(gpus.device())
    predictor = Predictor(
        network,
        run.task,
        run.protocol,
        crop=run.train.crop,
        align_corners=run.train.align_corners,
        things=report.get("things", ()),
    )
    sizes = [array.shape[:2] for array in truth(run, split)[run.tasks[0]]]
    predictions = predictor.predict(split.images, sizes)
    return track(predictions, len(split.images), f"{run.experiment} seed {seed}")


def truth(run: Run, split: Split) -> dict[str, Array]:
    """Return the array of a split that each of a run's tasks is measured against.

    Raises DejavuError if the prepared dataset has no such array.
    """
    from ..tasks import describe

    truths: dict[str, Array] = {}
    for task in run.tasks:
        array = split.array(describe(task).array)
        if array is None:
            raise DejavuError(
                f"the prepared '{run.dataset}' has no {task}, which '{run.experiment}' is measured against: "
                f"'{run.data.source}', which plays its part at scale {run.scale}, must bring it"
            )
        truths[task] = array
    return truths


def cost(params: Params, run: Run) -> dict[str, Any]:
    """Return the cost of the full-size network at its dataset's `cost_input`.

    The classes are those of the dataset itself, not of a substitute dataset. Rows share networks, so each
    cost is stored in runs/costs.
    """
    from .. import datasets
    from ..tasks import channels

    classes = 1 if run.head == "binary" else len(datasets.class_names(run.dataset, params.datasets))
    outputs = channels(run.task, classes)
    size, network = params.cost_input(run.dataset), run.network
    code = code_hash(["networks.cost", f"networks.{network.module}"])
    request = [network.module, network.options, outputs, size, code]
    path = NETWORK_COSTS / f"{json_hash(request)[:16]}.json"
    try:
        kept = read_json(path)
        if kept["request"] == json_hash(request):
            return dict(kept["cost"])
    except (DejavuError, OSError, KeyError, TypeError):
        pass
    from .. import networks
    from ..networks.cost import measure

    gmacs, params_m = measure(lambda: networks.build(network.module, outputs, **network.options), size)
    counted = {"gmacs": gmacs, "params_m": params_m, "input": list(size)}
    write_json(path, {"request": json_hash(request), "cost": counted})
    return counted
