"""SegNet: published sizes, numbers of the public code, and what every network for several tasks must do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

from dejavu import networks, registry
from dejavu.errors import DejavuError
from dejavu.networks.backbones import segnet as parts
from dejavu.networks.cost import measure
from dejavu.networks.layers.normalisation import Renormalise
from dejavu.networks.layers.per_task import outputs
from dejavu.tasks.images import normalise
from dejavu.tasks.predictions import read_all

NYUD = {"semantic": 13, "depth": 1, "normals": 3}
PAIR = {"semantic": 5, "normals": 3}
TINY = 1 / 16  # filters 4, 8, 16, 32, 32

# VICO-UoE/MTPSL, model/segnet_mtl.py: parameters without its three `logsigma`, which nothing here uses, and,
# its filters set to 4, 8, 16, 32, 32, means of absolute values and pixel (1, 0, 17, 42) of its predictions.
PARAMETERS = 25_055_185
PUBLIC = {
    "semantic": (2.744383358984904, -2.500441062694944),
    "depth": (0.3617779754251676, 0.38891447477454166),
    "normals": (0.5021798487297794, 0.31738797323064344),
}

SEVERAL = [name for name in networks.names() if registry.is_multitask(name)]
OPTIONS = {"semantic_fpn": {"backbone": "tf_efficientnet_lite0"}}  # the one that rows of several tasks have
for_several_tasks = pytest.mark.parametrize("module", SEVERAL)


def build(
    module: str, channels: int | Mapping[str, int] = PAIR, depth: float = 0.25, seed: int = 0, **given: Any
) -> Any:
    torch.manual_seed(seed)
    return networks.build(module, channels, TINY, depth, **OPTIONS.get(module, {}) | given)


def wave(*shape: int) -> Tensor:
    """Numbers that need no generator, float64."""
    return torch.sin(torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float64) ** 2).view(shape)


def fixed(network: nn.Module) -> nn.Module:
    """The network in training mode with weights that depend on nothing but their shapes, in float64."""
    network = network.double().train()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weight = wave(*module.weight.shape)
            module.weight.data = weight * (2 / weight[0].numel()) ** 0.5
            assert module.bias is not None
            module.bias.data.zero_()
    return network


def published_form(predictions: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the public code returns: log-probabilities and unit normals."""
    return {
        "semantic": F.log_softmax(predictions["semantic"], 1),
        "depth": predictions["depth"],
        "normals": F.normalize(predictions["normals"], dim=1),
    }


def test_has_the_published_size() -> None:
    """MTPSL's "standard" at 288x384; for one task the network that lorenmt/mtan compares with."""
    cost = measure(lambda: networks.build("segnet", NYUD), (288, 384))
    assert round(cost.params_m * 1e6) == PARAMETERS
    assert (round(cost.params_m, 2), round(cost.gmacs, 1)) == (25.06, 68.6)
    assert round(measure(lambda: networks.build("segnet", 13), (32, 32)).params_m * 1e6) == 24_981_069


def test_encoder_is_vgg16s() -> None:
    network = build("segnet", depth=1.0, unit=False).train()
    filters = network.trunk.filters
    layers = [filters[i] if part else "M" for i, n in enumerate((2, 2, 3, 3, 3)) for part in (*[1] * n, 0)]
    vgg = make_layers(layers, batch_norm=True).train()
    ours = network.trunk.encoder.state_dict().values()
    vgg.load_state_dict(dict(zip(vgg.state_dict(), ours, strict=True)))
    images = torch.randn(2, 3, 64, 96)
    assert torch.equal(network(images)["features"], vgg(images))


def test_predicts_what_the_public_code_does() -> None:
    """In training mode, from these weights and this image."""
    network = fixed(networks.build("segnet", NYUD, TINY, unit=False))
    with torch.no_grad():
        found = published_form(network(wave(2, 3, 64, 96)))
    for task, (mean, pixel) in PUBLIC.items():
        assert found[task].abs().mean().item() == pytest.approx(mean, rel=1e-6), task
        assert found[task][1, 0, 17, 42].item() == pytest.approx(pixel, rel=1e-6), task


