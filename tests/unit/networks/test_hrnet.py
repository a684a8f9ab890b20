"""The HRNet family against published figures, and what OCR, HS3 and HMS add against a computation by hand.

What every network must do is in test_networks.py.
"""

from __future__ import annotations

from functools import cache

import pytest
import timm
import torch
from torch import nn

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.networks.backbones import hrnet
from dejavu.networks.cost import measure
from dejavu.networks.layers.object_context import gather

K = 7  # classes
SMALL = {"width": 0.25, "depth": 0.25}


def build(module: str, seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    return networks.build(module, K, **SMALL, **options)


@cache
def on_meta(module: str, **options) -> nn.Module:
    with torch.device("meta"):
        return networks.build(module, 19, **options)


# At 512x1024 with 19 classes. W48: 65.8 M and, at 1024x2048 and divided by 2^30, 696.2 "GFLOPs" in the
# README of HRNet/HRNet-Semantic-Segmentation; with OCR 70.3 M on Hugging Face's page of
# qualcomm/HRNET_W48_OCR. HS3: as HRNet; HS3-Fuse: the cost in DejaVu's table. HMS is counted from its
# published code.
@pytest.mark.parametrize(
    ("module", "options", "params_m", "gmacs"),
    [
        ("hrnet", {}, 3.94, 19.2),
        ("hrnet", {"channels": 19}, 4.36, 20.6),
        ("hrnet", {"channels": 20}, 4.80, 22.0),
        ("hrnet", {"layout": "w48"}, 65.8, 696.2 / 4 * 2**30 / 1e9),
        ("hs3", {}, 3.94, 19.2),
        ("hs3", {"fuse": True}, None, 39.0),
        ("ocr", {}, 4.58, 38.8),
        ("ocr", {"layout": "w48", "mid": 512, "key": 256}, 70.3, 324.5),
        ("hms", {"scales": "0.5+1"}, 72.1, 478.0),
        ("hms", {}, 72.1, 2008.0),
    ],
)
def test_size_is_the_published_one(module: str, options: dict, params_m: float | None, gmacs: float) -> None:
    cost = measure(lambda: networks.build(module, 19, **options), (512, 1024))
    assert cost.gmacs == pytest.approx(gmacs, rel=0.005)
    assert params_m is None or cost.params_m == pytest.approx(params_m, rel=0.003)


# As the configurations seg_hrnet_w18_small_v2 and seg_hrnet_w48 of HRNet-Semantic-Segmentation have it.
@pytest.mark.parametrize(
    ("layout", "bottlenecks", "modules", "blocks", "channels"),
    [
        ("w18_small_v2", 2, (1, 3, 2), 2, (18, 36, 72, 144)),
        ("w48", 4, (1, 4, 3), 4, (48, 96, 192, 384)),
    ],
)
def test_backbone_has_the_published_layers(
    layout: str, bottlenecks: int, modules: tuple, blocks: int, channels: tuple
) -> None:
    backbone = on_meta("hrnet", layout=layout).backbone
    assert len(backbone.layer1) == bottlenecks and backbone.layer1[-1].conv3.out_channels == 256
    for number, stage in enumerate((backbone.stage2, backbone.stage3, backbone.stage4), 2):
        assert len(stage) == modules[number - 2]
        for branch, width in zip(stage[-1].branches, channels[:number], strict=True):
            assert [block.conv2.weight.shape for block in branch] == [(width, width, 3, 3)] * blocks


@pytest.mark.parametrize("layout", ["w18_small_v2", "w48"])
def test_backbone_is_timms_classifier_without_its_head(layout: str) -> None:
    """So that its published weights fit, and nothing else is left over."""
    with torch.device("meta"):
        theirs = timm.create_model(f"hrnet_{layout}").state_dict()
    ours = on_meta("hrnet", layout=layout).backbone.state_dict()
    assert all(theirs[name].shape == value.shape for name, value in ours.items())
    assert all(name.startswith(hrnet.CLASSIFICATION) for name in theirs.keys() - ours.keys())


@pytest.mark.parametrize(
    ("options", "channels", "mid", "key"),
    [({}, 270, 192, 96), ({"layout": "w48", "mid": 512, "key": 256}, 720, 512, 256)],
)
def test_ocr_has_the_published_layers(options: dict, channels: int, mid: int, key: int) -> None:
    network = on_meta("ocr", **options)
    context = network.context
    assert context.pixels[0].weight.shape == (mid, channels, 3, 3)
    assert context.regions[0][0].weight.shape == (channels, channels, 1, 1)
    assert [context.attention.query[i][0].out_channels for i in (0, 1)] == [key, key]
    assert context.attention.out[0].weight.shape == (mid, key, 1, 1)
    assert context.merge[0][0].weight.shape == (mid, 2 * mid, 1, 1)
    assert network.head.weight.shape == (19, mid, 1, 1)
    pixels = torch.zeros(1, mid, 128, 256, device="meta")
    attention = context.attention.attend(pixels, torch.zeros(1, mid, 19, device="meta"))
    assert attention.shape == (1, 128 * 256, 19)


def test_objects_are_the_means_of_their_regions() -> None:
    """Regions that are certain: plain means over their pixels."""
    features, labels = torch.randn(2, 5, 6, 8), torch.arange(96).reshape(2, 6, 8) % 4
    logits = 200.0 * nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    objects = gather(features, logits)
    for image in range(2):
        for k in range(4):
            mean = features[image][:, labels[image] == k].mean(1)
            torch.testing.assert_close(objects[image, :, k], mean)


def test_object_context_is_what_the_paper_says() -> None:
    """Equations 2 to 4 of Yuan et al., written down as sums."""
    network = build("ocr").eval()
    context = network.context
    features = torch.randn(2, sum(network.backbone.feature_info.channels()), 6, 8)
    with torch.no_grad():
        augmented, regions = context(features)
        pixels = context.pixels(features)
        shares = regions.exp() / regions.exp().sum((2, 3), keepdim=True)
        objects = torch.einsum("nkhw,nchw->nck", shares, pixels)
        query, key = context.attention.query(pixels), context.attention.key(objects[..., None])[..., 0]
        fit = torch.einsum("nchw,nck->nhwk", query, key) / query.shape[1] ** 0.5
        weights = fit.exp() / fit.exp().sum(3, keepdim=True)
        value = context.attention.value(objects[..., None])[..., 0]
        around = context.attention.out(torch.einsum("nhwk,nck->nchw", weights, value))
        expected = context.merge(torch.cat([around, pixels], 1))
        attention = context.attention.attend(pixels, objects)
    torch.testing.assert_close(augmented, expected)
    torch.testing.assert_close(attention.unflatten(1, (6, 8)), weights)


@pytest.mark.parametrize("size", [(64, 96), (33, 70)])
def test_hs3_is_plain_hrnet_at_inference(size: tuple[int, int]) -> None:
    """To the bit, with the same seed; what is for training only does not matter."""
    plain, supervised = build("hrnet"), build("hs3")
    weights = supervised.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in plain.state_dict().items())
    only = [name for name in weights if name.startswith(supervised.training_only)]
    assert sorted(only) == sorted(weights.keys() - plain.state_dict().keys()) != []
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(supervised.train()(images)["out"], plain.train()(images))
        for parameter in supervised.levels.parameters():
            parameter.fill_(float("nan"))
        assert torch.equal(supervised.eval()(images), plain.eval()(images))


