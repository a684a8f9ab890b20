"""Which images an epoch sees, and how often those of each class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu.compute.random import generator
from dejavu.errors import DejavuError
from dejavu.training.augment.sampling import epoch_order


@given(count=st.integers(1, 200), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_without_classes_it_is_the_usual_permutation(count: int, seed: int) -> None:
    order, classes = epoch_order(count, generator(seed, "order", 3))
    assert np.array_equal(order, torch.randperm(count, generator=generator(seed, "order", 3)).numpy())
    assert (classes == -1).all() and len(classes) == count


@given(
    presence=st.integers(1, 40).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=n, max_size=n)
    ),
    share=st.floats(0.01, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_images_hold_their_class_and_classes_are_as_frequent(
    presence: list[list[bool]], share: float
) -> None:
    holds = np.array(presence)
    if not holds.any():
        with pytest.raises(DejavuError, match="class_uniform"):
            epoch_order(len(holds), generator(0, "order"), share, holds)
        return
    order, classes = epoch_order(len(holds), generator(0, "order"), share, holds)
    assert order.shape == classes.shape == (len(holds),)
    drawn = classes >= 0
    assert drawn.sum() == round(share * len(holds))
    assert holds[order[drawn], classes[drawn]].all()
    assert len(set(order[~drawn])) == (~drawn).sum()  # the rest comes once at most
    counts = np.bincount(classes[drawn], minlength=5)[holds.any(0)]
    assert counts.max() - counts.min() <= 1


def test_a_rare_class_is_seen_as_often_as_the_others() -> None:
    """One image in 100 has class 1: half an epoch by class shows it 25 times, at any place of the epoch."""
    presence = np.zeros((100, 3), bool)  # class 2 is nowhere
    presence[:, 0] = presence[42, 1] = True
    order, classes = epoch_order(100, generator(0, "order"), 0.5, presence)
    assert (classes == 1).sum() == 25 and (order[classes == 1] == 42).all()
    places = np.concatenate(
        [(epoch_order(100, generator(0, "order", e), 0.5, presence)[1] == 1).nonzero()[0] for e in range(8)]
    )
    assert abs(places.mean() - 49.5) < 8  # standard error 2
    common = order[classes == 0]
    assert len(set(common)) > 18  # 25 draws of 100 repeat 3 times


def test_reproducible_and_another_order_each_epoch() -> None:
    presence = np.ones((30, 4), bool)
    first, again, other = (epoch_order(30, generator(0, "order", e), 0.4, presence) for e in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("presence", [None, np.ones((3, 2), bool)], ids=["none", "another split's"])
def test_sampling_by_class_needs_to_know_them(presence: np.ndarray | None) -> None:
    with pytest.raises(DejavuError, match="class_uniform 0.5 needs to know which of 4 images"):
        epoch_order(4, generator(0, "order"), 0.5, presence)
