"""Networks: published sizes, and properties that every file in dejavu/networks must have."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import yaml
from helpers import ROOT
from safetensors.torch import save_file
from torch import nn

from dejavu import networks, registry
from dejavu.errors import DejavuError
from dejavu.method.attention import Shared
from dejavu.networks.cost import measure
from dejavu.tasks.predictions import as_tensor, read, tensors

K = 7  # classes


def entries() -> dict[str, dict]:
    """Networks of params.yaml, one of those that differ in numbers only, and modules that none of them uses.

    Nothing is downloaded.
    """
    listed = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["networks"]
    found = {name: {k: v for k, v in entry.items() if k != "pretrained"} for name, entry in listed.items()}
    kinds: dict[str, str] = {}
    for name, entry in found.items():
        kind = {k: v if isinstance(v, bool | str) else "number" for k, v in entry.items()}
        kinds.setdefault(str(kind), name)
    found = {name: found[name] for name in kinds.values()}
    used = {entry["module"] for entry in found.values()}
    return found | {name: {"module": name} for name in networks.names() if name not in used}


every_network = pytest.mark.parametrize("entry", entries().values(), ids=entries())


def build(entry: dict, num_classes: int = K, width: float = 0.25, depth: float = 0.25) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(num_classes=num_classes, width=width, depth=depth, **entry)


def task(entry: dict) -> str:
    """What the network predicts, of the tasks that have one mapping or tensor."""
    return registry.only_task(entry["module"]) or "semantic"


def said(prediction: object) -> list[torch.Tensor]:
    """All that a network says in evaluation mode, the map first: logits of classes, or of queries' masks."""
    if isinstance(prediction, torch.Tensor):
        return [prediction]
    return tensors({"panoptic": read("panoptic", prediction)})[::-1]