def test_stages_are_heard_as_they_are_computed() -> None:
    """Against timm's layers, one after the other."""
    backbone = build("hrnet").eval().backbone
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        with hrnet.record_stages(backbone, ("stage2", "stage3")) as stages:
            backbone(images)
        stem = backbone.act2(
            backbone.bn2(backbone.conv2(backbone.act1(backbone.bn1(backbone.conv1(images)))))
        )
        stem = backbone.layer1(stem)
        two = backbone.stage2([backbone.transition1[0](stem), backbone.transition1[1](stem)])
        three = backbone.stage3([*two, backbone.transition2[2](two[-1])])
        kept = dict(stages)
        backbone(images)  # nobody listens any more
    for heard, expected in ((stages["stage2"], two), (stages["stage3"], three)):
        assert len(heard) == len(expected)
        assert all(torch.equal(one, other) for one, other in zip(heard, expected, strict=True))
    assert all(stages[name] is branches for name, branches in kept.items())


@pytest.mark.parametrize("name", ["stage2", "stage3"])
def test_supervision_of_a_stage_trains_what_lies_before_it(name: str) -> None:
    network = build("hs3").train()
    network(torch.randn(2, 3, 64, 64))["auxiliary"][name].square().mean().backward()
    reached = {
        stage: _has_gradient(getattr(network.backbone, stage)) for stage in ("stage2", "stage3", "stage4")
    }
    assert reached == {"stage2": True, "stage3": name == "stage3", "stage4": False}


