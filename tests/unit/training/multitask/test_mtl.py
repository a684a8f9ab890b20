"""Several tasks of one network: what they see, their losses, their learning rates and their predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import ROOT
from torch import nn
from torch.nn import functional as F

import dejavu
from dejavu import config, networks
from dejavu.config import loading
from dejavu.datasets.prepared.store import Split
from dejavu.errors import DejavuError
from dejavu.evaluation.predictor import Predictor
from dejavu.tasks import channels, load
from dejavu.training import batches
from dejavu.training import optimizer as optimisation
from dejavu.training.augment.crops import augment
from dejavu.training.augment.windows import draw_windows
from dejavu.training.data import Data
from dejavu.training.losses import TaskLosses
from dejavu.training.multitask import partial_labels

PARAMS = loading.load(ROOT / "params.yaml")
TASKS = ("semantic", "depth", "normals")
SIZE = (24, 36)


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_targets(count: int = 4, size: tuple[int, int] = SIZE) -> dict[str, torch.Tensor]:
    draw = numbers(1)
    return {
        "semantic": torch.randint(5, (count, *size), generator=draw),
        "depth": 1 + torch.rand(count, *size, generator=draw),
        "normals": F.normalize(torch.randn(count, 3, *size, generator=draw), dim=1),
    }


def make_data(count: int = 6) -> Data:
    targets = make_targets(count)
    images = torch.randint(256, (count, *SIZE, 3), generator=numbers(2), dtype=torch.uint8).numpy()
    split = Split(
        names=[str(number) for number in range(count)],
        images=images,
        labels=targets["semantic"].to(torch.uint8).numpy(),
        depth=targets["depth"].numpy(),
        normals=targets["normals"].movedim(1, -1).half().numpy(),
    )
    return Data(tasks=TASKS, train=split, val=split, classes=list("abcde"), ignore_index=255)


def make_run(name: str, **changes) -> config.Run:
    run = PARAMS.run(name, "smoke")
    changed = {"batch_size": 4, "crop": (16, 24)} | changes
    return run.model_copy(update={"train": run.train.model_copy(update=changed)})


@pytest.mark.parametrize("listed", [False, True], ids=["one size", "many sizes"])
def test_all_tasks_are_cut_as_each_alone_would_be(listed: bool) -> None:
    images, targets = torch.randn(4, 3, *SIZE, generator=numbers()), make_targets()
    given = {task: list(value) for task, value in targets.items()} if listed else targets
    options = dict(crop=(16, 16), scale_range=(1.0, 2.0), flip=True, ignore_index=255)
    shown = list(images) if listed else images
    seen, together = augment(shown, given, task=TASKS, generator=numbers(5), **options)
    assert set(together) == set(TASKS)
    for task in TASKS:
        same, alone = augment(shown, given[task], task=task, generator=numbers(5), **options)
        assert torch.equal(seen, same) and torch.equal(together[task], alone)


def test_scales_are_the_ones_to_choose_from_each_as_often() -> None:
    choices = (1.0, 1.2, 1.5)
    scale = draw_windows([SIZE] * 3000, (8, 8), (1.0, 1.0), False, numbers(), choices).scale
    assert set(scale.tolist()) == set(choices)
    for choice in choices:  # five standard deviations
        assert abs(int((scale == choice).sum()) - 1000) < 5 * (3000 * 2 / 9) ** 0.5


def test_a_magnified_crop_shows_things_nearer() -> None:
    depth = torch.full((2, *SIZE), 3.0)
    images = torch.zeros(2, 3, *SIZE)
    options = dict(crop=(16, 24), scale_range=(1.0, 1.0), flip=False, ignore_index=255)
    _, seen = augment(
        images, {"depth": depth}, task=["depth"], generator=numbers(), scale_choices=(1.5,), **options
    )
    assert torch.allclose(seen["depth"], torch.full((2, 16, 24), 2.0))


def make_predictions() -> dict[str, torch.Tensor]:
    draw = numbers(3)
    return {
        task: torch.randn(4, count, *SIZE, generator=draw, requires_grad=True)
        for task, count in {"semantic": 5, "depth": 1, "normals": 3}.items()
    }


def test_losses_of_several_tasks_are_those_of_each() -> None:
    predictions, targets = make_predictions(), make_targets()
    found = TaskLosses(TASKS)(predictions, targets)
    assert list(found) == list(TASKS)
    for task in TASKS:
        assert torch.equal(found[task], load(task).loss(predictions[task], targets[task]))


def test_an_image_without_labels_takes_its_share_of_the_batch() -> None:
    """MTPSL divides by the number of images, those without a task's label included."""
    predictions, targets = make_predictions(), make_targets()
    known = torch.tensor(
        [[True, False, True], [False, True, True], [True, True, False], [False, False, True]]
    )
    hidden = partial_labels.hide(targets, known)
    found = TaskLosses(TASKS, by_image=True)(predictions, hidden)
    for place, task in enumerate(TASKS):
        alone = [
            load(task).loss(predictions[task][n : n + 1], targets[task][n : n + 1]) * known[n, place]
            for n in range(4)
        ]
        assert torch.allclose(found[task], torch.stack(alone).sum() / 4)


def test_a_missing_task_is_named() -> None:
    predictions = make_predictions()
    del predictions["depth"]
    with pytest.raises(DejavuError, match="must have semantic and depth and normals"):
        TaskLosses(TASKS)(predictions, make_targets())


