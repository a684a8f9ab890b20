"""`dejavu evaluate EXPERIMENT`: the exported weights of every seed -> one metrics file each.

The experiment's `protocol` sets how the network is applied to images. A training measures its exported
weights at its end, while everything is loaded, and stores the result in its working folder. This command
publishes that result if weights, data, configuration and code are the same.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..system.files import write_json
from .common import add_name, job, print_json
from .completion import completed, names_of

if TYPE_CHECKING:
    from ..config import Params, Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's name, `--again` and `--protocol`."""
    add_name(parser, "experiment")
    parser.add_argument(
        "--again", action="store_true", help="measure anew what the training measured at its end"
    )
    protocol = parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="try another of params.yaml's protocols: metrics are printed, and no file is written",
    )
    completed(protocol, names_of("protocols"))


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    with job(args) as (params, scale):
        if args.protocol is None:
            evaluate_experiment(params, args.name, scale, args.again)
        else:
            try_protocol(params, args.name, scale, args.protocol)


def try_protocol(params: Params, name: str, scale: str, protocol: str) -> None:
    """Measure all seeds of an experiment by another of params.yaml's protocols, and print metrics as JSON.

    Raises DejavuError if weights or data are missing, damaged or do not fit, or the protocol does not fit.
    """
    from ..training.measured import measured, training_of

    chosen = params.get_protocol(protocol)
    run, report = _prepared(params, name, scale)
    tried = run.model_copy(update={"protocol": chosen})
    if tried.protocol_fault:
        raise DejavuError(tried.protocol_fault)
    for seed in run.seeds:
        training_of(run, seed, report)  # checks that the weights belong to the configuration
    by_seed = {seed: measured(params, tried, seed, report)["metrics"] for seed in run.seeds}
    print_json({"experiment": name, "protocol": protocol, "seeds": by_seed})


def evaluate_experiment(params: Params, name: str, scale: str, again: bool = False) -> None:
    """Measure all seeds of an experiment and write their metrics, with a sidecar of data that may differ.

    The metrics file of a seed has the same bytes for the same weights, data, machine and number of threads.
    Files of seeds that params.yaml no longer lists are removed. `again`: measure even if the training has
    stored metrics.

    Raises DejavuError if weights or data are missing, damaged or do not fit.
    """
    from ..config.paths import Paths, drop_other_seeds
    from ..metrics import main_metric
    from ..system.provenance import write_sidecar
    from ..training.measured import kept, measured, training_of

    run, report = _prepared(params, name, scale)
    paths, common = Paths(scale), _about(run, report)
    drop_other_seeds(paths.metrics(name, 0).parent, run.seeds)
    scores: dict[str, list[float]] = {main_metric(task): [] for task in run.tasks}
    for seed in run.seeds:
        trained = training_of(run, seed, report)
        result = (None if again else kept(params, run, seed, report)) or measured(params, run, seed, report)
        content = common | {"seed": seed, "cost": result["cost"], "metrics": result["metrics"]}
        write_json(paths.metrics(name, seed), content)
        write_sidecar(
            paths.sidecar(name, seed),
            command=f"dejavu evaluate {name} --scale {scale}",
            seconds=result["seconds"],
            train=trained,
        )
        for key, values in scores.items():
            values.append(result["metrics"][key])
    seeds = "1 seed" if len(run.seeds) == 1 else f"{len(run.seeds)} seeds"
    print(f"{name} at scale {scale}: {seeds} measured on {common['count']} images, {_in_words(scores)}")


def _prepared(params: Params, name: str, scale: str) -> tuple[Run, dict[str, Any]]:
    """Return the experiment's run and the report of its prepared data."""
    from ..config.paths import Paths
    from ..datasets.prepared.store import read_report

    run = params.run(name, scale)
    return run, read_report(Paths(scale).prepared(run.dataset), run.data)


def _about(run: Run, report: dict[str, Any]) -> dict[str, Any]:
    """Return the common content of the metrics files of all seeds."""
    from ..config import FORMAT
    from ..datasets import stands_in_for

    about = {
        "format": FORMAT,
        "experiment": run.experiment,
        "scale": run.scale,
        "dataset": run.data.source,
        "stands_in_for": stands_in_for(run.dataset, run.data.source),
        "split": report["evaluate"],
        "count": report["splits"][report["evaluate"]]["count"],
        "config": run.as_dict(),
    }
    # Sentences for readers of the table.
    remarks = [*report.get("remarks", ()), *([_text(run, report)] if run.reads_text else [])]
    return about | ({"remarks": remarks} if remarks else {})


def _text(run: Run, report: dict[str, Any]) -> str:
    """Say which texts a row with DejaVu-TS compares images with."""
    from ..datasets.prepared.captions import has_captions

    captions = "one of the image's captions, drawn anew in each epoch"
    prompts = "a prompt that names the classes of the image's labels"
    return f"The text of {run.experiment} (DejaVu-TS) is {captions if has_captions(report) else prompts}."


def _in_words(scores: dict[str, list[float]]) -> str:
    """Return each metric's name, its value for every seed, and its unit."""
    from ..metrics import METRICS

    words = []
    for key, values in scores.items():
        numbers = " ".join(f"{value:.{METRICS[key].digits}f}" for value in values)
        words.append(f"{METRICS[key].name} {numbers} {METRICS[key].unit}")
    return ", ".join(words)
