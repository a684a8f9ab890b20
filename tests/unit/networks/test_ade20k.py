"""ADE20K's networks on timm's and open_clip's backbones: published sizes, and parity with those libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import vision_transformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.networks.backbones import clip, vit
from dejavu.networks.cost import measure
from dejavu.networks.layers import prompts
from dejavu.tasks.images import MEAN, STD

K = 5
NAMES = ["wall", "traffic light", "sky", "swimming_pool", "crt screen"]
SMALL: dict[str, Any] = {"width": 0.25, "depth": 0.25, "image_size": 96}  # 3 heads, 3 blocks, 6 x 6 positions
VIT_FPN = {"module": "semantic_fpn", "backbone": "vit_b16", "head_channels": 256, "image_size": 640}
Shapes = dict[str, torch.Size]


def build(module: str, num_classes: int = K, **options: Any) -> Any:
    torch.manual_seed(0)
    classes = NAMES if num_classes == K else None
    return networks.build(module, num_classes, classes=classes, **options)


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


def shapes(module: nn.Module, *without: str) -> Shapes:
    return {k: v.shape for k, v in module.state_dict().items() if not k.startswith(without or "no such name")}


# PoolFormer: Yu et al., InceptionNeXt (arXiv 2303.16900), table of Semantic FPN, 512x512.
# SETR-MLA-DeiT: Zheng et al. (arXiv 2012.15840), table 2, Cityscapes at 768x768; no cost is published.
@pytest.mark.parametrize(
    ("entry", "num_classes", "side", "params_m", "gmacs"),
    [
        ({"module": "semantic_fpn"}, 150, 512, 77, 82),
        ({"module": "setr", "image_size": 768}, 19, 768, 92.59, None),
    ],
    ids=["poolformer", "setr"],
)
def test_has_the_published_size(
    entry: dict, num_classes: int, side: int, params_m: float, gmacs: float | None
) -> None:
    cost = measure(lambda: build(num_classes=num_classes, **entry), (side, side))
    assert cost.params_m == pytest.approx(params_m, rel=0.01)
    assert gmacs is None or cost.gmacs == pytest.approx(gmacs, rel=0.01)


# README of raoyongming/DenseCLIP; without the text tower.
@pytest.mark.parametrize(
    ("entry", "params_m", "gmacs"),
    [(VIT_FPN, 100.8, 1037.4), ({"module": "denseclip"}, 105.3, 1043.1)],
    ids=["vit_fpn", "denseclip"],
)
def test_has_the_size_that_denseclip_publishes(entry: dict, params_m: float, gmacs: float) -> None:
    """Its get_flops.py takes 1024x1024, and fvcore counts transposed convolutions (its issue 78) at their
    output, of four times the positions of their input."""
    cost = measure(lambda: build(num_classes=150, **entry), (1024, 1024))
    assert cost.params_m == pytest.approx(params_m, rel=0.01)
    grid = (1024 // 16) ** 2
    transposed = 768 * 768 * 2 * 2 * (grid + 4 * grid + grid) / 1e9  # at their input: two levels have three
    assert cost.gmacs + 3 * transposed == pytest.approx(gmacs, rel=0.005)


def test_upernet_has_the_size_that_its_layers_say() -> None:
    """mmsegmentation publishes no figure of its upernet_vit-b16_ln_mln: counted by hand from its layout."""

    def convolution(inputs: int, outputs: int, side: int) -> int:
        return inputs * outputs * side**2 + 2 * outputs  # with its batch norm

    c, d, positions = 768, 512, 32**2
    block = 4 * c * c + 4 * c + 8 * c * c + 5 * c + 4 * c
    backbone = 12 * block + 3 * 16 * 16 * c + c + (positions + 1) * c + c + 2 * c
    neck = 4 * (c * c + c + 9 * c * c + c)
    pooling = 4 * convolution(c, d, 1) + convolution(c + 4 * d, d, 3)
    fpn = 3 * (convolution(c, d, 1) + convolution(d, d, 3)) + convolution(4 * d, d, 3)
    expected = backbone + neck + pooling + fpn + d * 150 + 150
    auxiliary = convolution(c, 256, 3) + 256 * 150 + 150
    assert measure(lambda: build("upernet", 150), (64, 64)).params_m == pytest.approx(expected / 1e6)
    whole = on_meta(lambda: build("upernet", 150))
    assert sum(p.numel() for p in whole.parameters()) == expected + auxiliary


@pytest.mark.parametrize(
    ("entry", "name", "options", "without"),
    [
        ({"module": "semantic_fpn"}, "poolformer_m48", {}, ("head.",)),
        (
            {"module": "semantic_fpn", "backbone": "vit_b16"},
            "vit_base_patch16_384",
            {"img_size": 512},
            ("head.", "norm."),
        ),
        ({"module": "upernet"}, "vit_base_patch16_224", {"img_size": 512}, ("head.",)),
        (
            {"module": "setr"},
            "deit_base_distilled_patch16_384",
            {"img_size": 512},
            ("head", "norm.", "cls_token", "dist_token"),
        ),
    ],
    ids=["poolformer", "vit_fpn", "upernet", "setr"],
)
def test_ours_adds_only_the_head_to_timms_network(entry: dict, name: str, options: dict, without) -> None:
    theirs = shapes(on_meta(lambda: timm.create_model(name, **options)), *without)
    if entry["module"] == "setr":
        theirs["pos_embed"] = torch.Size((1, 32**2, 768))  # no tokens but the patches
    assert shapes(on_meta(lambda: build(**entry)).backbone) == theirs


def test_ours_adds_only_the_head_to_open_clips_towers() -> None:
    theirs = shapes(on_meta(lambda: open_clip.CLIP(**open_clip.get_model_config("ViT-B-16-quickgelu"))))
    theirs["visual.positional_embedding"] = torch.Size((40**2 + 1, 768))
    network = on_meta(lambda: build("denseclip"))
    image = {f"visual.{name}": shape for name, shape in shapes(network.backbone).items()}
    assert image | shapes(network.prompts.tower) == theirs


def test_taps_are_timms_own_intermediates() -> None:
    torch.manual_seed(0)
    backbone = vit.vit_b16(0.125, 1.0, 64, prefix=True, norm=True).eval()
    images = torch.randn(1, 3, 64, 64)
    theirs = backbone.get_intermediate_layers(images, n=[3, 5, 7, 11], reshape=True)
    for ours, expected in zip(vit.features(backbone, images, (3, 5, 7, 11)), theirs, strict=True):
        assert torch.equal(ours, expected)


def small_towers(image_size: int, drop_path: float = 0.0) -> tuple[Any, Any]:
    torch.manual_seed(1)
    return clip.towers("ViT-B-16-quickgelu", 0.125, 0.25, image_size, drop_path)


def test_image_embedding_is_open_clips() -> None:
    tower, _ = small_towers(64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps, embedded = clip.dense(tower.eval(), images, (3, 7, 11))
        torch.testing.assert_close(embedded[:, 0], tower(images))
        theirs = tower.forward_intermediates(images, indices=[0, 1, 2])["image_intermediates"]
    for ours, expected in zip(maps, theirs, strict=True):
        torch.testing.assert_close(ours, expected)


def test_contexts_that_are_words_are_open_clips_embedding_of_the_sentence() -> None:
    _, tower = small_towers(64)
    ours = prompts.Prompts(tower, ["dog", "traffic_light"], 4, "ViT-B-16-quickgelu").eval()
    tokens = open_clip.get_tokenizer("ViT-B-16-quickgelu")(["a photo of a dog", "a photo of a traffic light"])
    with torch.no_grad():
        ours.contexts.copy_(tower.token_embedding(tokens[0, 1:5]))
        expected = tower.encode_text(tokens)
        torch.testing.assert_close(ours.train()(), expected)
        torch.testing.assert_close(ours.eval()(), expected)


@pytest.fixture(scope="module")
def denseclip() -> Any:
    return build("denseclip", **SMALL)


def test_text_tower_runs_once_and_stays_frozen(denseclip: Any) -> None:
    runs: list[int] = []
    handle = denseclip.prompts.tower.transformer.register_forward_hook(lambda *_: runs.append(1))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        denseclip.eval()
        first = denseclip(images)
        denseclip(images)
        assert len(runs) == 1
        weights = denseclip.state_dict()
        weights["prompts.contexts"] = -weights["prompts.contexts"]
        denseclip.load_state_dict(weights)
        assert not torch.equal(denseclip(images), first) and len(runs) == 2
    denseclip.train()
    denseclip(images.repeat(2, 1, 1, 1))["out"].sum().backward()
    handle.remove()
    assert len(runs) == 3 and not denseclip.prompts.tower.training
    assert all(p.grad is None and not p.requires_grad for p in denseclip.prompts.tower.parameters())
    assert denseclip.prompts.contexts.grad.abs().sum() > 0


def test_scores_are_cosines_of_patches_and_class_names() -> None:
    network = build("denseclip", **SMALL, drop_path=0.0).train()
    images = torch.randn(2, 3, 64, 96)
    mean, std, own_mean, own_std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (MEAN, STD, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    with torch.no_grad():
        scores = network(images)["auxiliary"]["scores"] * 0.07
        _, embedded = clip.dense(network.backbone, (images * std + mean - own_mean) / own_std, (11,))
        texts = network.prompts()
    assert scores.shape == (2, K, 4, 6)
    expected = nn.functional.cosine_similarity(embedded[:, None, 1:], texts[None, :, None], dim=3)
    # The image changes the texts by 1e-4 of what the decoder says at the start.
    torch.testing.assert_close(scores.flatten(2), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("module", ["upernet", "setr"])
def test_auxiliary_heads_cost_nothing_in_evaluation(module: str) -> None:
    network = build(module, **SMALL).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        whole = network(images)
        for name in network.training_only:
            delattr(network, name)
        assert torch.equal(network(images), whole)


def test_drop_path_acts_in_training_only() -> None:
    images = torch.randn(4, 3, 64, 64)
    (kept, _), (dropped, _) = small_towers(64), small_towers(64, drop_path=0.9)
    assert shapes(kept) == shapes(dropped)
    with torch.no_grad():
        assert torch.equal(kept.eval()(images), dropped.eval()(images))
        assert not torch.equal(kept.train()(images), dropped.train()(images))


def grids() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random weights of a small ViT with 14 x 14 positions, and what timm makes of them for 6 x 6."""
    torch.manual_seed(3)
    settings = {"embed_dim": 192, "num_heads": 3, "depth": 3, "num_classes": 10}
    given = VisionTransformer(img_size=224, **settings).state_dict()
    fitted = vision_transformer.checkpoint_filter_fn(
        dict(given), VisionTransformer(img_size=96, **settings), interpolation="bicubic", antialias=True
    )
    return given, {name: value for name, value in fitted.items() if not name.startswith("head.")}