def test_predictions_of_several_tasks_are_those_of_each() -> None:
    torch.manual_seed(0)
    network = networks.build("segnet", channels(TASKS, 5), width=0.1, depth=0.25).eval()
    images = make_data().train.images
    together = list(Predictor(network, TASKS, batch_size=4).predict(images))
    assert len(together) == len(images)

    class One(nn.Module):
        def __init__(self, task: str) -> None:
            super().__init__()
            self.network, self.task = network, task

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)[self.task]

    for task in TASKS:
        alone = Predictor(One(task), task, batch_size=4).predict(images)
        assert all(np.array_equal(all_[task], one) for all_, one in zip(together, alone, strict=True))


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_labels_that_an_image_lacks_are_never_learnt_from(setting: str) -> None:
    data = make_data()
    kept = partial_labels.available(len(data.train.images), TASKS, setting)
    seen = batches.Batches(make_run("xtc", labelled=setting, scale_choices=(1.0,), crop=SIZE), 0, data)
    raw = seen.read(0)
    batch = seen.augmented(raw, 0, torch.device("cpu"))
    chosen, _ = seen.indices(0)
    assert np.array_equal(batch.available.numpy(), kept[chosen])
    for views in (batch.target, batch.second[1]):
        known = {
            "semantic": (views["semantic"] != 255).flatten(1).any(1),
            "depth": (views["depth"] > 0).flatten(1).any(1),
            "normals": views["normals"].abs().flatten(1).sum(1) > 0,
        }
        found = torch.stack([known[task] for task in TASKS], 1).numpy()
        assert np.array_equal(found, kept[chosen])


def test_the_second_view_is_cut_out_of_the_first() -> None:
    seen = batches.Batches(make_run("xtc", crop=SIZE, scale_choices=(1.0,)), 0, make_data())
    batch = seen.augmented(seen.read(0), 0, torch.device("cpu"))
    again, truths = batch.second
    assert torch.allclose(again, batch.images, atol=1e-5)  # of scale 1 there is one crop
    assert all(torch.equal(truths[task], batch.target[task]) for task in ("semantic", "depth"))
    closer = batches.Batches(make_run("xtc", crop=SIZE, scale_choices=(1.5,)), 0, make_data())
    twice = closer.augmented(closer.read(0), 0, torch.device("cpu"))
    near, first = twice.second[1]["depth"], twice.target["depth"]
    assert near.max() <= first.max() / 1.5 + 1e-6 and near.min() >= first.min() / 1.5 - 1e-6
    assert batches.Batches(make_run("mtl"), 0, make_data()).augmented(seen.read(0), 0, "cpu").second is None


def test_step_schedule_is_torchs_and_what_learns_apart_has_its_own() -> None:
    shared, film = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    module = nn.ParameterList([shared, film])
    settings = config.Optimizer(name="adam", lr=0.0001)
    apart = {film: optimisation.Rate(0.001, 3, 0.5)}
    optimizer = optimisation.build_optimizer(module, settings, apart)
    schedule = config.Schedule(name="step", every=10, factor=0.1)
    scheduler = optimisation.build_scheduler(optimizer, schedule, 40, per_epoch=2)
    oracle = [torch.optim.Adam([nn.Parameter(torch.ones(2))], lr=lr) for lr in (0.0001, 0.001)]
    theirs = [
        torch.optim.lr_scheduler.StepLR(one, every, factor)
        for one, every, factor in zip(oracle, (20, 6), (0.1, 0.5), strict=True)
    ]
    for _ in range(40):
        expected = [one.param_groups[0]["lr"] for one in oracle]
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(expected, rel=1e-12)
        for one in (optimizer, *oracle):
            one.step()
        for one in (scheduler, *theirs):
            one.step()


def test_adam_couples_weight_decay_as_torchs_does() -> None:
    starts = [nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2)]
    settings = config.Optimizer(name="adam", lr=0.01, weight_decay=0.1)
    ours = optimisation.build_optimizer(nn.ParameterList([starts[0]]), settings)
    theirs = torch.optim.Adam([starts[1]], lr=0.01, weight_decay=0.1)
    for parameter, optimizer in zip(starts, (ours, theirs), strict=True):
        parameter.square().sum().backward()
        optimizer.step()
    assert torch.equal(*starts)


def method(redaction: object) -> tuple[dejavu.DejaVu, dict[str, torch.Tensor], torch.Tensor]:
    model = dejavu.DejaVu(nn.Conv2d(3, 9, 1), task=TASKS, num_classes=5, redaction=redaction, stride=4)
    return model, make_predictions(), torch.randn(4, 3, *SIZE, generator=numbers(7))


@pytest.mark.parametrize("told", [["semantic"], ["depth", "normals"]], ids=str)
def test_a_redaction_teaches_the_tasks_that_it_is_for(told: list[str]) -> None:
    model, predictions, images = method({"name": "random_blocks", "tasks": told})
    model.regeneration_loss(images, predictions, numbers()).backward()
    for task, prediction in predictions.items():
        assert bool(prediction.grad.any()) == (task in told)


def test_redactions_by_task_together_teach_all() -> None:
    by_task = [{"name": "random_blocks", "tasks": ["semantic"]}, {"name": "low_pass", "tasks": ["depth"]}]
    model, predictions, images = method(by_task)
    model.regeneration_loss(images, predictions, numbers()).backward()
    assert {task for task, one in predictions.items() if one.grad.any()} == {"semantic", "depth"}


@pytest.mark.parametrize("tasks", [["panoptic"], [], "semantic"], ids=str)
def test_a_redaction_for_no_task_of_the_network_is_refused(tasks: object) -> None:
    with pytest.raises(DejavuError, match=r"redaction\.tasks"):
        method({"name": "random_blocks", "tasks": tasks})


def test_a_network_for_one_task_says_so() -> None:
    with pytest.raises(DejavuError, match="'hrnet' does one task, not semantic and depth"):
        networks.build("hrnet", {"semantic": 5, "depth": 1})
