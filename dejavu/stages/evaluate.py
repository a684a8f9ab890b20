"""`dejavu evaluate EXPERIMENT`: the exported weights of every seed -> one metrics file each.

How the network is asked is the experiment's `protocol`. A training measures what it exported at its end,
while everything is loaded, and keeps that in its working folder: then this stage publishes it in a moment, as
long as weights, data, configuration and code are the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..files import read_json, sha256, write_json
from ..metrics import METRICS, collect, main_metric
from ..paths import Paths, drop_other_seeds
from ..preemption import heed
from ..schema import Params, Run

if TYPE_CHECKING:
    from ..datasets.store import Array, Split

PACKAGE = Path(__file__).parents[1]
# The code that a measurement depends on, beside that of the training.
CODE = ("cost.py", "metrics/*.py", "stages/evaluate.py")


def run(params: Params, name: str, scale: str, again: bool = False, protocol: str | None = None) -> None:
    """Measure all seeds of an experiment and write their metrics, with a sidecar of what may differ.

    The metrics file of a seed is the same bytes whenever the same weights and data are measured on the
    same machine with the same number of threads. Files of seeds that params.yaml no longer lists are removed.

    Args:
        again: measure anew what the training has measured already.
        protocol: another of params.yaml's protocols than the experiment's; its metrics are printed as JSON,
            and no file is written.

    Raises DejavuError where weights or data are missing, damaged or do not fit.
    """
    run = params.run(name, scale)
    from ..datasets import stands_in_for
    from ..datasets.store import read_report
    from ..sidecar import write_sidecar

    paths = Paths(scale)
    report = read_report(paths.prepared(run.dataset), run.data)
    if protocol is not None:
        for seed in run.seeds:
            training_of(run, seed, report)  # that these weights are the configuration's
        tried = run.model_copy(update={"protocol": params.get_protocol(protocol)})
        by_seed = {seed: measured(params, tried, seed, report)["metrics"] for seed in run.seeds}
        print(json.dumps({"experiment": name, "protocol": protocol, "seeds": by_seed}, indent=1))
        return
    common = {
        "experiment": name,
        "scale": scale,
        "dataset": run.data.source,
        "stands_in_for": stands_in_for(run.dataset, run.data.source),
        "split": report["evaluate"],
        "count": report["splits"][report["evaluate"]]["count"],
        "config": run.as_dict(),
    }
    if report.get("remarks"):  # what a reader of the table must know of the data
        common["remarks"] = report["remarks"]
    drop_other_seeds(paths.metrics(name, 0).parent, run.seeds)
    scores: dict[str, list[str]] = {main_metric(task): [] for task in run.tasks}
    for seed in run.seeds:
        trained = training_of(run, seed, report)
        found = (None if again else kept(params, run, seed, report)) or measured(params, run, seed, report)
        content = common | {"seed": seed, "cost": found["cost"], "metrics": found["metrics"]}
        write_json(paths.metrics(name, seed), content)
        write_sidecar(
            paths.sidecar(name, seed),
            command=f"dejavu evaluate {name} --scale {scale}",
            seconds=found["seconds"],
            train=trained,
        )
        for key, values in scores.items():
            values.append(f"{found['metrics'][key]:.{METRICS[key].digits}f}")
    seeds = "1 seed" if len(run.seeds) == 1 else f"{len(run.seeds)} seeds"
    said = [f"{METRICS[key].name} {' '.join(values)} {METRICS[key].unit}" for key, values in scores.items()]
    print(f"{name} at scale {scale}: {seeds} measured on {common['count']} images, {', '.join(said)}")


def measured(params: Params, run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a seed's exported weights, the deployed network's cost, and the seconds that it took."""
    from ..datasets.store import open_split

    began = time.monotonic()
    split = open_split(Paths(run.scale).prepared(run.dataset), report["evaluate"])
    metrics = measure(run, seed, report, split)
    seconds = round(time.monotonic() - began, 2)
    return {"metrics": metrics, "cost": cost(params, run), "seconds": seconds}


def keep(params: Params, run: Run, seed: int, report: dict[str, Any]) -> bool:
    """Measure a seed where its training ended, for `dejavu evaluate` to publish; False if it was before."""
    from .train import run_folder

    if kept(params, run, seed, report) is not None:
        return False
    found = measured(params, run, seed, report)
    path = run_folder(run, seed, report).metrics
    write_json(path, found | {"key": _key(params, run, seed, report)})
    return True


def kept(params: Params, run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any] | None:
    """What was measured of these very weights on these data by this code; None if nothing was."""
    from .train import run_folder

    try:
        found = read_json(run_folder(run, seed, report).metrics)
        return found if found["key"] == _key(params, run, seed, report) else None
    except (DejavuError, OSError, KeyError, TypeError):
        return None


def _key(params: Params, run: Run, seed: int, report: dict[str, Any]) -> str:
    """A hash of all that a measurement depends on."""
    asked = {key: value for key, value in run.as_dict().items() if key not in ("seeds", "source")}
    from ..runfolder import checksums

    data = checksums({"split": report["splits"][report["evaluate"]]})
    weights = sha256(Paths(run.scale).weights(run.experiment, seed))
    return _hash([asked, seed, weights, data, report["classes"], params.cost_input(run.dataset), _code()])


