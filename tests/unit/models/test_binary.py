"""A binary head: one output of the network, exported as it is, and two classes for everything behind it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import ROOT
from torch import nn
from torch.nn import functional as F

from dejavu import DejaVu, networks, registry
from dejavu.config import Protocol, Run, loading
from dejavu.errors import DejavuError
from dejavu.evaluation.predictor import Predictor
from dejavu.models.build import build_method, build_network
from dejavu.tasks.images import normalise
from dejavu.tasks.predictions import as_tensor
from dejavu.training.losses import Criterion

PARAMS = loading.load(ROOT / "params.yaml")
CLASSES = ["background", "object"]
SEMANTIC = [
    name
    for name, row in PARAMS.experiments.items()
    if row.task == "semantic"
    and row.dejavu is None
    and registry.only_task(PARAMS.networks[row.network].module) is None
]
BY_MODULE = {PARAMS.networks[PARAMS.experiments[name].network].module: name for name in reversed(SEMANTIC)}
OWN_LOSS = {"mask2former", "maskformer", "semask", "vit_adapter"}


def binary(name: str) -> Run:
    return PARAMS.run(name, "smoke").model_copy(update={"head": "binary"})


def built(name: str, head: bool = True) -> nn.Module:
    """A row's network for two classes, or the plain one of one output with the same weights."""
    run = binary(name)
    torch.manual_seed(0)
    if head:
        return build_network(run, 2, pretrained=False, classes=CLASSES)
    return build_network(run.model_copy(update={"head": "classes"}), 1, pretrained=False, classes=CLASSES[1:])


def images(count: int = 2, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def labels(size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    unknown = torch.rand(2, *size, generator=generator) < 0.3
    return torch.randint(2, (2, *size), generator=generator).masked_fill(unknown, 255)


def binary_loss(logit: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy by torch, over the pixels that are not ignored."""
    full = F.interpolate(logit, truth.shape[1:], mode="bilinear")[:, 0]
    known = truth != 255
    return F.binary_cross_entropy_with_logits(full[known], truth[known].float())


def test_every_module_of_segmentation_is_covered() -> None:
    multitask = {name for name in networks.names() if registry.is_multitask(name)}
    others = {name for name in networks.names() if registry.only_task(name)}
    assert set(networks.names()) - BY_MODULE.keys() <= multitask | others


@pytest.mark.parametrize("name", BY_MODULE.values(), ids=BY_MODULE)
def test_every_network_of_pixels_has_one_output_and_learns_by_the_binary_loss(name: str) -> None:
    """The loss and its gradient are those that torch's binary cross-entropy gives the plain network."""
    if binary(name).network.module in OWN_LOSS:
        with pytest.raises(
            DejavuError, match=f"experiments.{name}.head: .* learns masks by a loss of its own"
        ):
            built(name)
        return
    network, plain, truth = built(name), built(name, head=False), labels()
    plainly = {"ohem": None, "rmi": None, "class_weights": None, "align_corners": False}
    recipe = binary(name).train.model_copy(update=plainly)
    criterion = Criterion(recipe, "semantic", 2, categories=("thing", "other"), network=network).train()
    losses = []
    for module in (network, plain):
        torch.manual_seed(0)  # dropout
        output = module.train()(images())
        main = as_tensor(output)
        losses.append(criterion.main(output, truth) if module is network else binary_loss(main, truth))
        losses[-1].backward()
    torch.testing.assert_close(*losses)
    ours, theirs = dict(network.named_parameters()), dict(plain.named_parameters())
    assert [(key, value.shape) for key, value in ours.items()] == [(k, v.shape) for k, v in theirs.items()]
    for key in theirs:
        if theirs[key].grad is not None:
            torch.testing.assert_close(ours[key].grad, theirs[key].grad, rtol=1e-3, atol=1e-5)
    output = network(images())
    if isinstance(output, dict):
        assert all(logits.shape[1] == 2 and not logits[:, 0].any() for logits in output["auxiliary"].values())
    assert criterion(output, truth).isfinite()


def test_dejavu_learns_what_it_learns_of_one_logit_in_the_library() -> None:
    run = PARAMS.run("hrnet18_dejavu", "smoke").model_copy(update={"head": "binary"})
    gradients = []
    for library in (False, True):
        network = built("hrnet18", head=not library).eval()
        model = DejaVu(network, num_classes=1) if library else build_method(run, network, CLASSES)
        model.regeneration_loss(images(), model(images()), torch.Generator().manual_seed(0)).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(map(torch.equal, *gradients)) and any(gradient.any() for gradient in gradients[0])


class Brightness(nn.Module):
    """One logit: above 0 where a pixel is brighter than the mean."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.factor * inputs.sum(1, keepdim=True)


@pytest.mark.parametrize("protocol", [{}, {"slide": 0.5}, {"flip": True}, {"slide": 0.5, "flip": True}])
def test_the_threshold_is_one_half(protocol: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under every protocol a pixel is of the second class where its probability is above 0.5."""
    monkeypatch.setattr(networks, "build", lambda *_, **__: Brightness())
    network = build_network(binary("hrnet18"), 2)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), np.uint8)
    expected = normalise(torch.from_numpy(pictures)).sum(1).sigmoid() > 0.5
    predictor = Predictor(network, "semantic", Protocol(**protocol), crop=(16, 16))
    for picture, truth in zip(pictures, expected, strict=True):
        (prediction,) = predictor.predict(picture[None])
        np.testing.assert_array_equal(prediction, truth.numpy())
        assert set(np.unique(prediction)) == {0, 1}


@pytest.mark.parametrize("count", [1, 3, 19])
def test_a_binary_head_is_for_two_classes(count: int) -> None:
    with pytest.raises(DejavuError, match=rf"experiments.hrnet18.head: binary is for 2 classes.*has {count}"):
        build_network(binary("hrnet18"), count, pretrained=False)


def test_the_usual_head_leaves_the_hash_of_a_run_as_it_was() -> None:
    assert "head" not in PARAMS.run("hrnet18", "smoke").as_dict()
    assert binary("hrnet18").as_dict() == PARAMS.run("hrnet18", "smoke").as_dict() | {"head": "binary"}
