"""Groups of parameters, clipping and schedules: factors are kept, and DejaVu changes nothing of them."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dejavu.config import Optimizer, Schedule
from dejavu.errors import DejavuError
from dejavu.method.wrapper import DejaVu
from dejavu.training.optimizer import build_optimizer, build_scheduler, clip_gradients

K = 4
every_optimizer = pytest.mark.parametrize("name", ["sgd", "adamw"])


class Network(nn.Module):
    """A backbone with a norm and embeddings, and a head."""

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.ReLU())
        self.pos_embed = nn.Parameter(torch.randn(1, 8, 1, 1))
        self.queries = nn.Embedding(1, 8)
        self.head = nn.Conv2d(8, K, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images) + self.pos_embed + self.queries.weight[0, :, None, None])


def network() -> Network:
    torch.manual_seed(0)
    return Network()


def config(name: str = "sgd", **options: object) -> Optimizer:
    return Optimizer.model_validate({"name": name, "lr": 0.1, "weight_decay": 0.01, **options})


def names(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter by its name."""
    known = {parameter: name for name, parameter in model.named_parameters()}
    return {
        known[parameter]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@every_optimizer
def test_a_neutral_recipe_has_one_group_in_order(name: str) -> None:
    """As it always was: checkpoints and committed results depend on it."""
    model = DejaVu(network(), num_classes=K)
    plain = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[name]
    options = {"sgd": {"momentum": 0.9}, "adamw": {"betas": (0.9, 0.999)}}[name]
    expected = plain(list(model.parameters()), lr=0.1, weight_decay=0.01, **options)
    ours = build_optimizer(model, config(name))
    assert ours.state_dict() == expected.state_dict()
    assert all(
        a is b
        for a, b in zip(ours.param_groups[0]["params"], expected.param_groups[0]["params"], strict=True)
    )


@every_optimizer
def test_every_parameter_has_its_factor_and_decay(name: str) -> None:
    model = DejaVu(network(), num_classes=K)
    optimizer = build_optimizer(model, config(name, backbone=0.1, head=10.0, decay_norms=False))
    found = names(model, optimizer)
    assert found.keys() == dict(model.named_parameters()).keys()
    for key, (rate, decay) in found.items():
        factor = 1.0
        if key.startswith("network."):
            factor = 0.1 if key.startswith("network.backbone.") else 10.0
        assert rate == pytest.approx(0.1 * factor), key
        kept = key in ("network.backbone.0.weight", "network.head.weight") or (
            key.startswith("regenerator.") and model.get_parameter(key).ndim > 1
        )
        assert decay == (0.01 if kept else 0.0), key
    assert optimizer.param_groups[0]["lr"] == 0.1  # what the log shows is the recipe's


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    model.backbone.requires_grad_(False)
    found = names(model, build_optimizer(model, config(backbone=0.1)))
    assert found.keys() == {"pos_embed", "queries.weight", "head.weight", "head.bias"}


def test_parts_of_base_rate_keep_the_recipes_own() -> None:
    model = network()
    model.base_rate = ("queries",)
    found = names(model, build_optimizer(model, config(head=10.0)))
    assert found["queries.weight"][0] == 0.1 and found["head.weight"][0] == 1.0


def test_layers_learn_slower_towards_the_image() -> None:
    """Each at a share of the one behind it; all else, and what DejaVu adds, at its usual rate."""
    model = DejaVu(network(), num_classes=K)
    base = model.network
    base.decayed_layers = lambda: [[*base.backbone[0].parameters()], [*base.backbone[1].parameters()]]
    found = names(model, build_optimizer(model, config(layer_decay=0.5, head=10.0)))
    rates = {name.removeprefix("network."): rate for name, (rate, _) in found.items()}
    assert rates["backbone.0.weight"] == rates["backbone.0.bias"] == 0.1 * 0.25
    assert rates["backbone.1.weight"] == 0.1 * 0.5
    assert rates["head.weight"] == rates["pos_embed"] == 1.0  # the other factor
    assert {rate for name, rate in rates.items() if name.startswith("regenerator.")} == {0.1}


def test_factors_of_a_layer_are_multiplied() -> None:
    model = network()
    model.decayed_layers = lambda: [[model.backbone[0].weight]]
    found = names(model, build_optimizer(model, config(layer_decay=0.5, backbone=0.1)))
    assert found["backbone.0.weight"][0] == pytest.approx(0.1 * 0.1 * 0.5)
    assert found["backbone.0.bias"][0] == pytest.approx(0.1 * 0.1)


def test_a_decay_needs_layers() -> None:
    with pytest.raises(DejavuError, match=r"optimizer\.layer_decay is 0\.9, but Network does not name"):
        build_optimizer(network(), config(layer_decay=0.9))


@pytest.mark.parametrize("architecture", ["swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224"])
def test_what_timm_does_not_decay_is_not_decayed(architecture: str) -> None:
    """timm's own groups, of its own networks, are the reference."""
    with torch.device("meta"):
        model = timm.create_model(architecture)
    spared = model.no_weight_decay()
    found = names(model, build_optimizer(model, config(decay_norms=False)))
    for key, parameter in model.named_parameters():
        assert (found[key][1] == 0) == (parameter.ndim <= 1 or key in spared or "bias_table" in key), key


@pytest.mark.parametrize("key", ["backbone", "head"])
def test_a_factor_needs_a_backbone(key: str) -> None:
    with pytest.raises(DejavuError, match=rf"optimizer\.{key} is 0\.1, but Conv2d has no 'backbone'"):
        build_optimizer(nn.Conv2d(3, K, 1), config(**{key: 0.1}))


@pytest.mark.parametrize("name", ["poly", "one_cycle", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_schedules_keep_the_factors(name: str, warmup: float) -> None:
    optimizer = build_optimizer(network(), config(backbone=0.1))
    scheduler = build_scheduler(optimizer, Schedule(name=name, warmup=warmup), 40)
    single = build_optimizer(nn.Linear(1, 1), config())
    reference = build_scheduler(single, Schedule(name=name, warmup=warmup), 40)
    rates, expected = [], []
    for _ in range(40):
        rates.append([group["lr"] for group in optimizer.param_groups])
        expected.append(single.param_groups[0]["lr"])
        for one, schedule in ((optimizer, scheduler), (single, reference)):
            one.step()
            schedule.step()
    np.testing.assert_allclose(np.array(rates), np.outer(expected, [1, 0.1]), rtol=1e-9)
    assert len(set(expected)) > 1 or name == "constant"


def train(model: nn.Module, options: Optimizer, whole: bool = False, steps: int = 3) -> list[float]:
    """Some steps on noise; the norms of the base network's gradients after clipping."""
    optimizer = build_optimizer(model, options)
    generator = torch.Generator().manual_seed(1)
    base = model.network if isinstance(model, DejaVu) else model
    norms = []
    for step in range(steps):
        images = torch.randn(2, 3, 32, 32, generator=generator)
        truth = torch.randint(K, (2, 8, 8), generator=generator)
        prediction = model(images)
        loss = F.cross_entropy(prediction, truth)
        if isinstance(model, DejaVu):
            loss = loss + model.regeneration_loss(images, prediction, torch.Generator().manual_seed(step))
        loss.backward()
        if whole:
            nn.utils.clip_grad_norm_(model.parameters(), options.clip or 0)
        else:
            clip_gradients(model, options.clip)
        norms.append(nn.utils.get_total_norm([p.grad for p in base.parameters()]).item())
        optimizer.step()
        optimizer.zero_grad()
    return norms


@every_optimizer
@pytest.mark.parametrize("clip", [None, 0.01, 1e6])
def test_the_detached_control_is_the_baseline_to_the_bit(name: str, clip: float | None) -> None:
    options = config(name, backbone=0.1, decay_norms=False, clip=clip)
    baseline, control = network(), DejaVu(network(), num_classes=K, gamma=5.0, detach=True)
    start = [parameter.clone() for parameter in control.regenerator.parameters()]
    norms = train(baseline, options)
    train(control, options)
    ours, theirs = control.network.state_dict(), baseline.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert not all(map(torch.equal, start, control.regenerator.parameters()))  # which learns
    if clip == 0.01:
        assert norms == [pytest.approx(clip, rel=1e-3)] * 3  # it was clipped


def test_clipping_all_together_would_change_the_control() -> None:
    """What the test above guards against does happen."""
    options = config(clip=0.01)
    baseline, control = network(), DejaVu(network(), num_classes=K, gamma=5.0, detach=True)
    train(baseline, options)
    train(control, options, whole=True)
    assert not torch.equal(control.network.head.weight, baseline.head.weight)


def test_clipping_shortens_and_never_lengthens() -> None:
    model = network()
    model(torch.ones(1, 3, 8, 8)).sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    clip_gradients(model, None)
    clip_gradients(model, 1e6)
    assert all(torch.equal(p.grad, kept) for p, kept in zip(model.parameters(), before, strict=True))
    clip_gradients(model, 0.5)
    shares = torch.cat([p.grad.flatten() for p in model.parameters()]) / torch.cat(
        [g.flatten() for g in before]
    )
    shares = shares[shares.isfinite()]
    assert nn.utils.get_total_norm([p.grad for p in model.parameters()]).item() == pytest.approx(
        0.5, rel=1e-4
    )
    torch.testing.assert_close(shares, shares[:1].expand_as(shares))
