"""`dejavu evaluate EXPERIMENT`: the exported weights of every seed -> one metrics file each.

Whole images at the size they were prepared in, one scale, no flip.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..files import sha256, write_json
from ..metrics import METRICS, collect
from ..paths import Paths, drop_other_seeds
from ..schema import Params, Run

if TYPE_CHECKING:
    import numpy as np

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
    from ..tasks import MAIN_METRIC

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
    main = MAIN_METRIC[run.task]
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
        scores.append(f"{metrics[main]:.{METRICS[main].digits}f}")
    seeds = "1 seed" if len(scores) == 1 else f"{len(scores)} seeds"
    print(
        f"{name} at scale {scale}: {seeds} measured on {len(split.images)} images, "
        f"{METRICS[main].name} {' '.join(scores)} {METRICS[main].unit}"
    )


def measure(run: Run, seed: int, report: dict[str, Any], split: Split) -> dict[str, Any]:
    """The metrics (`compute` of `metrics.collect`) of one seed's exported weights on a split."""
    import torch

    from ..inference import load_network, predict
    from ..progress import track
    from ..tasks import channels

    truths, classes = truth(run, split), report["classes"]
    weights = Paths(run.scale).weights(run.experiment, seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_network(run, channels(run.task, len(classes)), weights)
    network = network.to(memory_format=torch.channels_last).to(device)
    metrics = collect(run.task, classes, report["ignore_index"])
    predictions = track(
        predict(network, split.images, task=run.task), len(split.images), f"{run.experiment} seed {seed}"
    )
    for name, expected, prediction in zip(split.names, truths, predictions, strict=True):
        try:
            metrics.update(expected, prediction)
        except DejavuError as error:
            raise DejavuError(f"image '{name}' of the prepared '{run.dataset}': {error}") from None
    return metrics.compute()


def truth(run: Run, split: Split) -> np.ndarray:
    """The array of a split that a run's task is measured against.

    Raises DejavuError where the prepared dataset has none.
    """
    from ..tasks import TARGETS

    found: np.ndarray | None = getattr(split, TARGETS[run.task], None)
    if found is None:
        raise DejavuError(
            f"the prepared '{run.dataset}' has no {run.task}, which '{run.experiment}' is measured against: "
            f"'{run.data.source}', which plays its part at scale {run.scale}, must bring it"
        )
    return found


def cost(params: Params, run: Run) -> dict[str, Any]:
    """What the full-size network costs at its dataset's `cost_input`.

    With the classes of the dataset itself, whatever stands in for it.
    """
    from .. import datasets, networks
    from ..cost import measure
    from ..tasks import channels

    outputs = channels(run.task, len(datasets.find(run.dataset).CLASSES))
    size = params.cost_input(run.dataset)
    gmacs, params_m = measure(
        lambda: networks.build(run.network.module, outputs, **run.network.options), size
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
