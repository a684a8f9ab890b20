"""Images without labels: they join every batch, teach the tasks nothing, and DejaVu by its losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dejavu.compute.random import generator
from dejavu.config import Run
from dejavu.datasets.prepared.store import Split
from dejavu.errors import DejavuError
from dejavu.tasks import load
from dejavu.tasks.predictions import Queries
from dejavu.training import batches, loop
from dejavu.training.augment.sampling import epoch_order, order_beside_unlabelled
from dejavu.training.checkpoint import RunFolder
from dejavu.training.data import Data
from dejavu.training.objective import build_objective
from dejavu.training.unlabelled import of_images
from unit.training.test_loop import make_data, make_run

CPU = torch.device("cpu")
TRAIN, MORE = 7, 5
EVERY = ["hrnet18_dejavu", "mask2former_swint_coco_dejavu", "depth_blocks", "normals_blocks", "mtl_dejavu"]
"""DejaVu rows of every task, and of several at once"""


def with_more(name: str, **changes: Any) -> Run:
    return make_run(name, labelled="with_unlabelled", **({"batch_size": 4, "cat_max_ratio": 1.0} | changes))


def data_of(run: Run, of_many_sizes: bool = False) -> Data:
    """Training images, and others that are brighter than any of them."""
    data = make_data(TRAIN, tasks=run.tasks)
    more = np.full((MORE, *data.train.images.shape[1:]), 250, np.uint8)
    more -= np.arange(MORE, dtype=np.uint8)[:, None, None, None]
    known = {**vars(data), "unlabelled": more}
    if of_many_sizes:
        known["unlabelled"] = [image[: 24 + number] for number, image in enumerate(more)]
        arrays = {
            key: getattr(data.train, key) for key in ("images", "labels", "panoptic", "depth", "normals")
        }
        known["train"] = Split(names=data.train.names, **{key: [*array] for key, array in arrays.items()})
    return Data(**known)


def unknown(run: Run, batch: batches.Batch) -> np.ndarray:
    """Whether an image of a batch has no ground truth of any task, (N,) bool."""
    targets = batch.target if isinstance(batch.target, dict) else {run.tasks[0]: batch.target}
    hidden = [
        (target == load(task).unknown_value(255)).flatten(1).all(1).numpy()
        for task, target in targets.items()
    ]
    return np.logical_and.reduce(hidden)


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("class_uniform", [0.0, 0.5])
def test_every_second_image_has_no_labels_and_none_is_preferred(size: int, class_uniform: float) -> None:
    presence = np.eye(41, 3, dtype=bool)

    def draw(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = generator(3, "order", epoch)
        labelled = epoch_order(41, numbers, class_uniform, presence)
        return order_beside_unlabelled(labelled, 11, size, 41 // size, numbers)

    order, classes = draw(1)
    rows = order.reshape(-1, size)
    assert len(rows) == 41 // size and ((rows < 41).sum(1) == size // 2).all()
    for processes in (2, 4):  # each has labels
        if size // processes >= 2:
            assert ((rows.reshape(len(rows), processes, -1) < 41).sum(2) == size // processes // 2).all()
    assert np.ptp(np.bincount(order[order >= 41] - 41, minlength=11)) <= 1
    assert (classes[order >= 41] == -1).all() and (class_uniform > 0) == (classes >= 0).any()
    assert order.max() < 52 and np.array_equal(order, draw(1)[0]) and not np.array_equal(order, draw(2)[0])
    assert set(np.concatenate([draw(epoch)[0] for epoch in range(30)])) == set(range(52)) or class_uniform


@pytest.mark.parametrize("of_many_sizes", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_batches_have_images_of_both_and_targets_of_the_labelled(name: str, of_many_sizes: bool) -> None:
    run = with_more(name, scale_range=(1.0, 1.0))
    drawn = batches.Batches(run, 0, data_of(run, of_many_sizes))
    assert drawn.total == batches.Batches(make_run(name, batch_size=4), 0, data_of(run)).total
    for step in range(drawn.total):
        chosen, _ = drawn.indices(step)
        batch = drawn.augmented(drawn.read(step), step, CPU)
        assert batch.labelled is not None and batch.images.shape[2:] == run.train.crop
        assert (
            np.array_equal(np.flatnonzero(chosen < TRAIN), batch.labelled.numpy())
            and len(batch.labelled) == 2
        )
        assert np.array_equal(unknown(run, batch), chosen >= TRAIN)
        brightest = batch.images.flatten(1).max(1).values.numpy()
        assert brightest[chosen >= TRAIN].min() > brightest[chosen < TRAIN].max()


@pytest.mark.parametrize("name", EVERY)
def test_the_tasks_loss_is_that_of_the_labelled_images_and_dejavu_learns_from_all(name: str) -> None:
    run = with_more(name)
    data = data_of(run)
    objective = build_objective(run, 0, data)
    drawn = batches.Batches(run, 0, data)
    batch = drawn.augmented(drawn.read(0), 0, CPU)
    images = batch.images.requires_grad_()
    objective.eval()  # BatchNorm would join the images of a batch; auxiliary outputs have no loss then
    objective.criterion.train()
    objective.network.train()
    for module in objective.network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    assert batch.labelled is not None
    rest = np.setdiff1d(np.arange(4), batch.labelled.numpy())
    losses = objective(batch, 0.5, generator(0, "redact", 0))
    (of_task,) = torch.autograd.grad(losses.task, images, retain_graph=True)
    assert of_task[batch.labelled].flatten(1).any(1).all() and not of_task[rest].any()
    assert losses.dejavu is not None
    (of_dejavu,) = torch.autograd.grad(losses.dejavu, images)
    assert of_dejavu.flatten(1).any(1).all()


def test_a_pair_has_the_same_batches_and_a_resumed_run_goes_on_with_them() -> None:
    base, cycle = (with_more(f"mask2former_swint_unlabelled{end}") for end in ("", "_cycle"))
    data = data_of(base)
    whole = [
        [drawn.augmented(drawn.read(step), step, CPU) for step in range(drawn.total)]
        for drawn in (batches.Batches(run, 1, data) for run in (base, cycle))
    ]
    for one, other in zip(*whole, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.target, other.target)
    ((_, resumed),) = list(batches.Batches(base, 1, data).from_step(len(whole[0]) - 1, CPU, "test"))
    assert torch.equal(resumed.images, whole[0][-1].images) and resumed.labelled is not None


def test_killed_and_resumed_is_uninterrupted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_more("ablation_cycle_prediction")
    data, save = data_of(run), RunFolder.save
    finished = [RunFolder(tmp_path / name, "test", "code") for name in ("whole", "killed")]
    loop.train(run, 0, data, finished[0])

    class Killed(BaseException):
        pass

    def save_and_die(self: RunFolder, state: dict) -> None:
        save(self, state)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunFolder, "save", save_and_die)
        loop.train(run, 0, data, finished[1], checkpoint_seconds=0)
    loop.train(run, 0, data, finished[1])
    for file in ("weights", "regenerator", "log"):
        first, second = (getattr(folder, file).read_bytes() for folder in finished)
        assert first == second, file


def test_images_without_labels_have_no_text() -> None:
    run = with_more("mask2former_swint_coco_text")
    data = data_of(run)
    drawn = batches.Batches(run, 0, data)
    for step in range(drawn.total):
        chosen, texts = drawn.indices(step)[0], drawn.read(step).captions
        assert texts is not None and data.captions is not None
        for number, text in zip(chosen, texts, strict=True):
            assert text == "" if number >= TRAIN else text in data.captions[number]


def test_a_row_that_needs_them_and_has_none_is_refused() -> None:
    run = with_more("hrnet18")
    with pytest.raises(
        DejavuError, match=r"'hrnet18': labelled is with_unlabelled, and 'cityscapes' has no images"
    ):
        batches.Batches(run, 0, Data(**{**vars(make_data(TRAIN)), "unlabelled": None}))


def test_outputs_of_any_form_are_cut_to_some_images() -> None:
    whole = torch.arange(6).view(3, 2)
    output = {"out": whole, "auxiliary": {"a": whole + 1}, "layers": [(whole, 5)], "scale": torch.tensor(2.0)}
    cut = of_images(output | {"queries": Queries(whole, whole)}, torch.tensor([0, 2]))
    assert cut["out"].tolist() == [[0, 1], [4, 5]] and cut["auxiliary"]["a"].tolist() == [[1, 2], [5, 6]]
    assert cut["layers"][0][0].tolist() == [[0, 1], [4, 5]] and cut["layers"][0][1] == 5
    assert isinstance(cut["queries"], Queries) and len(cut["queries"].masks) == 2 and cut["scale"] == 2
