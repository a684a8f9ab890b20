"""The CRM's condition: each task's, calculated by hand, and every form of prediction."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from dejavu.errors import DejavuError
from dejavu.method.conditioning import Conditioning
from dejavu.method.regeneration import to_grid
from dejavu.tasks.panoptic import class_masks
from dejavu.tasks.predictions import TASKS, Queries, as_tensor, read

K, GRID = 4, (6, 8)
every_task = pytest.mark.parametrize("task", TASKS)


def prediction(task: str, size: tuple[int, int] = (12, 16), seed: int = 0) -> torch.Tensor | Queries:
    generator = torch.Generator().manual_seed(seed)
    if task == "panoptic":
        classes = torch.randn(2, 5, K + 1, generator=generator, requires_grad=True)
        return Queries(classes, torch.randn(2, 5, *size, generator=generator, requires_grad=True))
    channels = {"semantic": K, "depth": 1, "normals": 3}[task]
    return torch.randn(2, channels, *size, generator=generator, requires_grad=True)


def leaves(value: torch.Tensor | Queries) -> tuple[torch.Tensor, ...]:
    return tuple(value) if isinstance(value, Queries) else (value,)


@every_task
@pytest.mark.parametrize("form", ["probabilities", "logits"])
@pytest.mark.parametrize("size", [(12, 16), (6, 8), (3, 4), (13, 9)])
def test_condition_has_the_grid_and_carries_gradient(task: str, form: str, size: tuple[int, int]) -> None:
    conditioning, value = Conditioning([task], K, form), prediction(task, size)
    condition = conditioning(conditioning.read(value), GRID)
    assert condition.shape == (2, conditioning.channels, *GRID)
    condition.square().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves(value))


def of(task: str, value: torch.Tensor | Queries, form: str = "probabilities", **options) -> torch.Tensor:
    conditioning = Conditioning([task], K, form, **options)
    return conditioning(conditioning.read(value), GRID)


def test_semantic_is_the_classes_probability() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0]).log().view(1, K, 1, 1).expand(2, K, *GRID)
    torch.testing.assert_close(of("semantic", logits)[0, :, 0, 0], torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert torch.equal(of("semantic", logits, "logits"), logits)


def test_depth_is_scaled_to_its_range() -> None:
    depth = (
        torch.tensor([2.0, 6.0, 10.0, 14.0]).view(1, 1, 2, 2).repeat_interleave(3, 2).repeat_interleave(4, 3)
    )
    condition = of("depth", depth, depth_range=(2.0, 10.0))
    assert condition.unique().tolist() == [0.0, 0.5, 1.0, 1.5]


def test_normals_are_of_unit_length() -> None:
    condition = of("normals", prediction("normals"))
    torch.testing.assert_close(condition.square().sum(1), torch.ones(2, *GRID))
    small = to_grid(prediction("normals"), GRID)
    torch.testing.assert_close(F.cosine_similarity(condition, small, dim=1), torch.ones(2, *GRID))


def test_panoptic_is_the_sum_over_queries() -> None:
    queries = prediction("panoptic", GRID)
    expected = torch.zeros(2, K, *GRID)
    for n in range(2):
        for q in range(5):
            share = torch.softmax(queries.classes[n, q], 0)
            for k in range(K):
                expected[n, k] += share[k] * torch.sigmoid(queries.masks[n, q])
    torch.testing.assert_close(of("panoptic", queries), expected)


def test_panoptic_of_one_sure_query_is_its_mask() -> None:
    classes = torch.tensor([[[0.0, 40.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 40.0]]])  # class 1; no object
    masks = torch.where(torch.rand(1, 2, *GRID) < 0.5, -40.0, 40.0)
    condition = class_masks(Queries(classes, masks))
    torch.testing.assert_close(condition[:, 1], (masks[:, 0] > 0).float())
    assert condition[:, [0, 2, 3]].abs().max() < 1e-6


def test_several_tasks_are_concatenated() -> None:
    tasks = ("normals", "semantic", "depth")
    conditioning = Conditioning(tasks, K)
    values = {task: prediction(task, seed=i) for i, task in enumerate(tasks)}
    condition = conditioning(conditioning.read(values | {"aux": 0}), GRID)
    assert condition.shape[1] == conditioning.channels == 3 + K + 1
    assert torch.equal(condition, torch.cat([of(task, values[task]) for task in tasks], 1))
    assert torch.equal(condition, conditioning(conditioning.read(SimpleNamespace(**values)), GRID))


def test_numbers_of_classes_may_differ_by_task() -> None:
    conditioning = Conditioning(["semantic", "panoptic"], {"semantic": 3, "panoptic": K})
    assert conditioning.channels == 3 + K


@pytest.mark.parametrize("task", ["semantic", "depth", "normals"])
def test_every_form_of_one_task_is_understood(task: str) -> None:
    value = prediction(task)
    forms = [value, {"out": value, "aux": 0}, {"logits": value}, SimpleNamespace(logits=value), {task: value}]
    assert all(as_tensor(form, task) is value for form in forms)


def test_depth_may_lack_its_channel() -> None:
    value = torch.rand(2, 12, 16)
    assert torch.equal(as_tensor(SimpleNamespace(predicted_depth=value), "depth"), value[:, None])


def test_every_form_of_queries_is_understood() -> None:
    classes, masks = prediction("panoptic")
    names = {"class_queries_logits": classes, "masks_queries_logits": masks}
    forms = [(classes, masks), names, SimpleNamespace(**names), {"pred_logits": classes, "pred_masks": masks}]
    for form in forms:
        found = read("panoptic", form)
        assert found.classes is classes and found.masks is masks


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Conditioning(["semantics"], K), "did you mean 'semantic'"),
        (lambda: Conditioning([], K), "one task or several"),
        (lambda: Conditioning(["depth", "depth"]), "several different"),
        (lambda: Conditioning(["semantic"]), "num_classes is missing: the task semantic"),
        (lambda: Conditioning(["semantic", "panoptic"], {"semantic": 3}), "the task panoptic"),
        (lambda: Conditioning(["semantic"], K, "logit"), "did you mean 'logits'"),
        (lambda: Conditioning(["depth"], depth_range=(1, 1)), "nearest, farthest"),
        (lambda: of("depth", torch.rand(2, 3, 4, 4)), r"\(N, 1, h, w\) for the task depth"),
        (lambda: of("semantic", torch.rand(2, 3, 4, 4)), r"\(N, 4, h, w\) for num_classes=4.*\(2, 3, 4, 4\)"),
        (lambda: of("panoptic", Queries(torch.rand(2, 5, K), torch.rand(2, 5, 4, 4))), r"\(N, Q, 5\)"),
        (lambda: of("panoptic", torch.rand(2, 5, 4, 4)), "panoptic prediction must be"),
        (lambda: of("semantic", {"aux": 0}), "keys aux, but none of out, logits"),
        (lambda: of("normals", torch.zeros(2, 3, 4, 4, dtype=torch.int64)), "floating values"),
        (
            lambda: Conditioning(["depth", "normals"]).read({"depth": torch.rand(2, 1, 4, 4)}),
            "depth and normals",
        ),
    ],
)
def test_what_cannot_be_right_is_named(call, expected: str) -> None:
    with pytest.raises(DejavuError, match=expected):
        call()


@pytest.mark.parametrize("tasks", [["semantic"], ["semantic", "depth"]])
@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (1, 2)])
def test_two_classes_by_one_channel_or_two_are_told_apart(
    classes: int, channels: int, tasks: list[str]
) -> None:
    reader = Conditioning(tasks, num_classes=classes)
    maps = {"semantic": torch.zeros(2, channels, 4, 4), "depth": torch.zeros(2, 1, 4, 4)}
    prediction = {task: maps[task] for task in tasks}
    with pytest.raises(DejavuError, match=f"for num_classes={classes}, .* are num_classes={channels}$"):
        reader.read(prediction)
    Conditioning(tasks, num_classes=channels).read(prediction)
