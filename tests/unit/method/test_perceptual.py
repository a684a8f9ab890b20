"""The perceptual distance, against torchvision's VGG16."""

from __future__ import annotations

import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg16
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.vgg import cfgs, make_layers

from dejavu.errors import DejavuError
from dejavu.method import perceptual as module
from dejavu.method.perceptual import Perceptual

NARROW = 0.125
LAYERS = ("relu1_2", "relu2_2", "relu3_3")
PLACES = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29}  # Johnson et al. 2016


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 32, 48, generator=generator), torch.randn(2, 3, 32, 48, generator=generator)


def narrow_vgg(seed: int = 4) -> nn.Sequential:
    """torchvision's features at an eighth of their width, with biases that are not 0."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make_layers([c if isinstance(c, str) else c // 8 for c in cfgs["D"]])


def saved(network: nn.Module, file: Path) -> str:
    torch.save(network.state_dict(), file)
    return str(file)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("layers", [LAYERS, ("relu4_3", "relu1_2"), ("relu5_3",)])
def test_is_the_distance_of_torchvisions_features(
    layers: tuple[str, ...], normalise: bool, images: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    vgg = narrow_vgg()
    distance = Perceptual(
        saved(vgg, tmp_path / "vgg.pt"), width=NARROW, layers=layers, normalise=normalise, weight=2.0
    )
    extract = create_feature_extractor(vgg.double(), {str(PLACES[layer]): layer for layer in layers})
    expected = []
    for layer in layers:
        a, b = (extract(batch.double())[layer].detach() for batch in images)
        if normalise:  # LPIPS without its learned weights
            a, b = (f / (f.pow(2).sum(1, keepdim=True) + 1e-6).sqrt() for f in (a, b))
            expected.append((a - b).pow(2).sum(1).mean())
        else:
            expected.append((a - b).pow(2).mean())
    torch.testing.assert_close(
        distance(*images).double(), 2 * sum(expected) / len(layers), rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("normalise", [True, False])
def test_is_a_distance(normalise: bool, images: tuple[Tensor, Tensor]) -> None:
    distance = Perceptual(width=NARROW, normalise=normalise, weight=1.0)
    first, second = images
    assert distance(first, first) == 0
    torch.testing.assert_close(distance(first, second), distance(second, first))
    near = first + 0.1 * (second - first)
    assert 0 < distance(near, first) < distance(second, first)


def test_gradient_reaches_only_what_was_regenerated(images: tuple[Tensor, Tensor]) -> None:
    regenerated, wanted = (batch.clone().requires_grad_() for batch in images)
    distance = Perceptual(width=NARROW)
    distance(regenerated, wanted).backward()
    assert regenerated.grad is not None and regenerated.grad.isfinite().all()
    assert (regenerated.grad.flatten(1).norm(dim=1) > 0).all()
    assert wanted.grad is None
    assert all(p.grad is None and not p.requires_grad for p in distance.trunk.network.parameters())


def test_gradient_is_finite_where_features_vanish(tmp_path: Path, images: tuple[Tensor, Tensor]) -> None:
    vgg = narrow_vgg()
    for parameter in vgg.parameters():
        nn.init.zeros_(parameter)  # every feature is 0
    regenerated = images[0].requires_grad_()
    loss = Perceptual(saved(vgg, tmp_path / "vgg.pt"), width=NARROW)(regenerated, images[1])
    loss.backward()
    assert loss == 0 and regenerated.grad is not None and regenerated.grad.isfinite().all()


@pytest.mark.parametrize("layer", PLACES)
def test_full_width_has_torchvisions_parameters(layer: str) -> None:
    with torch.device("meta"):
        expected = [p.shape for p in vgg16(weights=None).features[: PLACES[layer] + 1].parameters()]
    if layer in ("relu4_3", "relu5_3"):
        assert module.activations()[layer] == PLACES[layer]  # without making 15 M random numbers
        return
    trunk = Perceptual(layers=(layer,)).trunk.network
    assert [p.shape for p in trunk.parameters()] == expected


def test_channels_are_torchvisions() -> None:
    assert (*module.VGG16, "M") == tuple(cfgs["D"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_reads_a_whole_vgg16_and_its_features(suffix: str, tmp_path: Path) -> None:
    vgg, file = narrow_vgg(), tmp_path / f"vgg{suffix}"
    weights = {f"features.{key}": value for key, value in vgg.state_dict().items()}
    weights["classifier.0.weight"] = torch.zeros(2, 2)
    (save_file if suffix == ".safetensors" else torch.save)(weights, file)
    read = Perceptual(str(file), width=NARROW)
    for own, given in zip(read.trunk.network.parameters(), vgg.parameters(), strict=False):
        assert torch.equal(own, given)
    assert read.description == f"VGG16, weights of vgg{suffix}, width 0.125"


def test_default_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download stands still here; what is done with it does not."""
    with torch.random.fork_rng():
        vgg = make_layers(cfgs["D"][:5])
    weights = {f"features.{key}": value for key, value in vgg.state_dict().items()}
    monkeypatch.setattr(VGG16_Weights, "get_state_dict", lambda *_, **__: weights)
    module._load.cache_clear()
    read = Perceptual("DEFAULT", layers=("relu2_2",))
    assert torch.equal(read.trunk.network[7].weight, vgg[7].weight)
    assert read.description == "VGG16, weights DEFAULT"

    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(VGG16_Weights, "get_state_dict", fail)
    module._load.cache_clear()
    with pytest.raises(DejavuError, match="DEFAULT could not be downloaded .OSError.: name a file"):
        Perceptual("DEFAULT")


