"""Partial labels: the law of MTPSL's files, and that a hidden label teaches nothing."""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from dejavu.errors import DejavuError
from dejavu.tasks import load
from dejavu.training.multitask.partial_labels import SETTINGS, available, hide

TASKS = ("semantic", "depth", "normals")
IMAGES = 795  # of NYUD-v2's training set
PARTIAL = [setting for setting in SETTINGS if setting != "full"]


def test_full_is_all() -> None:
    assert available(5, TASKS, "full").all() and available(5, TASKS, "full").shape == (5, 3)
    assert available(5, ["depth"], "full").all()


@pytest.mark.parametrize("count", [3, 7, IMAGES])
def test_onelabel_is_one_label_and_equal_shares(count: int) -> None:
    found = available(count, TASKS, "onelabel")
    assert found.dtype == bool and (found.sum(1) == 1).all()
    assert np.ptp(found.sum(0)) <= (count % 3 > 0)  # 265 each in the published file


def test_onelabel_is_shuffled() -> None:
    turns = available(IMAGES, TASKS, "onelabel").argmax(1)
    same = [(turns[lag:] == turns[:-lag]).mean() for lag in (1, 2, 3, 6)]
    assert all(abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / IMAGES) for share in same)


def test_randomlabels_are_a_uniform_number_of_uniform_tasks() -> None:
    found = available(IMAGES, TASKS, "randomlabels")
    assert set(found.sum(1)) == {1, 2}
    combinations = [row for row in product([False, True], repeat=3) if 0 < sum(row) < 3]
    counts = [(found == row).all(1).sum() for row in combinations]
    assert chisquare(counts).pvalue > 0.05
    # The published file, of the same test: the six combinations in the same order.
    assert chisquare([143, 133, 127, 129, 115, 148]).pvalue > 0.05


def test_randomlabels_of_many_tasks_draw_the_number_first() -> None:
    numbers = available(4000, list("abcde"), "randomlabels").sum(1)
    assert set(numbers) == {1, 2, 3, 4}
    assert chisquare(np.bincount(numbers)[1:]).pvalue > 0.01


@pytest.mark.parametrize("setting", SETTINGS)
def test_does_not_depend_on_the_tasks_order(setting: str) -> None:
    found = available(100, TASKS, setting)
    for order in ([2, 0, 1], [1, 0, 2]):
        np.testing.assert_array_equal(
            available(100, [TASKS[place] for place in order], setting), found[:, order]
        )


@pytest.mark.parametrize("setting, digest", [("onelabel", "542a22c8ea37"), ("randomlabels", "5fbe1b8b0b49")])
def test_draws_stay_the_same(setting: str, digest: str) -> None:
    # Results that were committed are of these labels: another digest is another data set.
    found = available(IMAGES, TASKS, setting)
    np.testing.assert_array_equal(found, available(IMAGES, TASKS, setting))
    assert hashlib.sha256(found.tobytes()).hexdigest()[:12] == digest


@pytest.mark.parametrize(
    "count, tasks, setting, sentence",
    [
        (9, TASKS, "onelabels", "unknown setting 'onelabels', did you mean 'onelabel'"),
        (9, ["depth"], "onelabel", "two or more different tasks, not over depth"),
        (9, ["depth", "depth"], "randomlabels", "not over depth, depth"),
        (2, TASKS, "onelabel", "of 2 images in onelabel, none has a label of semantic"),
        (1, TASKS, "randomlabels", "of 1 images in randomlabels, none has a label of"),
    ],
    ids=["setting", "one task", "twice", "few for one", "few for random"],
)
def test_what_cannot_be_drawn(count: int, tasks: list[str], setting: str, sentence: str) -> None:
    with pytest.raises(DejavuError, match=sentence):
        available(count, tasks, setting)


def targets() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    normals = torch.randn(3, 3, 4, 6, generator=generator)
    return {
        "semantic": torch.randint(5, (3, 4, 6), generator=generator),
        "depth": 1 + torch.rand(3, 4, 6, generator=generator),
        "normals": torch.nn.functional.normalize(normals, dim=1),
    }


CHANNELS = {"semantic": 5, "depth": 1, "normals": 3}


@pytest.mark.parametrize("place, task", list(enumerate(TASKS)), ids=TASKS)
def test_a_hidden_label_teaches_nothing(place: int, task: str) -> None:
    kept = torch.ones(3, 3, dtype=torch.bool)
    kept[1, place] = False
    given = targets()
    hidden = hide(given, kept)
    for name, value in targets().items():
        assert torch.equal(given[name], value)  # what was given is as it was
        assert hidden[name].dtype == value.dtype
        assert torch.equal(hidden[name][[0, 2]], value[[0, 2]])
        assert torch.equal(hidden[name][1], value[1]) == (name != task)
    prediction = torch.randn(3, CHANNELS[task], 4, 6, requires_grad=True)
    load(task).loss(prediction, hidden[task]).backward()
    assert prediction.grad is not None
    learning = prediction.grad.abs().sum((1, 2, 3)) > 0
    assert learning.tolist() == [True, False, True]


def test_unknown_is_what_readers_say() -> None:
    none = torch.zeros(3, 3, dtype=torch.bool)
    assert [hide(targets(), none)[task].unique().tolist() for task in TASKS] == [[255], [0], [0]]
    assert hide(targets(), none, ignore_index=13)["semantic"].unique().tolist() == [13]


@pytest.mark.parametrize(
    "shape, dtype", [((3, 2), torch.bool), ((2, 3), torch.bool), ((3, 3), torch.float32)]
)
def test_availability_must_fit(shape: tuple[int, int], dtype: torch.dtype) -> None:
    with pytest.raises(DejavuError, match=r"available must be \(3, 3\) booleans"):
        hide(targets(), torch.ones(shape, dtype=dtype))
