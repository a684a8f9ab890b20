"""Metrics that a training measures at its end and keeps in its working folder, for `dejavu evaluate`."""

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
    """Measure a seed's exported weights: metrics, the deployed network's cost, and the seconds it took."""
    began = time.monotonic()
    split = open_split(Paths(run.scale).prepared(run.dataset), report["evaluate"])
    metrics = measure(run, seed, report, split)
    seconds = round(time.monotonic() - began, 2)
    return {"metrics": metrics, "cost": cost(params, run), "seconds": seconds}


def keep(params: Params, run: Run, seed: int, report: dict[str, Any]) -> bool:
    """Measure a trained seed and keep the result; return False if it had been measured before."""
    if kept(params, run, seed, report) is not None:
        return False
    result = measured(params, run, seed, report)
    path = run_folder(run, seed, report).metrics
    write_json(path, result | {"key": _key(params, run, seed, report)})
    return True


def kept(params: Params, run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any] | None:
    """Return the kept result for the same weights, data and code; None if there is none."""
    try:
        result = read_json(run_folder(run, seed, report).metrics)
        return result if result["key"] == _key(params, run, seed, report) else None
    except (DejavuError, OSError, KeyError, TypeError):
        return None


def _key(params: Params, run: Run, seed: int, report: dict[str, Any]) -> str:
    """Return a hash of all that a measurement depends on."""
    settings = {key: value for key, value in run.as_dict().items() if key not in ("seeds", "source")}
    data = checksums({"split": report["splits"][report["evaluate"]]})
    weights = sha256(Paths(run.scale).weights(run.experiment, seed))
    code = code_hash(["training.measured", *measuring_roots(run)])
    return json_hash([settings, seed, weights, data, report["classes"], params.cost_input(run.dataset), code])


def training_of(run: Run, seed: int, report: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary of a training; None if the weights came from elsewhere.

    Raises DejavuError where the weights were trained for another configuration or on other data.
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
