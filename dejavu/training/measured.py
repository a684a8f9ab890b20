"""What a training measured of itself at its end, kept in its working folder for `dejavu evaluate`."""

from __future__ import annotations

import time
from typing import Any

from ..config import Params, Run
from ..config.paths import Paths
from ..datasets.prepared.store import checksums, open_split
from ..errors import DejavuError
from ..evaluation.measure import cost, measure, measuring_roots
from ..system.files import read_json, sha256, write_json
from ..system.fingerprint import code_hash, json_hash
from .checkpoint import run_folder


def measured(params: Params, run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a seed's exported weights, the deployed network's cost, and the seconds that it took."""
    began = time.monotonic()
    split = open_split(Paths(run.scale).prepared(run.dataset), report["evaluate"])
    metrics = measure(run, seed, report, split)
    seconds = round(time.monotonic() - began, 2)
    return {"metrics": metrics, "cost": cost(params, run), "seconds": seconds}


def keep(params: Params, run: Run, seed: int, report: dict[str, Any]) -> bool:
    """Measure a seed where its training ended, for `dejavu evaluate` to publish; False if it was before."""
    if kept(params, run, seed, report) is not None:
        return False
    found = measured(params, run, seed, report)
    path = run_folder(run, seed, report).metrics
    write_json(path, found | {"key": _key(params, run, seed, report)})
    return True


def kept(params: Params, run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any] | None:
    """What was measured of these very weights on these data by this code; None if nothing was."""
    try:
        found = read_json(run_folder(run, seed, report).metrics)
        return found if found["key"] == _key(params, run, seed, report) else None
    except (DejavuError, OSError, KeyError, TypeError):
        return None


def _key(params: Params, run: Run, seed: int, report: dict[str, Any]) -> str:
    """A hash of all that a measurement depends on."""
    asked = {key: value for key, value in run.as_dict().items() if key not in ("seeds", "source")}
    data = checksums({"split": report["splits"][report["evaluate"]]})
    weights = sha256(Paths(run.scale).weights(run.experiment, seed))
    code = code_hash(["training.measured", *measuring_roots(run)])
    return json_hash([asked, seed, weights, data, report["classes"], params.cost_input(run.dataset), code])


def training_of(run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any] | None:
    """What training wrote down of itself; None if the weights came from elsewhere.

    Raises DejavuError when it was asked for something else than the run is now.
    """
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
