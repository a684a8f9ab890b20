"""What holds for every entry of METRICS, whichever task has it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from dejavu.errors import DejavuError
from dejavu.metrics import METRICS, collect

CLASSES = ("sky", "road", "car")
TASKS = sorted({metric.task for metric in METRICS.values()})
OF_CLASSES = {"iou"}  # in results files beside the metrics: a number a class


def pair(task: str, error: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ground truth with holes, and a prediction that is the worse the larger `error` is."""
    rng = np.random.default_rng(seed)
    hole = rng.random((20, 30)) < 0.1
    if task == "semantic":
        truth = rng.integers(0, len(CLASSES), hole.shape)
        wrong = (truth + rng.integers(1, len(CLASSES), hole.shape)) % len(CLASSES)
        return np.where(hole, 255, truth), np.where(rng.random(hole.shape) < error, wrong, truth)
    if task == "depth":
        truth = rng.uniform(1, 9, hole.shape)
        return np.where(hole, 0, truth), truth * np.exp(error * rng.standard_normal(hole.shape))
    truth = rng.standard_normal((*hole.shape, 3))
    truth /= np.linalg.norm(truth, axis=-1, keepdims=True)
    return np.where(hole[..., None], 0, truth), truth + error * rng.standard_normal(truth.shape)


def values(task: str, error: float) -> dict:
    metrics = collect(task, CLASSES)
    metrics.update(*pair(task, error))
    return metrics.compute()


@pytest.mark.parametrize("task", TASKS)
def test_a_task_computes_its_metrics_and_no_others(task: str) -> None:
    computed = set(values(task, 0.3)) - OF_CLASSES
    assert computed == {key for key, metric in METRICS.items() if metric.task == task}
    json.dumps(values(task, 0.3), allow_nan=False)


@pytest.mark.parametrize("key", METRICS)
def test_the_direction_is_right(key: str) -> None:
    best, good, bad = (values(METRICS[key].task, error)[key] for error in (0.0, 0.35, 0.7))
    assert (best > good > bad) if METRICS[key].higher_is_better else (best < good < bad)


@pytest.mark.parametrize("key", METRICS)
def test_a_perfect_prediction_has_the_best_value_there_is(key: str) -> None:
    metric = METRICS[key]
    best = 0 if not metric.higher_is_better else 100 if metric.unit == "%" else 1
    assert values(metric.task, 0.0)[key] == pytest.approx(best, abs=1e-9)


def test_names_in_print_differ() -> None:
    assert len({metric.name for metric in METRICS.values()}) == len(METRICS)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(DejavuError, match="did you mean 'normals'"):
        collect("normal")


def test_importing_the_package_is_light() -> None:
    code = "import sys, dejavu.metrics; print(sorted({'numpy', 'torch', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
