"""What holds for every task, whichever it is: the facts in its file, its targets and its predictions."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT

from dejavu import tasks
from dejavu.datasets.prepared.store import KINDS
from dejavu.errors import DejavuError
from dejavu.metrics import METRICS, collect
from dejavu.tasks import segments
from dejavu.tasks.resampling import Crop
from dejavu.tasks.task import Queries, Task

K, SIZE = 5, (16, 24)
every_task = pytest.mark.parametrize("task", tasks.names())
every_dense_task = pytest.mark.parametrize(
    "task", [task for task in tasks.names() if not tasks.describe(task).queries]
)


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def targets(task: str, count: int = 2) -> torch.Tensor:
    return tasks.load(task).random_target(K, count, SIZE, numbers())


def prediction(task: str) -> torch.Tensor | Queries:
    if tasks.describe(task).queries:
        return Queries(torch.randn(2, 7, K + 1), torch.randn(2, 7, *SIZE))
    channels = tasks.channels(task, K)
    assert isinstance(channels, int)
    return torch.randn(2, channels, *SIZE, generator=numbers(1))


@every_task
def test_the_facts_read_without_torch_are_those_of_the_task(task: str) -> None:
    loaded, facts = tasks.load(task), tasks.describe(task)
    assert isinstance(loaded, Task) and task == loaded.name
    assert (ROOT / "dejavu" / "tasks" / f"{task}.py").is_file()
    assert all(
        getattr(loaded, field.name) == getattr(facts, field.name) for field in dataclasses.fields(facts)
    )


def test_reading_the_names_imports_no_torch() -> None:
    code = (
        "import sys; from dejavu import tasks; [tasks.describe(name) for name in tasks.names()]; "
        "print(sorted({'numpy', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


@every_task
def test_a_task_has_an_array_and_metrics(task: str) -> None:
    facts = tasks.describe(task)
    assert KINDS[facts.array] == (np.dtype(facts.dtype).type, facts.item)
    assert facts.metrics and all(METRICS[key].task == task for key in facts.metrics)
    assert callable(collect(task, ["a"] * facts.has_classes, things=[True] * facts.has_classes).update)


def test_an_unknown_task_is_refused() -> None:
    for call in (tasks.describe, tasks.load):
        with pytest.raises(DejavuError, match="unknown task 'dept', did you mean 'depth'"):
            call("dept")


@every_task
def test_random_targets_are_what_the_task_learns(task: str) -> None:
    made, facts = targets(task), tasks.describe(task)
    assert made.shape == facts.target_shape(2, SIZE)
    assert made.is_floating_point() != facts.has_classes
    if facts.has_classes:
        classes = tasks.load(task).class_ids(made)
        assert classes.shape == (2, *SIZE) and set(classes.unique().tolist()) <= set(range(K))


def test_random_targets_are_within_their_range() -> None:
    assert targets("depth").min() >= 1 and targets("depth").isfinite().all()
    torch.testing.assert_close(targets("normals").norm(dim=1), torch.ones(2, *SIZE))
    assert set(segments.classes_of(targets("panoptic").numpy()).ravel().tolist()) <= set(range(K))


@every_task
def test_what_a_crop_shows_outside_of_the_image_is_unknown(task: str) -> None:
    outside = torch.full((2, 4, 6, 2), 3.0)
    crop = Crop(outside, torch.ones(2, dtype=torch.float64), torch.ones(2))
    shown = tasks.load(task).crop(targets(task), crop, 255)
    assert shown.shape == tasks.describe(task).target_shape(2, (4, 6))
    assert set(shown.unique().tolist()) == {tasks.load(task).unknown_value(255)}


@every_task
def test_an_array_becomes_targets_with_its_channels_first(task: str) -> None:
    facts = tasks.describe(task)
    stored = torch.zeros(2, *SIZE, *facts.item, dtype=getattr(torch, facts.dtype.replace("uint16", "int32")))
    assert tasks.load(task).from_array(stored).shape == facts.target_shape(2, SIZE)
    assert tasks.load(task).from_array(stored[0]).shape == facts.target_shape(2, SIZE)[1:]


@every_task
@pytest.mark.parametrize("plain", [True, False])
def test_a_condition_has_the_tasks_channels(task: str, plain: bool) -> None:
    condition = tasks.load(task).condition(prediction(task), plain, (0.0, 10.0))
    assert condition.shape == (2, tasks.channels(task, K), *SIZE)
    assert tasks.load(task).disagreement(condition, condition).abs() < 1e-6


@every_dense_task
def test_a_final_prediction_has_the_form_of_the_stored_target(task: str) -> None:
    facts, maps = tasks.describe(task), prediction(task)
    assert isinstance(maps, torch.Tensor)
    final = tasks.load(task).finish(maps, (8, 12))
    assert final.shape == (2, 8, 12, *facts.item)
    pixels = tasks.load(task).to_png(final[0].numpy(), predicted=True)
    assert pixels.dtype in (np.uint8, np.uint16) and pixels.shape == (8, 12, *facts.item)


@every_dense_task
def test_maps_for_consistency_are_within_0_and_1(task: str) -> None:
    loaded, maps = tasks.load(task), prediction(task)
    assert isinstance(maps, torch.Tensor)
    for shown in (
        loaded.consistency_prediction(maps.abs(), numbers(2)),
        loaded.consistency_target(targets(task), maps.shape[1]),
    ):
        assert shown.shape == maps.shape and shown.min() >= -1e-6 and shown.max() <= 1 + 1e-6


class Height(Task):
    """The least that a new task writes."""

    def compare(
        self, maps: torch.Tensor, target: torch.Tensor, ignore_index: int, weight: torch.Tensor | None
    ) -> torch.Tensor:
        return (maps[:, 0] - target).abs().mean()


def test_a_task_that_gives_its_loss_alone_can_be_learnt_and_scored() -> None:
    height = Height(
        name="height", title="height", array="depth", dtype="float32", metrics={}, channels=1, keys=("out",)
    )
    maps, target = torch.rand(2, 1, *SIZE), height.random_target(K, 2, SIZE, numbers())
    assert torch.equal(height.loss({"out": maps}, target), (maps[:, 0] - target).abs().mean())
    grid = torch.nn.functional.affine_grid(
        torch.eye(2, 3)[None].repeat(2, 1, 1), [2, 1, *SIZE], align_corners=False
    )
    assert torch.equal(height.crop(target, Crop(grid, torch.ones(2), torch.ones(2)), 255), target)
    assert torch.equal(height.condition(maps, False, (0.0, 1.0)), maps)
    assert height.finish(maps, SIZE).shape == (2, *SIZE)
    for call in (height.class_ids, height.consistency_prediction):
        with pytest.raises(DejavuError, match="the task height has no"):
            call(maps)
