"""Signs of a training that teaches something else than was meant are warned of once, at no cost."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dejavu import DejaVu, networks
from dejavu.method import health

K = 5
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))
LABELS = torch.randint(K, (2, 4, 4), generator=torch.Generator().manual_seed(6))


def build(network: nn.Module | None = None, **options: object) -> DejaVu:
    torch.manual_seed(0)
    network = network or nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, K, 3, 2, 1))
    return DejaVu(network, num_classes=K, **options)


def messages(run: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(warning.message) for warning in caught]


def train(
    model: DejaVu,
    optimizer: torch.optim.Optimizer,
    steps: int = 3 * health.SECOND,
    every: int = 1,
    adds: bool = True,
) -> None:
    """Train; `every` so many steps the optimizer steps, and without `adds` the loss is not added."""
    for step in range(steps):
        logits = model(IMAGES)
        added = model.regeneration_loss(IMAGES, logits)
        (F.cross_entropy(logits, LABELS) + (added if adds else 0)).backward()
        if step % every == every - 1:
            optimizer.step()
            model.zero_grad()


OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 0.01),
    "fused": lambda parameters: torch.optim.AdamW(parameters, 0.01, fused=True),
}


class Uncounted(torch.optim.SGD):
    """Writes to `data`, which torch does not count."""

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data = parameter.data - 0.01 * parameter.grad


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("regenerator", ["crm_f", "crm_r"])
@pytest.mark.parametrize("detach", [False, True])
def test_a_forgotten_regenerator_is_noticed_once(optimizer, regenerator: str, detach: bool) -> None:
    model = build(regenerator=regenerator, detach=detach)
    (message,) = messages(lambda: train(model, optimizer(model.network.parameters())))
    assert "model.regenerator has not changed in 20 calls" in message and "model.parameters()" in message


def test_a_loss_that_is_not_added_is_noticed() -> None:
    model = build()
    (message,) = messages(lambda: train(model, torch.optim.SGD(model.parameters(), 0.01), adds=False))
    assert "add the regeneration loss to the loss" in message


def test_a_forgotten_shared_attention_is_noticed() -> None:
    model = build(networks.build("hrnet", K, width=0.25, attention=True))
    known = [*model.network.parameters(), *model.regenerator.parameters()]

    def steps() -> None:
        optimizer = torch.optim.SGD(known, 0.01)
        for _ in range(health.SECOND):
            model.zero_grad()
            model.regeneration_loss(IMAGES, model(IMAGES)).backward()
            optimizer.step()

    (message,) = messages(steps)
    assert "model.shared has not changed" in message


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS.values(), lambda p: Uncounted(p, 0.01)])
def test_a_right_training_is_silent(optimizer) -> None:
    model = build()
    assert messages(lambda: train(model, optimizer(model.parameters()))) == []


def test_accumulated_gradients_are_no_sign() -> None:
    """Nothing has changed at the second inspection, and the third decides."""
    model = build()
    assert messages(lambda: train(model, torch.optim.SGD(model.parameters(), 0.01), every=25)) == []
    model = build()
    optimizer = torch.optim.SGD(model.network.parameters(), 0.01)
    assert len(messages(lambda: train(model, optimizer, 10 * health.SECOND, every=25))) == 1


@pytest.mark.parametrize("options", [{"gamma": 0.0}, {"regenerator": "frozen"}])
def test_what_is_not_trained_on_purpose_is_not_forgotten(options: dict) -> None:
    model = build(**(options if "gamma" in options else {}))
    if "regenerator" in options:
        model.regenerator.requires_grad_(False)
    optimizer = torch.optim.SGD(model.network.parameters(), 0.01)
    assert not any("has not changed" in message for message in messages(lambda: train(model, optimizer)))


class Depth(nn.Conv2d):
    """Depth around a value."""

    def __init__(self, value: float) -> None:
        super().__init__(3, 1, 3, 4, 1)
        nn.init.constant_(self.bias, value)


def depth(value: float, **options: object) -> DejaVu:
    torch.manual_seed(0)
    return DejaVu(Depth(value), task="depth", **options)


DEPTHS = {
    "millimetres": (3000.0, {}, True),
    "metres": (3.0, {}, False),
    "untrained": (0.0, {}, False),
    "streets in the range of rooms": (40.0, {}, True),
    "streets": (40.0, {"depth_range": (0.0, 80.0)}, False),
    "millimetres in their range": (3000.0, {"depth_range": (0, 10_000)}, False),
    "not scaled": (3000.0, {"condition": "logits"}, False),
}
SMALL_DEPTHS = {
    "metres in the range of millimetres": (3.0, {"depth_range": (0, 10_000)}, True),
    "the same from 0.5 m on": (3.0, {"depth_range": (500, 10_000)}, True),
    "kilometres in the range of metres": (0.01, {"depth_range": (0, 80)}, True),
    "metres": (3.0, {}, False),
    "close things in the range of streets": (0.5, {"depth_range": (0, 80)}, False),
    "untrained in the range of streets": (0.0, {"depth_range": (0, 80)}, False),
    "not scaled": (3.0, {"depth_range": (0, 10_000), "condition": "logits"}, False),
}


@pytest.mark.parametrize(("value", "options", "odd"), DEPTHS.values(), ids=DEPTHS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_depth_in_another_unit_is_noticed_once(
    value: float, options: dict, odd: bool, training: bool
) -> None:
    model = depth(value, **options).train(training)
    seen = messages(
        lambda: [model.regeneration_loss(IMAGES, model(IMAGES)) for _ in range(health.SECOND + 1)]
    )
    assert len(seen) == odd and all("far outside of depth_range=(0, 10)" in message for message in seen)


@pytest.mark.parametrize(("value", "options", "odd"), SMALL_DEPTHS.values(), ids=SMALL_DEPTHS)
def test_depth_that_stays_next_to_nothing_is_noticed_once(value: float, options: dict, odd: bool) -> None:
    """Not in the first calls, where a network may not have learnt its unit yet."""
    model = depth(value, **options)
    if value == 0.01:
        nn.init.normal_(model.network.weight, 0, 1e-3)
    steps = [
        messages(lambda: model.regeneration_loss(IMAGES, model(IMAGES))) for _ in range(11 * health.SECOND)
    ]
    assert sum(map(len, steps)) == odd
    if odd:
        assert "next to nothing of depth_range=" in steps[health.SECOND - 1][0]


def test_depth_that_leaves_its_range_later_is_noticed() -> None:
    model = depth(0.0)

    def leave() -> None:
        for _ in range(health.SECOND):
            model.regeneration_loss(IMAGES, model(IMAGES))
            model.network.bias.data += 100

    (message,) = (message for message in messages(leave) if "depth" in message)
    assert "far outside" in message and "1900 on average" in message


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_images_that_are_not_normalised_are_noticed_once(training: bool) -> None:
    model, images = build().train(training), IMAGES * 60 + 128
    (message,) = messages(lambda: [model.regeneration_loss(images, model(images)) for _ in range(2)])
    assert "mean magnitude of 1" in message and "normalise them" in message
    assert messages(lambda: build().regeneration_loss(IMAGES, build()(IMAGES))) == []


def pixels(*shape: int) -> torch.Tensor:
    """Values of 0 to 1, as torchvision's ToTensor gives them."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(7))


MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
IN_UNIT = {
    "0 to 1": (pixels(2, 3, 16, 16), True),
    "half precision": (pixels(2, 3, 16, 16).to(torch.bfloat16), True),
    "dark": (pixels(2, 3, 16, 16) / 20, True),
    "masks": (pixels(2, 3, 16, 16).round(), True),
    "ImageNet's": ((pixels(2, 3, 16, 16) - MEAN) / STD, False),
    "a dark one": ((pixels(1, 3, 16, 16) / 20 - MEAN) / STD, False),
    "a bright one": ((0.9 + pixels(1, 3, 16, 16) / 10 - MEAN) / STD, False),
    "-1 to 1": (2 * pixels(2, 3, 16, 16) - 1, False),
    "centred": (pixels(2, 3, 16, 16) - 0.5, False),
    "one dark image among others": (torch.cat([pixels(1, 3, 16, 16), IMAGES[:1]]), False),
    "the mean pixel": (torch.zeros(2, 3, 16, 16), False),
}


@pytest.mark.parametrize(("images", "odd"), IN_UNIT.values(), ids=IN_UNIT)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_images_from_0_to_1_are_noticed_once(images: torch.Tensor, odd: bool, training: bool) -> None:
    model = build().to(images.dtype).train(training)
    seen = messages(lambda: [model.regeneration_loss(images, model(images)) for _ in range(2)])
    assert len(seen) == odd and all("within 0 and 1" in one and "normalise them" in one for one in seen)


