"""Losses of tasks, against numpy and against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dejavu.errors import DejavuError
from dejavu.metrics import METRICS, main_metric
from dejavu.tasks import channels, describe, load, names
from dejavu.tasks.depth import depth_loss
from dejavu.tasks.normals import normals_loss
from dejavu.tasks.semantic import semantic_loss

K = 5
every_task = pytest.mark.parametrize("task", [task for task in names() if not describe(task).queries])


def target(task: str, size: tuple[int, int] = (8, 12)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    unknown = torch.rand(2, *size, generator=generator) < 0.3
    if task == "semantic":
        return torch.randint(K, (2, *size), generator=generator).masked_fill(unknown, 255)
    if task == "depth":
        return (1 + 9 * torch.rand(2, *size, generator=generator)).masked_fill(unknown, 0)
    normals = F.normalize(torch.randn(2, 3, *size, generator=generator), dim=1)
    return normals.masked_fill(unknown[:, None], 0)


def prediction(task: str, size: tuple[int, int] = (8, 12)) -> torch.Tensor:
    return torch.randn(2, channels(task, K), *size, generator=torch.Generator().manual_seed(2))


def test_every_task_has_a_target_a_metric_and_channels() -> None:
    assert all(main_metric(task) in METRICS for task in names())
    assert [channels(task, K) for task in ("semantic", "depth", "normals")] == [K, 1, 3]


def test_a_panoptic_loss_is_the_networks_own() -> None:
    assert channels("panoptic", K) == K
    with pytest.raises(DejavuError, match="its network's own"):
        load("panoptic").loss(prediction("panoptic"), target("semantic"))


@every_task
def test_what_is_unknown_costs_nothing(task: str) -> None:
    truth, maps = target(task), prediction(task).requires_grad_()
    load(task).loss(maps, truth).backward()
    unknown = (truth == 0).all(1) if task == "normals" else truth == (255 if task == "semantic" else 0)
    assert (maps.grad.abs().sum(1)[unknown] == 0).all() and (maps.grad.abs().sum(1)[~unknown] > 0).all()
    nothing = torch.full_like(truth, 255) if task == "semantic" else torch.zeros_like(truth)
    assert load(task).loss(prediction(task), nothing) == 0


@every_task
@pytest.mark.parametrize("size", [(4, 6), (8, 12), (3, 5)])
def test_predictions_are_compared_at_the_targets_size(task: str, size: tuple[int, int]) -> None:
    maps = prediction(task, size)
    full = F.interpolate(maps, (8, 12), mode="bilinear", align_corners=False)
    assert torch.equal(load(task).loss(maps, target(task)), load(task).loss(full, target(task)))
    assert torch.equal(load(task).loss({"out": maps}, target(task)), load(task).loss(maps, target(task)))


def test_semantic_is_the_mean_cross_entropy() -> None:
    expected = F.cross_entropy(prediction("semantic"), target("semantic"), ignore_index=255)
    torch.testing.assert_close(semantic_loss(prediction("semantic"), target("semantic")), expected)


def test_depth_is_the_mean_absolute_error_in_metres() -> None:
    ours, truth = prediction("depth")[:, 0].numpy(), target("depth").numpy()
    expected = np.abs(ours - truth)[truth > 0].mean()
    assert depth_loss(prediction("depth"), target("depth")).item() == pytest.approx(expected, rel=1e-5)


def test_normals_are_compared_by_their_angle_alone() -> None:
    maps, truth = prediction("normals"), target("normals")
    unit = maps / maps.norm(dim=1, keepdim=True)
    known = truth.norm(dim=1) > 0.5
    expected = (1 - (unit * truth).sum(1))[known].mean()
    torch.testing.assert_close(normals_loss(maps, truth), expected)
    torch.testing.assert_close(normals_loss(7 * maps, truth), expected)
    assert normals_loss(truth, truth).item() == pytest.approx(0, abs=1e-6)
    assert normals_loss(-truth, truth).item() == pytest.approx(2, abs=1e-6)