@cache
def _code() -> str:
    from ..runfolder import code_fingerprint

    digest = hashlib.sha256(code_fingerprint().encode())
    for pattern in CODE:
        for file in sorted(PACKAGE.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def measure(run: Run, seed: int, report: dict[str, Any], split: Split) -> dict[str, Any]:
    """The metrics (`compute` of `metrics.collect`) of one seed's exported weights on a split.

    Raises Stopped where a training that measures what it has made is asked to stop.
    """
    truths, several = truth(run, split), len(run.tasks) > 1
    scoring = run.protocol.depth
    caps = None if scoring is None else scoring.model_dump(exclude_none=True)
    metrics = collect(run.task, report["classes"], report["ignore_index"], caps, report.get("things", ()))
    for number, prediction in enumerate(predicted(run, seed, report, split)):
        heed(f"while it measured seed {seed}")
        expected = {task: array[number] for task, array in truths.items()}
        try:
            metrics.update(expected if several else expected[run.tasks[0]], prediction)
        except DejavuError as error:
            raise DejavuError(
                f"image '{split.names[number]}' of the prepared '{run.dataset}': {error}"
            ) from None
    return metrics.compute()


def predicted(run: Run, seed: int, report: dict[str, Any], split: Split) -> Iterator[Any]:
    """What one seed's exported weights predict for each image of a split, at its truth's size, in order."""
    import torch

    from ..startup import leave_compiler_out

    leave_compiler_out()
    from ..inference import load_network, predict
    from ..parallel import gpus
    from ..progress import track
    from ..tasks import channels

    classes = report["classes"]
    weights = Paths(run.scale).weights(run.experiment, seed)
    network = load_network(run, channels(run.task, len(classes)), weights, classes)
    for name, values in network.state_dict().items() if {"semantic", "panoptic"} & set(run.tasks) else ():
        # load_network refuses what it predicts, if that is not finite; this names the tensor.
        if not torch.isfinite(values).all():
            raise DejavuError(f"{weights} holds what is no number, in '{name}': delete it and train again")
    network = network.to(memory_format=torch.channels_last).to(gpus.device())
    predictions = predict(
        network,
        split.images,
        task=run.task,
        protocol=run.protocol,
        crop=run.train.crop,
        align_corners=run.train.align_corners,
        sizes=[array.shape[:2] for array in truth(run, split)[run.tasks[0]]],
        things=report.get("things", ()),
    )
    return track(predictions, len(split.images), f"{run.experiment} seed {seed}")


def truth(run: Run, split: Split) -> dict[str, Array]:
    """The array of a split that each of a run's tasks is measured against.

    Raises DejavuError where the prepared dataset has none.
    """
    from ..tasks import TARGETS

    found: dict[str, Array] = {}
    for task in run.tasks:
        array: Array | None = getattr(split, TARGETS[task], None)
        if array is None:
            raise DejavuError(
                f"the prepared '{run.dataset}' has no {task}, which '{run.experiment}' is measured against: "
                f"'{run.data.source}', which plays its part at scale {run.scale}, must bring it"
            )
        found[task] = array
    return found


def cost(params: Params, run: Run) -> dict[str, Any]:
    """What the full-size network costs at its dataset's `cost_input`.

    With the classes of the dataset itself, whatever stands in for it. Rows share networks, so what was
    counted once is kept in runs/costs.
    """
    from .. import datasets
    from ..tasks import channels

    outputs = channels(run.task, len(datasets.class_names(run.dataset, params.datasets)))
    size, network = params.cost_input(run.dataset), run.network
    asked = [network.module, network.options, outputs, size, _code()]
    path = Path("runs/costs") / f"{_hash(asked)[:16]}.json"
    try:
        found = read_json(path)
        if found["asked"] == _hash(asked):
            return dict(found["cost"])
    except (DejavuError, OSError, KeyError, TypeError):
        pass
    from .. import networks
    from ..cost import measure

    gmacs, params_m = measure(lambda: networks.build(network.module, outputs, **network.options), size)
    counted = {"gmacs": gmacs, "params_m": params_m, "input": list(size)}
    write_json(path, {"asked": _hash(asked), "cost": counted})
    return counted


def _hash(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def training_of(run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any] | None:
    """What training wrote down of itself; None if the weights came from elsewhere.

    Raises DejavuError when it was asked for something else than the run is now.
    """
    from .train import run_folder

    folder = run_folder(run, seed, report)
    if not folder.summary.exists():
        return None
    summary, weights = folder.read_summary(), Paths(run.scale).weights(run.experiment, seed)
    again = f"run `dejavu train {run.experiment} --scale {run.scale}`"
    if summary.get("fingerprint") != folder.fingerprint:
        raise DejavuError(
            f"{weights} was trained by another configuration or on other data than params.yaml asks for: "
            f"{again}"
        )
    if weights.exists() and sha256(weights) != summary["files"].get(folder.weights.name):
        raise DejavuError(f"{weights} is not what the training in {folder.path} made: {again}")
    return summary