def without_graph(model: DejaVu, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(images)


def within_no_grad(model: DejaVu) -> torch.Tensor:
    logits = model(IMAGES)
    with torch.no_grad():
        return model.regeneration_loss(IMAGES, logits)


def frozen(*names: str) -> Callable[[DejaVu], object]:
    def call(model: DejaVu) -> object:
        for name in names:
            getattr(model, name).requires_grad_(False)
        return model(IMAGES, regeneration=True)

    return call


LOST: dict[str, tuple[Callable[[DejaVu], object], list[str]]] = {
    "eval, no graph": (
        lambda m: m.eval().regeneration_loss(IMAGES, without_graph(m, IMAGES)),
        ["evaluation mode"],
    ),
    "eval, detached": (lambda m: m.eval().regeneration_loss(IMAGES, m(IMAGES).detach()), ["evaluation mode"]),
    "no_grad": (within_no_grad, ["computed within no_grad"]),
    "network": (frozen("network"), ["of the network is frozen"]),
    "regenerator": (frozen("regenerator"), ["of model.regenerator is frozen"]),
    "both": (
        frozen("network", "regenerator"),
        ["of the network is frozen", "of model.regenerator is frozen"],
    ),
}


@pytest.mark.parametrize(("call", "expected"), LOST.values(), ids=LOST)
def test_a_loss_that_teaches_nothing_is_noticed_once(call, expected: list[str]) -> None:
    model = build()
    seen = messages(lambda: [call(model) for _ in range(2)])
    assert len(seen) == len(expected)
    assert all(words in message for words, message in zip(expected, seen, strict=True))


def test_a_task_without_a_graph_is_noticed() -> None:
    torch.manual_seed(0)
    model = DejaVu(nn.Conv2d(3, K + 1, 3, 4, 1), task=["semantic", "depth"], num_classes=K)
    maps = model(IMAGES)
    prediction = {"semantic": maps[:, :K], "depth": maps[:, K:].detach()}
    (message,) = messages(lambda: [model.regeneration_loss(IMAGES, prediction) for _ in range(2)])
    assert message == "the prediction of depth has no graph, so DejaVu does not teach it"


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("detach", [True, False])
def test_a_measurement_is_silent(training: bool, detach: bool) -> None:
    model = build(detach=detach).train(training)
    with torch.no_grad():
        assert messages(lambda: model(IMAGES, regeneration=True)) == []
    if detach:  # the control's network gets no gradient on purpose
        assert messages(lambda: model.regeneration_loss(IMAGES, model(IMAGES).detach())) == []


def test_values_are_read_in_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a GPU would wait at every step."""
    reads = []
    for name in ("__float__", "__bool__", "item", "tolist"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda self, *rest, original=original: (reads.append(step), original(self, *rest))[1],
        )
    equal = torch.equal
    monkeypatch.setattr(torch, "equal", lambda *pair: (reads.append(step), equal(*pair))[1])
    model, inspected = depth(3.0), []
    inspect = model.health.inspect
    for step in range(1, 3 * health.SECOND):  # noqa: B007 (read by the replaced functions)
        logits = model(IMAGES)
        reads.clear()
        inspect(
            IMAGES,
            {"depth": logits},
            model.network,
            model.training_only,
            training=True,
            detach=False,
            weighs=True,
        )
        inspected += reads
    assert set(inspected) == {1, health.SECOND}


def test_it_changes_no_number_and_can_be_copied() -> None:
    """The same training with and without; a copy and a pickle in the middle of it go on."""
    states = []
    for silent in (False, True):
        model = build()
        if silent:
            model.health.inspect = lambda *_, **__: None  # type: ignore[method-assign]
        state = torch.get_rng_state()
        train(model, torch.optim.AdamW(model.parameters(), 0.01))
        assert torch.equal(torch.get_rng_state(), state)
        states.append(model.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    model = build()
    model.regeneration_loss(IMAGES, model(IMAGES))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert messages(lambda again=again: train(again, torch.optim.SGD(again.parameters(), 0.01))) == []
