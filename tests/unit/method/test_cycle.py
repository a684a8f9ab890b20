"""Cyclic consistency: its value by hand, whom its gradient reaches, and that it leaves no trace."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor, nn
from torch.nn import functional as F

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.method.cycle import CyclicConsistency, call_without_trace
from dejavu.method.regeneration import build as build_regenerator

K = 5
CHANNELS = {"semantic": K, "depth": 1, "normals": 3}


class Network(nn.Module):
    """With all that may leave a trace: BatchNorm used twice, dropout, a buffer of its own, a tied weight."""

    def __init__(self, channels: int = K, form: str = "tensor", dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.norm_again = self.norm
        self.last = nn.Conv2d(8, channels, 1)
        self.tied = nn.Conv2d(8, channels, 1)
        self.tied.weight = self.last.weight
        self.dropout = nn.Dropout(dropout)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.long), persistent=False)
        self.form = form

    def forward(self, images: Tensor) -> Any:
        self.calls += 1
        hidden = self.dropout(self.norm_again(self.norm(self.first(images)).relu()))
        logits = self.last(hidden) + self.tied(hidden)
        return {
            "tensor": lambda: logits,
            "mapping": lambda: {"out": logits, "auxiliary": hidden},
            "object": lambda: SimpleNamespace(logits=logits),
        }[self.form]()


def build(seed: int = 0, **options: Any) -> Network:
    torch.manual_seed(seed)
    return Network(**options)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in [*network.named_buffers(), *network.named_parameters()]}


def tensors(network: nn.Module) -> list[int]:
    """Which tensor objects the network holds: an optimiser has hold of the same ones."""
    found = [
        *network.named_buffers(remove_duplicate=False),
        *network.named_parameters(remove_duplicate=False),
    ]
    return [id(value) for _, value in found]


def labels() -> Tensor:
    return torch.randint(K, (2, 8, 8), generator=torch.Generator().manual_seed(1))


def images() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def with_gradient(module: nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.grad is not None}


every_target = pytest.mark.parametrize("target", ["labels", "prediction"])
either_mode = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@every_target
@either_mode
@pytest.mark.parametrize(
    ("gradient", "to_network", "to_regenerator"),
    [("both", True, True), ("regenerator", False, True), ("network", True, False)],
)
def test_whom_the_gradient_reaches(
    target: str, training: bool, gradient: str, to_network: bool, to_regenerator: bool
) -> None:
    network = build().train(training)
    regenerator = build_regenerator("crm_r", K, 2)
    prediction = network(images())
    regenerated = regenerator(images(), prediction.detach())[-1]
    cycle = CyclicConsistency(target, gradient)
    cycle(network, regenerated, prediction, labels(), F.cross_entropy).backward()
    for module, reached in ((network, to_network), (regenerator, to_regenerator)):
        assert with_gradient(module) == (set(dict(module.named_parameters())) if reached else set())


@pytest.mark.parametrize("gradient", ["both", "network"])
def test_the_gradient_is_the_usual_one(gradient: str) -> None:
    """The same as calling the network as such: calling it aside changes nothing but the traces."""
    network, other = build(), build()
    regenerated = images().requires_grad_()
    CyclicConsistency(gradient=gradient, weight=1.0)(
        network, regenerated, None, labels(), F.cross_entropy
    ).backward()
    as_such = images().requires_grad_()
    F.cross_entropy(other(as_such), labels()).backward()
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    assert regenerated.grad is None if gradient == "network" else torch.equal(regenerated.grad, as_such.grad)


def test_the_prediction_of_the_image_gets_no_gradient() -> None:
    network = build()
    prediction = network(images()).detach().requires_grad_()
    CyclicConsistency("prediction")(network, torch.randn(2, 3, 16, 16), prediction).backward()
    assert prediction.grad is None
    assert with_gradient(network) == set(dict(network.named_parameters()))


@every_target
@either_mode
@pytest.mark.parametrize("gradient", ["both", "regenerator", "network"])
def test_the_network_is_left_as_it_was(target: str, training: bool, gradient: str) -> None:
    network = build(dropout=0.3).train(training)
    prediction = network(images())
    before, objects = state(network), tensors(network)
    regenerated = (3 + 2 * images()).requires_grad_()  # other statistics than the images
    loss = CyclicConsistency(target, gradient)(network, regenerated, prediction, labels(), F.cross_entropy)
    loss.backward()
    assert all(torch.equal(value, before[key]) for key, value in state(network).items())
    assert tensors(network) == objects and network.training == training
    assert network.tied.weight is network.last.weight and network.last.weight.requires_grad
    network(regenerated.detach())
    assert not torch.equal(state(network)["calls"], before["calls"])  # called as such, it leaves traces
    assert torch.equal(state(network)["norm.running_mean"], before["norm.running_mean"]) != training


def test_the_value_against_labels_is_the_tasks_loss() -> None:
    network = build().eval()
    with torch.no_grad():
        logits = network(images())
        expected = -logits.log_softmax(1).gather(1, labels()[:, None]).mean()
        value = CyclicConsistency(weight=0.25)(network, images(), None, labels(), F.cross_entropy)
    assert value.ndim == 0
    torch.testing.assert_close(value, 0.25 * expected)


def _divergence(seen: Tensor, expected: Tensor) -> Tensor:
    terms = rel_entr(expected.double().softmax(1).numpy(), seen.double().softmax(1).numpy())
    return torch.tensor(terms.sum(1).mean())


def _angle(seen: Tensor, expected: Tensor) -> Tensor:
    lengths = seen.square().sum(1).sqrt() * expected.square().sum(1).sqrt()
    return (1 - (seen * expected).sum(1) / lengths).mean()


BY_HAND = {"semantic": _divergence, "depth": lambda a, b: (a - b).abs().mean(), "normals": _angle}


@pytest.mark.parametrize("task", BY_HAND)
@pytest.mark.parametrize("form", ["tensor", "mapping", "object"])
def test_the_value_against_the_prediction_by_hand(task: str, form: str) -> None:
    network = build(channels=CHANNELS[task], form=form).eval()
    plain = build(channels=CHANNELS[task]).eval()
    regenerated = images().flip(3)
    with torch.no_grad():
        value = CyclicConsistency("prediction", weight=2.0)(
            network, regenerated, network(images()), task=task
        )
        expected = 2 * BY_HAND[task](plain(regenerated), plain(images()))
    assert expected > 1e-3
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("form", ["tensor", "mapping", "object"])
def test_the_criterion_is_given_the_tensor(form: str) -> None:
    network = build(form=form).eval()
    value = CyclicConsistency()(network, images(), None, labels(), F.cross_entropy)
    assert torch.equal(value, CyclicConsistency()(build().eval(), images(), None, labels(), F.cross_entropy))


def test_panoptic_masks_agree_whatever_the_order_of_queries() -> None:
    class Queries(nn.Module):
        """Four queries; in the second image they are the same objects in another order."""

        def __init__(self, order: list[int]) -> None:
            super().__init__()
            self.order = order
            self.classes = nn.Parameter(torch.randn(1, 4, K + 1, generator=torch.Generator().manual_seed(0)))
            self.masks = nn.Conv2d(3, 4, 1)

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            classes = self.classes.expand(len(images), -1, -1)
            return {
                "class_queries_logits": classes[:, self.order],
                "masks_queries_logits": self.masks(images)[:, self.order],
            }

    torch.manual_seed(0)
    network, other = Queries([0, 1, 2, 3]), Queries([2, 0, 3, 1])
    other.load_state_dict(network.state_dict())
    cycle = CyclicConsistency("prediction", weight=1.0)
    prediction = network(images())
    assert cycle(other, images(), prediction, task="panoptic").item() == pytest.approx(0, abs=1e-6)
    classes = prediction["class_queries_logits"].softmax(-1)[..., :-1]
    masks = [network(picture)["masks_queries_logits"].sigmoid() for picture in (images(), images().flip(3))]
    maps = [sum(classes[:, q, :, None, None] * mask[:, q, None] for q in range(4)) for mask in masks]
    expected = (maps[0] - maps[1]).abs().mean()
    torch.testing.assert_close(cycle(network, images().flip(3), prediction, task="panoptic"), expected)


def test_several_tasks_are_added_up() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.semantic, self.depth = build(), build(1, channels=1)

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"semantic": self.semantic(images), "depth": self.depth(images)}

    network = Both().eval()
    regenerated, prediction = images().flip(2), network(images())
    cycle = CyclicConsistency("prediction")
    value = cycle(network, regenerated, prediction, task=("semantic", "depth"))
    semantic = cycle(network.semantic, regenerated, prediction["semantic"], task="semantic")
    depth = cycle(network.depth, regenerated, prediction["depth"], task="depth")
    torch.testing.assert_close(value, semantic + depth)
    given = CyclicConsistency(weight=1.0)(
        network, regenerated, None, labels(), lambda found, _: found["depth"].sum(), ("semantic", "depth")
    )
    torch.testing.assert_close(given, network(regenerated)["depth"].sum())


def test_dropout_is_drawn_anew_in_training_only() -> None:
    network = build(dropout=0.5)
    cycle = CyclicConsistency()
    values = [
        [cycle(network.train(training), images(), None, labels(), F.cross_entropy).item() for _ in range(2)]
        for training in (True, False)
    ]
    assert values[0][0] != values[0][1] and values[1][0] == values[1][1]


def test_a_network_with_shared_attention() -> None:
    torch.manual_seed(0)
    network = networks.build("hrnet", K, width=0.25, attention=True).train()
    before = state(network)
    pictures = torch.randn(2, 3, 32, 32)
    CyclicConsistency("prediction")(network, pictures.flip(3), network(pictures)).backward()
    assert any(p.grad is not None and p.grad.any() for p in network.backbone.parameters())
    again = deepcopy(network)
    again.load_state_dict(before, strict=False)
    again(pictures)  # one pass over the images, and none of the cycle
    expected = state(again)
    assert all(torch.equal(value, expected[key]) for key, value in state(network).items())


def test_a_call_without_trace_gives_what_a_call_gives() -> None:
    regenerator = build_regenerator("crm_f", K, 2)
    redacted, condition = images(), torch.randn(2, K, 8, 8, requires_grad=True)
    before = state(regenerator)
    aside = call_without_trace(regenerator, redacted, condition, detach=True)[-1]
    assert all(torch.equal(value, before[key]) for key, value in state(regenerator).items())
    assert torch.equal(aside, regenerator(redacted, condition)[-1])
    aside.sum().backward()
    assert not with_gradient(regenerator) and condition.grad is not None and condition.grad.any()


@pytest.mark.parametrize(
    ("options", "call", "expected"),
    [
        ({"target": "label"}, {}, "cycle.target: unknown 'label', did you mean 'labels'"),
        ({"gradient": "crm"}, {}, "cycle.gradient: unknown 'crm', known: both, network, regenerator"),
        ({"weight": -1}, {}, "cycle.weight: must be a number of at least 0, not -1"),
        ({"weight": float("nan")}, {}, "cycle.weight"),
        ({"weight": "0.1"}, {}, "cycle.weight"),
        ({}, {"criterion": F.cross_entropy}, "labels are missing"),
        ({}, {"labels": labels()}, "criterion is missing"),
        ({}, {"labels": labels(), "criterion": lambda p, t: p}, "scalar tensor, not a tensor of shape"),
        ({}, {"labels": labels(), "criterion": lambda p, t: 0.5}, "scalar tensor, not float"),
        ({"target": "prediction"}, {"task": "dept"}, "unknown task 'dept', did you mean 'depth'"),
        ({"target": "prediction"}, {"prediction": torch.zeros(2, K, 4, 4)}, "one shape, not .*4, 4"),
        ({"target": "prediction"}, {"prediction": None}, "prediction must be a tensor"),
    ],
)
def test_what_cannot_be_right_is_named(options: dict, call: dict, expected: str) -> None:
    with pytest.raises(DejavuError, match=expected):
        CyclicConsistency(**options)(build(), images(), **({"prediction": torch.zeros(2, K, 8, 8)} | call))
