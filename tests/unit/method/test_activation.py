"""Heads of one class, of labels that do not exclude each other, and networks that return probabilities."""

from __future__ import annotations

import warnings

import pytest
import torch
from scipy.special import kl_div
from torch import Tensor, nn
from torch.nn import functional as F

from dejavu import CyclicConsistency, DejaVu
from dejavu.errors import DejavuError
from dejavu.method.conditioning import FORMS, Conditioning
from dejavu.tasks import describe, names
from dejavu.tasks.activation import ACTIVATIONS
from dejavu.tasks.predictions import Queries

GRID = (4, 6)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_form = pytest.mark.parametrize("form", FORMS)


def logits(classes: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(2, classes, *GRID, generator=torch.Generator().manual_seed(seed))


def predicted(classes: int, activation: str, kind: str = "sigmoid", seed: int = 0) -> Tensor:
    """What a network returns: logits, or probabilities of classes or of labels."""
    values = logits(classes, seed)
    if activation == "none":
        values = values.softmax(1) if kind == "softmax" and classes > 1 else values.sigmoid()
    return values.requires_grad_()


class Network(nn.Module):
    """A convolution whose logits end in a function."""

    stride = 4

    def __init__(self, classes: int, last=lambda values: values) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.last = nn.Conv2d(3, classes, 4, stride=4), last

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.layer(images))


def shares(values: Tensor, activation: str) -> Tensor:
    if activation == "none":
        return values
    return values.softmax(1) if activation == "softmax" and values.shape[1] > 1 else values.sigmoid()


def pair(logit: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(logit), logit], 1)


def complement(logit: Tensor) -> Tensor:
    probability = logit.sigmoid()
    return torch.cat([1 - probability, probability], 1)