@pytest.mark.parametrize("module", ["upernet", "setr", "semantic_fpn"])
def test_pretrained_vit_fills_the_backbone_and_interpolates_positions(module: str, tmp_path: Path) -> None:
    given, expected = grids()
    save_file(given, path := str(tmp_path / "vit.safetensors"))
    options = {"backbone": "vit_b16"} if module == "semantic_fpn" else {}
    backbone = build(module, **SMALL, **options, pretrained=path).backbone
    if module != "upernet":
        expected = {name: value for name, value in expected.items() if not name.startswith("norm.")}
    if module == "setr":  # no class token
        expected["pos_embed"] = expected["pos_embed"][:, 1:]
        del expected["cls_token"]
    found = backbone.state_dict()
    assert found.keys() == expected.keys() and len(backbone.pretrained_sha256) == 64
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_pretrained_deit_leaves_both_its_tokens_aside(tmp_path: Path) -> None:
    given, expected = grids()
    pos = given["pos_embed"]
    given |= {"dist_token": torch.randn(1, 1, 192), "head_dist.bias": torch.zeros(10)}
    given["pos_embed"] = torch.cat([torch.randn(1, 1, 192), pos], 1)
    save_file(given, path := str(tmp_path / "deit.safetensors"))
    backbone = build("setr", **SMALL, pretrained=path).backbone
    torch.testing.assert_close(backbone.pos_embed.data, expected["pos_embed"][:, 1:])
    with pytest.raises(DejavuError, match="1 others, such as 'dist_token'"):
        build("upernet", **SMALL, pretrained=path)