def test_hs3_fuse_uses_every_level_at_inference() -> None:
    network = build("hs3", fuse=True).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        for name in ("stage2", "stage3"):
            segmentation = network.levels[name].regions[-1]
            kept = segmentation.weight.clone()
            segmentation.weight.mul_(-3)
            assert not torch.equal(network(images), before)
            segmentation.weight.copy_(kept)


class Certain(nn.Module):
    """Says at every pixel how far the smaller size is to be believed."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.full_like(features[:, :1], self.share)


@pytest.mark.parametrize("scales", ["0.5+1", "0.5+1+2"])
def test_hms_believes_the_size_that_its_attention_names(scales: str) -> None:
    """Attention 1: the smallest size alone; 0: the largest one; in between: the weighted mean of all."""
    network = build("hms", scales=scales).eval()
    images = torch.randn(1, 3, 64, 128)
    sizes = {"0.5": (32, 64), "1": (64, 128), "2": (128, 256)}
    with torch.no_grad():
        seen = {
            name: _resized(network.predict_at(_resized(images, sizes[name])).logits, (16, 32))
            for name in sizes
        }
        seen = {name: seen[name] for name in scales.split("+")}
        for share in (1.0, 0.0, 0.25):
            network.attention = Certain(share)
            left, expected = 1.0, torch.zeros_like(seen["1"])
            for name in seen:
                weight = left if name == list(seen)[-1] else left * share
                expected, left = expected + weight * seen[name], left - weight
            torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize(("share", "name"), [(1.0, "low"), (0.0, "high")])
def test_hms_trains_both_sizes_and_what_becomes_of_them(share: float, name: str) -> None:
    network = build("hms", dropout=0.0).train()
    network.attention = Certain(share)
    found = network(torch.randn(2, 3, 64, 70))
    torch.testing.assert_close(found["out"], found["auxiliary"][name])
    assert all(logits.shape == (2, K, 16, 18) for logits in found["auxiliary"].values())


def test_hms_learns_where_to_look() -> None:
    """From the attention of the smaller size; the largest one's decides nothing."""
    network = build("hms").train()
    network(torch.randn(2, 3, 64, 64))["out"].square().mean().backward()
    assert _has_gradient(network.attention)
    maps = [torch.randn(1, K, side, side) for side in (4, 8)]
    small, large = (torch.rand(1, 1, side, side, requires_grad=True) for side in (4, 8))
    network.fuse(maps, [small, large], maps[1]).sum().backward()
    assert small.grad.abs().sum() > 0 and large.grad is None


@pytest.mark.parametrize("module", ["ocr", "hs3", "hms"])
def test_pretrained_fills_the_whole_backbone(module: str, monkeypatch) -> None:
    with torch.device("meta"):
        shapes = timm.create_model("hrnet_w18_small_v2").state_dict()
    weights = {
        name: torch.full(value.shape, number, dtype=value.dtype)
        for number, (name, value) in enumerate(shapes.items())
    }
    hub = type("Hub", (), {"state_dict": lambda self: weights})
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: hub())
    network = networks.build(module, K, layout="w18_small_v2", pretrained="hrnet_w18_small_v2.ms_in1k")
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert len(network.backbone.pretrained_sha256) == 64


@pytest.mark.parametrize("module", ["hrnet", "ocr", "hs3", "hms"])
def test_an_unknown_layout_is_named(module: str) -> None:
    with pytest.raises(DejavuError, match="layout: must be one of w18_small_v2, w48, not 'w47'"):
        networks.build(module, K, layout="w47")


def test_cost_leaves_out_what_is_for_training_only() -> None:
    network = nn.Sequential()
    network.add_module("head", nn.Conv2d(3, 5, 1))
    network.add_module("extra", nn.Identity())
    network.extra.weight = nn.Parameter(torch.zeros(1000))
    assert measure(lambda: network, (4, 4), device="cpu").params_m == pytest.approx(1020e-6)
    network.training_only = ("extra.",)
    assert measure(lambda: network, (4, 4), device="cpu").params_m == pytest.approx(20e-6)


def _has_gradient(module: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def _resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if maps.shape[-2:] == size:
        return maps
    return nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)