def step(model: DejaVu) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and the gradient of the convolution."""
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    loss = model.regeneration_loss(images, model(images))
    loss.backward()
    return loss.detach(), model.network.layer.weight.grad


@every_form
@every_activation
@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_the_condition_is_what_it_should_be(classes: int, activation: str, form: str, kind: str) -> None:
    values = predicted(classes, activation, kind)
    conditioning = Conditioning(["semantic"], classes, form, activation=activation)
    condition = conditioning(conditioning.read(values), GRID)
    assert condition.shape == (2, conditioning.channels, *GRID)
    assert conditioning.channels == max(classes, 2)
    if classes == 1:  # the second of two classes: sigmoid(z), or p, and what is left
        second = values if activation == "none" or form == "logits" else values.sigmoid()
        first = torch.zeros_like(values) if activation != "none" and form == "logits" else 1 - second
        expected = torch.cat([first, second], 1)
    elif activation == "none" or form == "logits":
        expected = values
    else:
        expected = shares(values, activation)
    torch.testing.assert_close(condition, expected)
    if form == "probabilities":
        assert condition.min() >= 0 and condition.max() <= 1
        if classes == 1 or activation == "softmax":
            torch.testing.assert_close(condition.sum(1), torch.ones(2, *GRID))
    condition[:, -1].sum().backward()
    assert values.grad[:, -1].abs().min() > 0


@every_activation
def test_one_logit_learns_what_two_classes_learn(activation: str) -> None:
    """To the bit: the condition, the loss, and the gradient of the layer that makes the logit."""
    if activation == "none":
        one = DejaVu(Network(1, torch.sigmoid), num_classes=1, activation=activation)
        two = DejaVu(Network(1, complement), num_classes=2, activation=activation)
    else:
        one = DejaVu(Network(1), num_classes=1, activation=activation)
        two = DejaVu(Network(1, pair), num_classes=2)
    ours, theirs = step(one), step(two)
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert theirs[1].abs().sum() > 0


@pytest.mark.parametrize("classes", [1, 2])
def test_a_published_network_of_one_logit_has_a_gradient(classes: int) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    network, images = smp.Unet("resnet18", encoder_weights=None, classes=classes), torch.randn(2, 3, 64, 64)
    model = DejaVu(network, num_classes=classes)
    model.regeneration_loss(images, model(images)).backward()
    assert sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None) > 0.1


def test_softmax_of_several_classes_is_the_default() -> None:
    given = step(DejaVu(Network(3), num_classes=3, activation="softmax"))
    assert all(map(torch.equal, given, step(DejaVu(Network(3), num_classes=3))))


@pytest.mark.parametrize(
    ("classes", "activation", "last"),
    [(1, "softmax", None), (1, "sigmoid", None), (4, "sigmoid", None), (1, "none", torch.sigmoid)]
    + [(4, "none", torch.sigmoid), (4, "none", lambda values: values.softmax(1))],
)
@pytest.mark.parametrize("condition", FORMS)
def test_every_head_learns_by_the_loss_and_the_cycle(
    classes: int, activation: str, last, condition: str
) -> None:
    network = Network(classes, last or (lambda values: values))
    cycle = CyclicConsistency(target="prediction", weight=1.0)
    options = {"num_classes": classes, "activation": activation, "condition": condition}
    for model in (DejaVu(network, **options), DejaVu(network, **options, cycle=cycle, gamma=0.0)):
        network.zero_grad()
        loss, gradient = step(model)
        assert loss.isfinite() and loss > 0 and gradient.isfinite().all()
        assert all(channel.abs().sum() > 0 for channel in gradient)


@every_activation
@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_the_cycle_measures_the_divergence_of_the_probabilities(
    classes: int, activation: str, kind: str
) -> None:
    values, expected = (predicted(classes, activation, kind, seed).detach() for seed in (0, 1))
    cycle = CyclicConsistency(target="prediction", weight=1.0)
    network, image = nn.Identity(), values.clone().requires_grad_()
    loss = cycle(network, image, expected, activation=activation)
    p, q = (shares(one.double(), activation).numpy() for one in (expected, values))
    divergence = kl_div(p, q)
    if classes == 1 or activation == "sigmoid":  # each channel is a class and its complement
        divergence = divergence + kl_div(1 - p, 1 - q)
    near = 5e-3 if activation == "none" else 1e-5  # there, 1e-6 is added to small probabilities
    assert loss.item() == pytest.approx(divergence.sum(1).mean(), rel=near)
    loss.backward()
    assert image.grad.isfinite().all() and image.grad.abs().sum() > 0
    assert cycle(network, expected, expected, activation=activation).abs() < 1e-6


def test_probabilities_of_0_and_1_have_a_finite_divergence() -> None:
    image = torch.eye(2).view(1, 2, 2, 1).requires_grad_()
    loss = CyclicConsistency("prediction")(nn.Identity(), image, image.detach().flip(1), activation="none")
    loss.backward()
    assert loss.isfinite() and image.grad.isfinite().all() and image.grad.abs().min() > 0


SOFTMAX = Network(3, lambda values: values.softmax(1))


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (SOFTMAX, {}),
        (SOFTMAX, {"activation": "sigmoid"}),
        (Network(3, lambda values: F.interpolate(values.softmax(1), scale_factor=2)), {}),
        (Network(3, lambda values: values.softmax(1).bfloat16().float()), {}),
        (Network(3, torch.sigmoid), {"activation": "sigmoid"}),
        (Network(3, torch.sigmoid), {}),
        (Network(1, torch.sigmoid), {}),
        (Network(1, torch.sigmoid), {"activation": "sigmoid"}),
    ],
)
def test_a_second_activation_is_warned_of_once(network: Network, options: dict) -> None:
    model = DejaVu(network, num_classes=network.layer.out_channels, **options)
    with pytest.warns(UserWarning, match="activation='none'") as caught:
        step(model)
        step(model)
    assert len(caught) == 1


def test_queries_of_probabilities_are_warned_of() -> None:
    model, images = DejaVu(Network(1), task="panoptic", num_classes=3), torch.randn(2, 3, 32, 48)
    masks = model(images).expand(-1, 5, -1, -1)
    for queries in (
        Queries(torch.randn(2, 5, 4).softmax(-1), masks),
        Queries(torch.randn(2, 5, 4), masks.sigmoid()),
    ):
        with pytest.warns(UserWarning, match="panoptic prediction holds probabilities.*return logits"):
            DejaVu(Network(1), task="panoptic", num_classes=3).regeneration_loss(images, queries)


@pytest.mark.parametrize("fill", [0.0, 0.3, None])
@pytest.mark.parametrize(
    ("classes", "activation"), [(1, "softmax"), (2, "softmax"), (1, "sigmoid"), (4, "sigmoid")]
)
def test_logits_of_a_new_network_are_not_warned_of(classes: int, activation: str, fill: float | None) -> None:
    """They may lie within 0 and 1: of a last layer that begins at 0, or of few channels."""
    network = Network(classes)
    if fill is not None:
        nn.init.zeros_(network.layer.weight)
        nn.init.constant_(network.layer.bias, fill)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(DejaVu(network, num_classes=classes, activation=activation))


@pytest.mark.parametrize("classes", [1, 3])
def test_logits_are_no_probabilities(classes: int) -> None:
    model, images = (
        DejaVu(Network(classes), num_classes=classes, activation="none"),
        torch.randn(2, 3, 32, 48),
    )
    model.regeneration_loss(images, model(images).sigmoid())  # in a later step, too
    with pytest.raises(DejavuError, match=r"values from -.*activation='none' is for, lie within 0 and 1"):
        model.regeneration_loss(images, 9 * model(images))


@every_activation
@pytest.mark.parametrize("task", [task for task in names() if task != "semantic"])
def test_activation_is_for_the_task_that_has_it(task: str, activation: str) -> None:
    network = Network(3)
    if activation == "softmax":
        assert DejaVu(network, task=task, num_classes=3, activation=activation).tasks == (task,)
        return
    with pytest.raises(DejavuError, match=f"is for the task semantic: leave it out for {task}"):
        DejaVu(network, task=task, num_classes=3, activation=activation)
    if not describe(task).queries:
        both = DejaVu(network, task=[task, "semantic"], num_classes=1, activation=activation)
        assert both.conditioning.channels == describe(task).channels + 2


@pytest.mark.parametrize("activation", ["softmx", None, "Sigmoid"])
def test_an_unknown_activation_is_named(activation: str | None) -> None:
    with pytest.raises(DejavuError, match=f"activation: unknown {activation!r}"):
        DejaVu(Network(2), num_classes=2, activation=activation)