def loss(network: nn.Module, images: torch.Tensor, task: str) -> torch.Tensor:
    """One number that depends on all that the network says in training mode."""
    prediction = network(images)
    if hasattr(network, "criterion"):
        labels = torch.arange(images.shape[0] * 64).reshape(-1, 8, 8) % K
        labels = labels.repeat_interleave(images.shape[2] // 8, 1).repeat_interleave(images.shape[3] // 8, 2)
        return network.criterion(prediction, labels * 256 if task == "panoptic" else labels, 255)
    outputs = [as_tensor(prediction)]
    if isinstance(prediction, dict):
        outputs += prediction.get("auxiliary", {}).values()
    return sum(output.square().mean() for output in outputs)


def test_shared_attention_costs_what_the_paper_plots() -> None:
    cost = measure(lambda: networks.build("hrnet", 19, attention=True), (512, 1024))
    assert 19 < cost.gmacs < 23 and 4.0 < cost.params_m < 5.0
    plain = measure(lambda: networks.build("hrnet", 19), (512, 1024))
    cells = 64 * 128  # at stride 8
    assert cost.gmacs - plain.gmacs > 2 * cells**2 * 16 / 1e9  # both products of the attention are in it


@pytest.mark.parametrize("size", [(64, 96), (33, 70)])
def test_shared_attention_starts_as_the_plain_network(size: tuple[int, int]) -> None:
    plain, attentive = build({"module": "hrnet"}), build({"module": "hrnet", "attention": True})
    weights = attentive.state_dict()
    assert not [name for name in plain.state_dict() if name not in weights]
    assert all(torch.equal(value, weights[name]) for name, value in plain.state_dict().items())
    assert all(name.startswith("attention.") for name in weights.keys() - plain.state_dict().keys())
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        trained = attentive.train()(images)
        assert torch.equal(trained["out"], plain.train()(images))
        assert torch.equal(attentive.eval()(images), plain.eval()(images))
    assert isinstance(trained["attention"], Shared)
    assert trained["attention"].size == (-(-size[0] // 32) * 4, -(-size[1] // 32) * 4)


@pytest.mark.parametrize(("width", "dim"), [(1.0, 16), (0.5, 8), (0.25, 4)])
def test_shared_attention_scales_with_the_width(width: float, dim: int) -> None:
    with torch.device("meta"):
        attention = networks.build("hrnet", K, width, attention=True, attention_heads=2).attention
    assert (attention.dim, attention.heads, attention.reduce[0].out_channels) == (dim, 2, 3 * dim)


@every_network
@pytest.mark.parametrize("size", [(64, 96), (33, 70), (32, 32)])
def test_logits_lie_on_the_networks_stride(entry: dict, size: tuple[int, int]) -> None:
    network = build(entry).eval()
    with torch.no_grad():
        logits, *others = said(network(torch.randn(2, 3, *size)))
    channels = K if task(entry) == "semantic" else others[0].shape[1]  # as many masks as queries
    assert logits.shape == (2, channels, *(-(-side // network.stride) for side in size))
    assert all(each.isfinite().all() for each in (logits, *others))


@every_network
def test_padding_leaves_the_inside_alone(entry: dict) -> None:
    """An odd image's logits are those of the image that its border was continued in."""
    network = build(entry).eval()
    images = torch.randn(1, 3, 33, 70)
    continued = nn.functional.pad(images, (0, 26, 0, 31), mode="replicate")  # to 64 x 96
    with torch.no_grad():
        (odd, *others), (even, *expected) = said(network(images)), said(network(continued))
    torch.testing.assert_close(odd, even[..., : odd.shape[2], : odd.shape[3]])
    torch.testing.assert_close(others, expected)


@every_network
def test_same_seed_same_network_and_prediction(entry: dict) -> None:
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        one, other = (said(build(entry).eval()(images)) for _ in range(2))
    assert all(map(torch.equal, one, other))


# DETR's decoder begins with zeros: between zeros its first attention has nothing to choose or to project.
IDLE = {
    "maskformer": {
        f"queries.decoder.layers.0.self_attn.{name}"
        for name in ("q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias", "v_proj.weight")
    }
}


@every_network
def test_gradient_reaches_every_parameter(entry: dict) -> None:
    """In one of a few steps: what is behind a projection that starts at 0, or is dropped, waits."""
    network = build(entry).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    waiting = {name: p for name, p in network.named_parameters() if p.requires_grad}
    for _ in range(6):
        optimizer.zero_grad()
        loss(network, torch.randn(2, 3, 64, 64), task(entry)).backward()
        waiting = {name: p for name, p in waiting.items() if p.grad is None or not p.grad.abs().sum() > 0}
        if not waiting:
            break
        optimizer.step()
    assert set(waiting) <= IDLE.get(entry["module"], set())  # of rounding errors some are moved, too


@every_network
def test_what_is_only_trained_is_not_asked_in_evaluation(entry: dict) -> None:
    network = build(entry).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = said(network(images))
        for name, parameter in network.named_parameters():
            if name.startswith(tuple(getattr(network, "training_only", ()))):
                parameter.fill_(torch.nan)
        assert all(map(torch.equal, said(network(images)), before))


@every_network
def test_auxiliary_outputs_are_those_that_are_announced(entry: dict) -> None:
    """In training mode only, and with the classes of the main output."""
    network = build(entry).train()
    announced = tuple(getattr(network, "auxiliary_outputs", ()))
    prediction = network(torch.randn(2, 3, 64, 64))
    found = prediction.get("auxiliary", {}) if isinstance(prediction, dict) else {}
    assert tuple(found) == announced
    assert all(logits.shape[:2] == (2, K) and logits.requires_grad for logits in found.values())
    still = network.eval()(torch.randn(1, 3, 64, 64))
    if task(entry) == "panoptic":
        assert set(still) < set(prediction) and len(still) == 2
    else:
        assert isinstance(still, torch.Tensor)


@every_network
def test_named_layers_are_parts_of_the_network(entry: dict) -> None:
    """Each parameter in one layer at most, and the first layer is what sees the image."""
    with torch.device("meta"):
        network = build(entry)
    if not hasattr(network, "decayed_layers"):
        return
    layers = network.decayed_layers()
    named = [parameter for layer in layers for parameter in layer]
    assert len(layers) > 2 and all(layers) and len(set(named)) == len(named)
    assert set(named) < set(network.parameters())
    assert any(parameter.ndim == 4 and parameter.shape[1] == 3 for parameter in layers[0])


@every_network
def test_reduced_is_the_same_class_with_fewer_channels(entry: dict) -> None:
    with torch.device("meta"):
        full, reduced = build(entry, width=1.0, depth=1.0), build(entry)
    assert type(full) is type(reduced)
    sizes = [(0.25, 0.25), (0.25, 1.0), (1.0, 1.0)]  # fewer channels and blocks, fewer channels, none fewer
    costs = [measure(lambda size=size: build(entry, K, *size), (64, 64)) for size in sizes]
    assert costs == sorted(costs) and len(set(costs)) == 3
    assert costs[1].params_m < 0.5 * costs[2].params_m


@every_network
def test_weights_round_trip_strictly(entry: dict) -> None:
    network = build(entry).eval()
    torch.manual_seed(5)
    other = networks.build(num_classes=K, width=0.25, depth=0.25, **entry).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not any(map(torch.equal, said(network(images)), said(other(images))))
        other.load_state_dict(network.state_dict(), strict=True)
        assert all(map(torch.equal, said(network(images)), said(other(images))))


@every_network
def test_cost_is_the_same_without_computing(entry: dict) -> None:
    state = torch.get_rng_state()
    meta = measure(lambda: networks.build(num_classes=K, width=0.25, depth=0.25, **entry), (64, 96))
    assert torch.equal(torch.get_rng_state(), state)
    assert meta == measure(lambda: build(entry), (64, 96), device="cpu")


def test_cost_of_layers_that_can_be_counted_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1))
    cost = measure(lambda: network, (20, 30), device="cpu")
    assert cost.gmacs == pytest.approx(10 * 15 * (3 * 8 * 9 + 8 * 5) / 1e9)
    assert cost.params_m == pytest.approx((3 * 8 * 9 + 8 + 2 * 8 + 8 * 5 + 5) / 1e6)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: networks.build("hrnets", K), "did you mean 'hrnet'"),
        (lambda: networks.build("hrnet", K, chanels=18), "did you mean 'channels'"),
        (lambda: networks.build("hrnet", K, channels=0), "channels"),
        (lambda: networks.build("hrnet", 0), "num_classes"),
        (lambda: networks.build("hrnet", K, width=0.0), "width"),
        (lambda: networks.build("hrnet", K, attention=1), "attention: must be true or false"),
        (lambda: networks.build("hrnet", K, attention=True, attention_stride=6), "multiple of 4, not 6"),
        (lambda: networks.build("hrnet", K, pretrained="hrnet_w17"), "neither a .safetensors"),
        (
            lambda: networks.build("hrnet", K, pretrained="absent.safetensors"),
            "absent.safetensors is missing",
        ),
    ],
)
def test_what_cannot_be_built_is_named(call, expected: str) -> None:
    with pytest.raises(DejavuError, match=expected):
        call()


@pytest.fixture(scope="module")
def classifier() -> dict[str, torch.Tensor]:
    """The weights of timm's ImageNet classifier (random ones: nothing is downloaded)."""
    return timm.create_model("hrnet_w18_small_v2", pretrained=False).state_dict()


@pytest.mark.parametrize(
    ("source", "attention"),
    [
        ("file.safetensors", False),
        ("file.safetensors", True),
        ("file.pth", False),
        ("hrnet_w18_small_v2", False),
    ],
)
def test_pretrained_fills_the_whole_backbone(
    source: str, attention: bool, classifier, tmp_path, monkeypatch
) -> None:
    if source == "file.safetensors":
        save_file(classifier, source := str(tmp_path / source))
    elif source == "file.pth":
        torch.save(classifier, source := str(tmp_path / source))
    else:
        hub = type("Hub", (), {"state_dict": lambda self: classifier})
        monkeypatch.setattr(timm, "create_model", lambda name, pretrained: hub() if pretrained else None)
    network = networks.build("hrnet", K, pretrained=source, attention=attention)
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, classifier[name]), name