def test_pretrained_poolformer_of_a_timm_name(monkeypatch) -> None:
    theirs = build("semantic_fpn", width=0.125, depth=0.125).backbone
    weights = {name: torch.randn_like(value) for name, value in theirs.state_dict().items()}
    hub = type("Hub", (), {"state_dict": lambda self: weights | {"head.fc.bias": torch.zeros(3)}})
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: hub())
    network = build("semantic_fpn", width=0.125, depth=0.125, pretrained="poolformer_m48.sail_in1k")
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("source", ["file", "openai"])
def test_pretrained_clip_fills_both_towers(source: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        open_clip, "get_model_config", lambda name, real=open_clip.get_model_config: tiny(real(name))
    )
    theirs = open_clip.CLIP(**open_clip.get_model_config("ViT-B-16-quickgelu"))
    weights = {name: value.clone() for name, value in theirs.state_dict().items()}
    if source == "file":
        save_file(weights, source := str(tmp_path / "clip.safetensors"))
    monkeypatch.setattr(open_clip, "create_model", lambda *names, **options: theirs)
    network = build("denseclip", image_size=96, pretrained=source)
    found = {f"visual.{k}": v for k, v in network.backbone.state_dict().items()}
    found |= network.prompts.tower.state_dict()
    assert found.keys() == weights.keys()
    positions = found.pop("visual.positional_embedding")
    assert all(torch.equal(value, weights[name]) for name, value in found.items())
    own = theirs.visual.positional_embedding.data
    torch.testing.assert_close(positions[0], own[0])
    patches = own[1:].T.reshape(1, -1, 2, 2)
    expected = nn.functional.interpolate(patches, (6, 6), mode="bilinear")
    torch.testing.assert_close(positions[1:].T.reshape(1, -1, 6, 6), expected)


