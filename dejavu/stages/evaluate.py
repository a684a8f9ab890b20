"""`dejavu evaluate EXPERIMENT`: the exported weights of every seed -> one metrics file each.

Whole images at the size they were prepared in, one scale, no flip.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..files import sha256, write_json
from ..paths import Paths, drop_other_seeds
from ..schema import Params, Run

if TYPE_CHECKING:
    from ..datasets.store import Split


def run(params: Params, name: str, scale: str) -> None:
    """Measure all seeds of an experiment and write their metrics, with a sidecar of what may differ.

    The metrics file of a seed is the same bytes whenever the same weights and data are measured on the
    same machine with the same number of threads. Files of seeds that params.yaml no longer lists are removed.

    Raises DejavuError where weights or data are missing, damaged or do not fit.
    """
    run = params.run(name, scale)
    from ..datasets import stands_in_for
    from ..datasets.store import open_split, read_report
    from ..sidecar import write_sidecar

    paths = Paths(scale)
    prepared = paths.prepared(run.dataset)
    report = read_report(prepared, run.data)
    split = open_split(prepared, report["evaluate"])
    common = {
        "experiment": name,
        "scale": scale,
        "dataset": run.data.source,
        "stands_in_for": stands_in_for(run.dataset, run.data.source),
        "split": report["evaluate"],
        "count": len(split.images),
        "cost": cost(params, run),
        "config": run.as_dict(),
    }
    drop_other_seeds(paths.metrics(name, 0).parent, run.seeds)
    scores = []
    for seed in run.seeds:
        trained = training_of(run, seed, report)
        began = time.monotonic()
        metrics = measure(run, seed, report, split)
        seconds = round(time.monotonic() - began, 2)
        write_json(paths.metrics(name, seed), {**common, "seed": seed, "metrics": metrics})
        write_sidecar(
            paths.sidecar(name, seed),
            command=f"dejavu evaluate {name} --scale {scale}",
            seconds=seconds,
            train=trained,
        )
        scores.append(f"{metrics['miou']:.2f}")
    seeds = "1 seed" if len(scores) == 1 else f"{len(scores)} seeds"
    print(
        f"{name} at scale {scale}: {seeds} measured on {len(split.images)} images, mIoU {' '.join(scores)} %"
    )


def measure(run: Run, seed: int, report: dict[str, Any], split: Split) -> dict[str, Any]:
    """The metrics (`SemanticMetrics.compute`) of one seed's exported weights on a split."""
    import torch

    from ..inference import load_network, predict
    from ..metrics.semantic import SemanticMetrics
    from ..progress import track

    classes = report["classes"]
    weights = Paths(run.scale).weights(run.experiment, seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_network(run, len(classes), weights).to(memory_format=torch.channels_last).to(device)
    metrics = SemanticMetrics(len(classes), report["ignore_index"], classes)
    predictions = track(predict(network, split.images), len(split.images), f"{run.experiment} seed {seed}")
    for name, label, prediction in zip(split.names, split.labels, predictions, strict=True):
        try:
            metrics.update(label, prediction)
        except DejavuError as error:
            raise DejavuError(f"image '{name}' of the prepared '{run.dataset}': {error}") from None
    return metrics.compute()


def cost(params: Params, run: Run) -> dict[str, Any]:
    """What the full-size network costs at its dataset's `cost_input`.

    With the classes of the dataset itself, whatever stands in for it.
    """
    from .. import datasets, networks
    from ..cost import measure

    num_classes, size = len(datasets.find(run.dataset).CLASSES), params.cost_input(run.dataset)
    gmacs, params_m = measure(
        lambda: networks.build(run.network.module, num_classes, **run.network.options), size
    )
    return {"gmacs": gmacs, "params_m": params_m, "input": list(size)}


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