def test_pretrained_that_cannot_be_downloaded_is_named(monkeypatch) -> None:
    def offline(name: str, pretrained: bool) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(DejavuError, match="hrnet_w18_small_v2.* could not be downloaded"):
        networks.build("hrnet", K, pretrained="hrnet_w18_small_v2.ms_in1k")


def test_pretrained_is_never_skipped_silently(classifier, tmp_path: Path) -> None:
    path = str(tmp_path / "weights.safetensors")
    save_file({k: v for k, v in classifier.items() if k != "conv1.weight"}, path)
    with pytest.raises(DejavuError, match="lacks 1 of the backbone's .* 'conv1.weight'"):
        networks.build("hrnet", K, pretrained=path)
    save_file(classifier | {"stage9.weight": torch.zeros(1)}, path)
    with pytest.raises(DejavuError, match="1 others, such as 'stage9.weight'"):
        networks.build("hrnet", K, pretrained=path)
    save_file(classifier, path)
    with pytest.raises(DejavuError, match="needs width 1"):
        networks.build("hrnet", K, width=0.5, pretrained=path)
    Path(path).write_bytes(b"not a file of weights")
    with pytest.raises(DejavuError, match="cannot be read"):
        networks.build("hrnet", K, pretrained=path)
    measure(lambda: networks.build("hrnet", K, pretrained="absent.safetensors"), (64, 64))  # reads nothing