def tiny(settings: dict[str, Any]) -> dict[str, Any]:
    settings["vision_cfg"] |= {"width": 64, "layers": 1, "image_size": 32}
    settings["text_cfg"] |= {"width": 64, "layers": 1, "heads": 1, "vocab_size": 49408}
    return settings | {"embed_dim": 64}


@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [
        ("upernet", {"image_size": 100}, "image_size must be a multiple of 16, not 100"),
        ("denseclip", {"image_size": 100}, "image_size must be a multiple of 16, not 100"),
        ("denseclip", {"contexts": 73}, "contexts must be at most 72, not 73"),
        ("denseclip", {"pretrained": "openia"}, "nor a tag of ViT-B-16-quickgelu, did you mean 'openai'"),
        ("denseclip", {"model": "ViT-B-16", "pretrained": "openai"}, "was trained with QuickGELU"),
        ("denseclip", {"num_classes": 3}, "a name of each of the 3 classes, not 5"),
        ("semantic_fpn", {"backbone": "vit_b17"}, "must be one of poolformer_m48, vit_b16"),
    ],
)
def test_what_cannot_be_built_is_named(module: str, options: dict, expected: str, monkeypatch) -> None:
    monkeypatch.setattr(open_clip, "create_model", lambda *names, **settings: None)  # nothing is downloaded
    arguments: dict[str, Any] = {"num_classes": K, "width": 0.125, "depth": 0.1, "classes": NAMES} | options
    with pytest.raises(DejavuError, match=expected):
        networks.build(module, **arguments)