def test_starts_as_the_public_code() -> None:
    """Xavier's normal distribution, biases 0, batch norms 1 and 0."""
    torch.manual_seed(0)
    for module in networks.build("segnet", NYUD, 0.5).modules():
        if isinstance(module, nn.Conv2d):
            out, inside, *sides = module.weight.shape
            expected = (2 / ((out + inside) * torch.Size(sides).numel())) ** 0.5
            error = 5 * expected / module.weight.numel() ** 0.5  # five of the standard error, and more
            assert module.weight.std().item() == pytest.approx(expected, abs=error)
            assert module.bias is not None and not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all()) and not module.bias.any()


def test_fewer_convolutions_at_a_reduced_depth_but_all_stages() -> None:
    def convolutions(depth: float) -> list[int]:
        trunk = build("segnet", depth=depth).trunk
        return [1 + len(stage.others) for stage in (*trunk.encoder, *trunk.decoder)]

    assert convolutions(1.0) == [2, 2, 3, 3, 3, 3, 3, 3, 2, 2]
    assert convolutions(0.5) == [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]
    assert convolutions(0.01) == [1] * 10


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels"])
@pytest.mark.parametrize("size", [(2, 3, 8, 12), (1, 1, 2, 2), (1, 5, 6, 2)])
def test_unpooling_is_torchs(size: tuple[int, ...], layout: torch.memory_format) -> None:
    """To the bit, with its gradient, where many maxima are equal, too; in the deterministic mode."""
    x = F.relu(torch.randn(size, generator=torch.Generator().manual_seed(1)))  # half of it zeros
    values, places = parts.pool(x.contiguous(memory_format=layout))
    theirs, ours = (values.detach().clone().requires_grad_() for _ in range(2))
    weights = torch.arange(x.numel(), dtype=torch.float32).view(size)
    expected = F.max_unpool2d(theirs, places, 2)
    (expected * weights).sum().backward()
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        found = parts.unpool(ours, places)
        (found * weights).sum().backward()
        with pytest.raises(RuntimeError, match="deterministic"):
            F.max_unpool2d(theirs, places, 2)  # else torch's own would do
    finally:
        torch.set_deterministic_debug_mode(before)
    assert torch.equal(found, expected) and torch.equal(ours.grad, theirs.grad)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_sees_images_in_the_unit_range() -> None:
    pixels = torch.randint(256, (2, 32, 64, 3), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    unit = pixels.permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(Renormalise()(normalise(pixels)), unit)
    plain, network = build("segnet", unit=False).eval(), build("segnet").eval()
    plain.load_state_dict(network.state_dict(), strict=True)
    with torch.no_grad():
        expected, found = plain(unit), network(normalise(pixels))
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(plain(normalise(pixels))["semantic"], expected["semantic"])


@pytest.mark.parametrize(
    ("channels", "expected"),
    [({}, "not {}"), ({"depth": 0}, "not {'depth': 0}"), ({"features": 3}, "none may be called 'features'")],
    ids=["none", "no_channels", "reserved"],
)
def test_tasks_that_cannot_be_built_are_named(channels: dict[str, int], expected: str) -> None:
    with pytest.raises(DejavuError, match=expected):
        outputs(channels)


def test_there_are_networks_for_several_tasks() -> None:
    assert {"segnet", "mtan"} <= set(SEVERAL)


@for_several_tasks
@pytest.mark.parametrize("size", [(64, 96), (33, 70)])
def test_predictions_are_named_by_their_tasks(module: str, size: tuple[int, int]) -> None:
    network = build(module)
    images = torch.randn(2, 3, *size)
    shapes = {
        task: torch.Size((2, count, *(-(-side // network.stride) for side in size)))
        for task, count in PAIR.items()
    }
    trained = network.train()(images)
    features = trained.pop("features")
    assert {task: x.shape for task, x in trained.items()} == shapes
    assert features.shape[:2] == (2, network.feature_channels) and features.requires_grad
    assert features.shape[2] < size[0] / 4 and features.shape[3] < size[1] / 4
    found = network.eval()(images)
    assert {task: x.shape for task, x in found.items()} == shapes
    assert read_all(tuple(PAIR), found) == found


@for_several_tasks
def test_padding_leaves_every_tasks_inside_alone(module: str) -> None:
    network = build(module).eval()
    images = torch.randn(1, 3, 33, 70)
    continued = F.pad(images, (0, 26, 0, 31), mode="replicate")  # to 64 x 96
    with torch.no_grad():
        odd, even = network(images), network(continued)
    for task, x in odd.items():
        torch.testing.assert_close(x, even[task][..., : x.shape[2], : x.shape[3]])


@for_several_tasks
def test_heads_hold_what_a_task_does_not_share(module: str) -> None:
    """A task's gradient reaches its head and what is shared, `last_shared` above all, and no other head."""
    network = build(module).train()
    assert isinstance(network.heads, nn.ModuleDict) and list(network.heads) == list(PAIR)
    last = {id(p) for p in network.last_shared.parameters()}
    own = {task: {id(p) for p in head.parameters()} for task, head in network.heads.items()}
    everything = {id(p) for p in network.parameters()}
    assert last and last <= everything - set().union(*own.values())
    for task in PAIR:
        network.zero_grad()
        (network(torch.randn(2, 3, 64, 64))[task] - 1).square().mean().backward()
        reached = {id(p) for p in network.parameters() if p.grad is not None and p.grad.any()}
        others = set().union(*(ids for name, ids in own.items() if name != task))
        assert reached == everything - others
        assert all(p.grad is not None and p.grad.any() for p in network.last_shared.parameters())


@for_several_tasks
def test_one_task_is_the_same_network_with_one_head(module: str) -> None:
    several, single = build(module).eval(), build(module, PAIR["semantic"]).eval()
    assert len(single.heads) == 1 and single.feature_channels == several.feature_channels
    (name,) = single.heads
    weights = {k.replace("heads.semantic.", f"heads.{name}."): v for k, v in several.state_dict().items()}
    single.load_state_dict({k: v for k, v in weights.items() if "heads.normals." not in k}, strict=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(single(images), several(images)["semantic"])
        assert isinstance(single.train()(images), Tensor)


@for_several_tasks
def test_several_tasks_load_strictly_and_cost_the_same_without_computing(module: str) -> None:
    network = build(module).eval()
    other = build(module, seed=5).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        assert not torch.equal(other(images)["normals"], expected["normals"])
        other.load_state_dict(network.state_dict(), strict=True)
        assert all(torch.equal(x, expected[task]) for task, x in other(images).items())
    meta = measure(lambda: build(module), (64, 96))
    assert meta == measure(lambda: build(module), (64, 96), device="cpu")
    assert meta > measure(lambda: build(module, PAIR["semantic"]), (64, 96))


@for_several_tasks
def test_a_channels_last_step_is_deterministic_and_stays_channels_last(module: str) -> None:
    """As training/loop.py runs it: the same gradients twice, with torch's deterministic mode as an error."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    try:
        steps = []
        for _ in range(2):
            network = build(module).to(memory_format=torch.channels_last).train()
            predictions = network(images)
            sum(x.square().mean() for x in predictions.values()).backward()
            steps.append([p.grad for p in network.parameters()])
    finally:
        torch.set_deterministic_debug_mode(before)
    assert all(torch.equal(a, b) for a, b in zip(*steps, strict=True))
    assert predictions["semantic"].stride(1) == 1  # channels last, if a part of more
    assert predictions["features"].is_contiguous(memory_format=torch.channels_last)