def test_seed_decides_and_the_global_state_is_left_alone(images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    module._load.cache_clear()
    first = Perceptual(width=NARROW)
    assert torch.equal(torch.rand(3), expected)
    assert Perceptual(width=NARROW, weight=3).trunk is first.trunk
    module._load.cache_clear()
    again, other = Perceptual(width=NARROW), Perceptual(width=NARROW, seed=1)
    assert first.trunk is not again.trunk and first(*images) == again(*images) != other(*images)


def test_a_module_that_holds_it_does_not_see_the_trunk() -> None:
    owner = nn.Linear(2, 3)
    owner.perceptual = Perceptual(width=NARROW)
    assert set(owner.state_dict()) == {"weight", "bias"} and len(list(owner.parameters())) == 2
    assert not owner.train().perceptual.trunk.network.training
    assert deepcopy(owner).perceptual.trunk is owner.perceptual.trunk
    assert len(pickle.dumps(owner)) < 10_000


def test_follows_the_images_device_and_stays_where_it_was(images: tuple[Tensor, Tensor]) -> None:
    distance = Perceptual(width=NARROW)
    before = distance(*images)
    assert distance(*(batch.to("meta") for batch in images)).is_meta  # the device that every machine has
    assert distance(*images) == before


BAD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "perceptual.layers: unknown layer 'relu3_4', did you mean 'relu3_": {"layers": ("relu3_4",)},
    "perceptual.layers must name at least one layer": {"layers": ()},
    "perceptual.weights: nowhere.pth is missing": {"weights": "nowhere.pth"},
    "perceptual.weights: vgg16 is missing": {"weights": "vgg16"},
    "perceptual.width must be 1 with the weights DEFAULT": {"weights": "DEFAULT", "width": 0.5},
    "perceptual.width must be a number above 0 and at most 1": {"width": 0},
    "perceptual.weight must be a number of at least 0": {"weight": float("nan")},
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_refuses_arguments_that_cannot_be_right(message: str) -> None:
    with pytest.raises(DejavuError, match=message):
        Perceptual(**BAD_ARGUMENTS[message])


def test_refuses_weights_that_do_not_fit(tmp_path: Path) -> None:
    file = saved(narrow_vgg(), tmp_path / "vgg.pt")
    with pytest.raises(
        DejavuError, match=r"vgg.pt does not fit: 'features.0.weight' is \(8, 3, 3, 3\) there"
    ):
        Perceptual(file, width=0.25)
    file = saved(nn.Linear(2, 3), tmp_path / "linear.pt")
    with pytest.raises(DejavuError, match="'features.0.weight' is missing there"):
        Perceptual(file, width=NARROW)


def test_refuses_what_it_cannot_compare(images: tuple[Tensor, Tensor]) -> None:
    distance = Perceptual(width=NARROW)
    for regenerated, wanted, message in (
        (images[0], images[1][:1], "must have one shape"),
        (images[0][:, :1], images[1], "regenerated must be floating"),
        (images[0], images[1].long(), "images must be floating .* not torch.int64"),
        (images[0][..., :3], images[1][..., :3], "at least 4 pixels high and wide"),
    ):
        with pytest.raises(DejavuError, match=message):
            distance(regenerated, wanted)


class Backbone(nn.Module):
    """Two maps, behind a dropout that only training has."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, stride=2), nn.Conv2d(5, 7, 3, stride=2)
        self.drop = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.drop(self.first(images))
        return [x, self.second(x)]


@pytest.mark.parametrize("normalise", [True, False])
def test_another_network_is_compared_by_all_of_its_maps(
    normalise: bool, images: tuple[Tensor, Tensor]
) -> None:
    network = Backbone().train()
    distance = Perceptual(network=network, weight=3.0, normalise=normalise)
    a, b = (network.eval()(batch) for batch in images)
    if normalise:
        each = [
            2 - 2 * nn.functional.cosine_similarity(x, y).mean() for x, y in zip(a, b, strict=True)
        ]  # of unit length
    else:
        each = [nn.functional.mse_loss(x, y) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(distance(*images), 3 * sum(each) / 2, rtol=1e-4, atol=1e-5)
    alone = Perceptual(network=network.first, weight=3.0, normalise=normalise)
    torch.testing.assert_close(alone(*images), 3 * each[0], rtol=1e-4, atol=1e-5)
    assert distance.description == "Backbone"


def test_another_network_is_copied_frozen_and_hidden(images: tuple[Tensor, Tensor]) -> None:
    network = Backbone().train()
    owner = nn.Linear(2, 3)
    owner.perceptual = Perceptual(network=network)
    before = owner.perceptual(*images)
    with torch.no_grad():
        network.first.weight.zero_()  # the network itself goes on learning
    assert owner.perceptual(*images) == before and network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    regenerated = images[0].clone().requires_grad_()
    owner.train().perceptual(regenerated, images[1]).backward()
    assert regenerated.grad.any() and len(list(owner.parameters())) == 2
    assert all(p.grad is None for p in owner.perceptual.trunk.network.parameters())
    for other in (deepcopy(owner), pickle.loads(pickle.dumps(owner))):
        assert other.perceptual(*images) == before
    assert owner.perceptual(*(batch.to("meta") for batch in images)).is_meta


@pytest.mark.parametrize("more", [{"weights": "vgg.pt"}, {"width": 0.5}, {"layers": ("relu1_2",)}], ids=str)
def test_another_network_has_weights_and_layers_of_its_own(more: dict[str, Any]) -> None:
    with pytest.raises(DejavuError, match="perceptual.network has its own weights and layers"):
        Perceptual(network=Backbone(), **more)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("vgg16", "must be a torch module, not str"),
        (nn.Flatten(), "must return a map"),
        (nn.Sequential(Backbone(), nn.Identity()), None),
    ],
    ids=["text", "no map", "maps"],
)
def test_another_network_returns_maps(
    network: Any, message: str | None, images: tuple[Tensor, Tensor]
) -> None:
    if message is None:
        assert Perceptual(network=network)(*images) > 0
        return
    with pytest.raises(DejavuError, match=f"perceptual.network {message}"):
        Perceptual(network=network)(*images)
