"""What holds for every entry of METRICS, whichever task has it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from helpers import ROOT

from dejavu.config import loading
from dejavu.errors import DejavuError
from dejavu.metrics import METRICS, collect, collect_main, main_metric
from dejavu.metrics.depth import DepthMetrics
from dejavu.tasks import names
from dejavu.tasks.segments import VOID

PARAMS = loading.load(ROOT / "params.yaml")

TASKS = names()
CLASSES = ("sky", "road", "car")
THINGS = (False, True, True)
MEASURED = [key for key, metric in METRICS.items() if metric.task in TASKS]  # others are made of these
OF_CLASSES = {"iou", "classes"}  # in results files beside the metrics: numbers a class
UNKNOWN = {"semantic": 255, "panoptic": VOID, "depth": 0, "normals": 0}  # what says: no ground truth here


def empty(task: str | Sequence[str]) -> Any:
    return collect(task, CLASSES, things=THINGS)


def pair(task: str, error: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ground truth with holes, and a prediction that is the worse the larger `error` is."""
    rng = np.random.default_rng(seed)
    hole = rng.random((20, 30)) < 0.1
    if task == "semantic":
        truth = rng.integers(0, len(CLASSES), hole.shape)
        wrong = (truth + rng.integers(1, len(CLASSES), hole.shape)) % len(CLASSES)
        return np.where(hole, 255, truth), np.where(rng.random(hole.shape) < error, wrong, truth)
    if task == "panoptic":  # a segment a row, six of a class and more; of some, more is wrong
        row = np.arange(20)[:, None]
        truth = np.broadcast_to(row % 3 * 256 + row // 3, hole.shape)
        wrong = rng.random(hole.shape) < error * np.array([0.3, 0.6, 1.0, 1.7])[row // 3 % 4]
        return np.where(hole, VOID, truth), np.where(wrong, (truth // 256 + 1) % 3 * 256 + 9, truth)
    if task == "depth":
        truth = rng.uniform(1, 9, hole.shape)
        return np.where(hole, 0, truth), truth * np.exp(error * rng.standard_normal(hole.shape))
    truth = rng.standard_normal((*hole.shape, 3))
    truth /= np.linalg.norm(truth, axis=-1, keepdims=True)
    return np.where(hole[..., None], 0, truth), truth + error * rng.standard_normal(truth.shape)


def values(task: str, error: float) -> dict:
    metrics = empty(task)
    metrics.update(*pair(task, error))
    return metrics.compute()


@pytest.mark.parametrize("task", TASKS)
def test_a_task_computes_its_metrics_and_no_others(task: str) -> None:
    computed = set(values(task, 0.3)) - OF_CLASSES
    assert computed == {key for key, metric in METRICS.items() if metric.task == task}
    json.dumps(values(task, 0.3), allow_nan=False)


@pytest.mark.parametrize("key", MEASURED)
def test_the_direction_is_right(key: str) -> None:
    best, good, bad = (values(METRICS[key].task, error)[key] for error in (0.0, 0.35, 0.7))
    assert (best > good > bad) if METRICS[key].higher_is_better else (best < good < bad)


@pytest.mark.parametrize("key", MEASURED)
def test_a_perfect_prediction_has_the_best_value_there_is(key: str) -> None:
    metric = METRICS[key]
    best = 0 if not metric.higher_is_better else 100 if metric.unit == "%" else 1
    assert values(metric.task, 0.0)[key] == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_counts_as_its_images_one_by_one(task: str) -> None:
    """To the bit; and so does a mask that says nothing."""
    pairs = [pair(task, 0.3, seed) for seed in range(3)]
    one_by_one, batch, masked = (empty(task) for _ in range(3))
    for truth, prediction in pairs:
        one_by_one.update(truth, prediction)
    truths, predictions = (np.stack([pair[side] for pair in pairs]) for side in (0, 1))
    batch.update(truths, predictions)
    masked.update(truths, predictions, mask=np.ones(truths.shape[:3], bool))
    assert one_by_one.compute() == batch.compute() == masked.compute()


@pytest.mark.parametrize("task", TASKS)
def test_what_a_mask_leaves_out_counts_as_if_it_had_no_ground_truth(task: str) -> None:
    truth, prediction = pair(task, 0.3)
    keep = np.random.default_rng(1).random(truth.shape[:2]) < 0.6
    masked, without = empty(task), empty(task)
    masked.update(truth, prediction, mask=keep)
    chosen = keep if truth.ndim == 2 else keep[..., None]
    without.update(np.where(chosen, truth, UNKNOWN[task]), prediction)
    assert masked.compute() == without.compute()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mask", [np.ones((20, 29), bool), np.ones((20, 30), int)], ids=["size", "integers"])
def test_a_mask_of_another_form_is_refused(task: str, mask: np.ndarray) -> None:
    with pytest.raises(DejavuError, match=r"the mask is \w+ \(20, .*bool \(20, 30\) is needed"):
        empty(task).update(*pair(task, 0.3), mask=mask)


@pytest.mark.parametrize("task", TASKS)
def test_an_update_with_a_bad_image_counts_nothing_of_its_batch(task: str) -> None:
    metrics = empty(task)
    metrics.update(*pair(task, 0.3))
    before = metrics.compute()
    truths, predictions = (np.stack([pair(task, 0.3, seed)[side] for seed in (1, 2)]) for side in (0, 1))
    predictions[1] = {"semantic": 77, "panoptic": 77 * 256}.get(task, np.nan)
    with pytest.raises(DejavuError):
        metrics.update(truths, predictions)
    assert metrics.compute() == before


def test_several_tasks_are_collected_at_once() -> None:
    several, alone = empty(TASKS), {task: empty(task) for task in TASKS}
    for seed in range(2):
        pairs = {task: pair(task, 0.3, seed) for task in TASKS}
        several.update(*({task: sides[side] for task, sides in pairs.items()} for side in (0, 1)))
        for task, sides in pairs.items():
            alone[task].update(*sides)
    expected = {key: value for one in alone.values() for key, value in one.compute().items()}
    assert several.compute() == expected
    assert set(MEASURED) | OF_CLASSES == set(expected)


def test_several_tasks_name_the_one_at_fault() -> None:
    truth, prediction = ({task: pair(task, 0.3)[side] for task in TASKS} for side in (0, 1))
    with pytest.raises(DejavuError, match="the prediction has no 'normals'"):
        empty(TASKS).update(truth, {"semantic": 0, "panoptic": 0, "depth": 0})
    with pytest.raises(DejavuError, match="^depth: the prediction's shape"):
        collect(["normals", "depth"]).update(truth, prediction | {"depth": prediction["depth"][1:]})
    with pytest.raises(DejavuError, match="did you mean 'depth'"):
        collect(["dept"])


def test_the_main_metrics_are_those_of_the_table() -> None:
    expected = {"semantic": "miou", "panoptic": "pq", "depth": "depth_aerr", "normals": "normal_merr"}
    assert {task: main_metric(task) for task in TASKS} == expected


@pytest.mark.parametrize("task", TASKS)
def test_a_main_metric_counted_alone_is_the_same_number(task: str) -> None:
    alone = collect_main(task, CLASSES, things=THINGS)
    alone.update(*pair(task, 0.3))
    assert alone.compute()[main_metric(task)] == values(task, 0.3)[main_metric(task)]


def test_names_in_print_differ() -> None:
    assert len({metric.name for metric in METRICS.values()}) == len(METRICS)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(DejavuError, match="did you mean 'normals'"):
        collect("normal")


def test_importing_the_package_is_light() -> None:
    code = "import sys, dejavu.metrics; print(sorted({'numpy', 'torch', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_depth_is_collected_as_the_protocol_says() -> None:
    """Of KITTI's: caps, crop and median scaling reach the metrics, of several tasks, too."""
    said = PARAMS.protocols["kitti"].depth
    assert said is not None
    options = said.model_dump(exclude_none=True)
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(1, 100, (2, 60, 80))
    expected = DepthMetrics(1e-3, 80.0, "garg", median_scaling=True)
    found, several = (collect(task, depth=options) for task in ("depth", ["depth", "normals"]))
    normals = rng.normal(size=(60, 80, 3))
    expected.update(truth, prediction)
    found.update(truth, prediction)
    several.update({"depth": truth, "normals": normals}, {"depth": prediction, "normals": normals})
    assert found.compute() == expected.compute() != metrics_of_all_pixels(truth, prediction)
    assert several.compute()["abs_rel"] == expected.compute()["abs_rel"]


def metrics_of_all_pixels(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    everywhere = DepthMetrics()
    everywhere.update(truth, prediction)
    return everywhere.compute()
