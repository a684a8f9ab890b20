"""`dejavu evaluate EXPERIMENT`: the exported weights of every seed -> one metrics file each.

How the network is asked is the experiment's `protocol`. A training measures what it exported at its end,
while everything is loaded, and keeps that in its working folder: then this stage publishes it in a moment, as
long as weights, data, configuration and code are the same.
"""

from __future__ import annotations

import json

from ..config import Params
from ..config.paths import Paths, drop_other_seeds
from ..metrics import METRICS, main_metric
from ..system.files import write_json
from ..training.measured import kept, measured, training_of


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
    from ..datasets.prepared.store import read_report
    from ..system.provenance import write_sidecar

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
