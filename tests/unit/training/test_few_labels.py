"""Few labels: which images keep them, what a batch holds, and that a hidden label teaches nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dejavu.compute.random import generator
from dejavu.config import Run
from dejavu.errors import DejavuError
from dejavu.tasks import load
from dejavu.training import batches
from dejavu.training.augment.sampling import half_labelled_order
from dejavu.training.few_labels import hide, with_labels
from dejavu.training.objective import build_objective
from unit.training.test_loop import make_data, make_run

SHARES = [0.125, 0.25, 0.1, 0.3, 0.5, 2 / 3, 0.9]
CPU = torch.device("cpu")


def few(name: str, share: float = 0.25, **changes: object) -> Run:
    return make_run(name, labelled=share, **({"batch_size": 4, "scale_range": (1.0, 1.0)} | changes))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [4, 9, 367])
def test_images_with_labels_are_a_share_at_even_distances(count: int, share: float) -> None:
    chosen = with_labels(count, share)
    assert chosen.shape == (count,) and chosen[0]
    assert 0 <= chosen.sum() - share * count < 1 + 1e-6
    assert len(set(np.diff(chosen.nonzero()[0]))) <= 2


@pytest.mark.parametrize("k", [2, 3, 8, 10])
def test_a_kth_is_every_kth_image(k: int) -> None:
    assert with_labels(367, 1 / k).nonzero()[0].tolist()[:3] == [0, k, 2 * k]
    if k in (2, 8, 10):  # of a third the written decimals are a little less
        assert with_labels(367, 1 / k).nonzero()[0].tolist() == list(range(0, 367, k))


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_half_of_every_batch_has_labels_and_no_image_is_preferred(size: int, share: float) -> None:
    known = with_labels(41, share)
    order = half_labelled_order(known, size, generator(3, "order", 1))
    assert len(order) == 41 // size * size
    assert (known[order].reshape(-1, size).sum(1) == size // 2).all()
    for images in (known, ~known):
        counts = np.bincount(order, minlength=41)[images]
        assert np.ptp(counts) <= 1
    again = half_labelled_order(known, size, generator(3, "order", 1))
    other = half_labelled_order(known, size, generator(3, "order", 2))
    assert np.array_equal(order, again) and not np.array_equal(order, other)


def test_every_image_is_drawn_over_some_epochs() -> None:
    known = with_labels(40, 0.125)
    drawn = [half_labelled_order(known, 8, generator(0, "order", epoch)) for epoch in range(12)]
    assert set(np.concatenate(drawn)) == set(range(40))


@pytest.mark.parametrize("name", ["fpn_lite0_eighth", "fpn_lite0_depth", "fpn_lite0_normals"])
def test_batches_hide_the_labels_of_all_other_images(name: str) -> None:
    run = few(name)
    data = make_data(8, tasks=run.tasks)
    drawn = batches.Batches(run, 0, data)
    for step in range(drawn.total):
        chosen, _ = drawn.indices(step)
        target = drawn.augmented(drawn.read(step), step, CPU).target
        unknown = load(run.tasks[0]).unknown_value(data.ignore_index)
        has = (target != unknown).flatten(1).any(1).numpy()
        assert np.array_equal(has, np.isin(chosen, [0, 4])) and has.sum() == 2
    assert (data.train.labels[1] != 255).any()  # the prepared arrays stay


def test_a_row_its_base_and_a_resumed_run_have_the_same_batches() -> None:
    data = make_data(8)
    pair = [batches.Batches(few(name), 1, data) for name in ("fpn_lite0_eighth", "fpn_lite0_eighth_cycle")]
    whole = [[drawn.augmented(drawn.read(step), step, CPU) for step in range(drawn.total)] for drawn in pair]
    for one, other in zip(*whole, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.target, other.target)
    later = batches.Batches(few("fpn_lite0_eighth"), 1, data)
    ((_, resumed),) = list(later.from_step(later.total - 1, CPU, "test"))
    assert torch.equal(resumed.images, whole[0][-1].images)


@pytest.mark.parametrize(
    "name", ["fpn_lite0_eighth_dejavu", "fpn_lite0_depth_dejavu", "fpn_lite0_normals_dejavu"]
)
def test_only_labelled_images_have_a_gradient_of_the_tasks_loss_and_all_have_dejavus(name: str) -> None:
    run = few(name)
    run = run.model_copy(
        update={
            "network": run.network.model_copy(
                update={
                    "width": 0.25,
                    "options": {
                        key: value for key, value in run.network.options.items() if key != "pretrained"
                    },
                }
            )
        }
    )
    data = make_data(8, tasks=run.tasks)
    drawn = batches.Batches(run, 0, data)
    batch = drawn.augmented(drawn.read(0), 0, CPU)
    objective = build_objective(run, 0, data)
    prediction = objective.model(batch.images).detach().requires_grad_()
    known = np.isin(drawn.indices(0)[0], [0, 4])
    objective.criterion(prediction, batch.target).backward()
    assert np.array_equal(prediction.grad.flatten(1).any(1).numpy(), known)
    prediction.grad = None
    objective.model.regeneration_loss(batch.images, prediction, generator(0, "redact")).backward()
    assert prediction.grad.flatten(1).any(1).all()


def test_images_of_their_own_sizes_are_hidden_too() -> None:
    given = [torch.ones(2, 3), torch.ones(4, 2)]
    first, second = hide(given, np.array([False, True]), 0)
    assert torch.equal(first, torch.zeros(2, 3)) and second is given[1] and given[0].all()


def test_a_share_that_hides_nothing_is_refused() -> None:
    with pytest.raises(DejavuError, match=r"labelled 0.9 of 4 training images are all of them"):
        batches.Batches(few("fpn_lite0_eighth", 0.9), 0, make_data(4))
