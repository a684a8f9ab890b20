"""MaX-DeepLab: published sizes, what it predicts and learns, and its converted weights.

Its layers are in test_axial.py, its losses in test_slot_loss.py, and the properties of every network in
test_networks.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.networks.backbones.max_deeplab import Encoder
from dejavu.networks.backbones.max_deeplab_weights import our_name
from dejavu.networks.cost import measure
from dejavu.networks.layers.slot_loss import WEIGHTS, Truth, match, pq_loss
from dejavu.networks.max_deeplab import as_sigmoid, sampled, small_things
from dejavu.tasks.predictions import Queries
from dejavu.tasks.segments import CROWD, VOID

K = 5
CLASSES, MASKS = "class_queries_logits", "masks_queries_logits"
SMALL = {"width": 0.125, "depth": 0.01, "things": 3, "drop_path": 0.0}

every_size = pytest.mark.parametrize("size", ["s", "l"])


def build(size: str = "s", **options: Any) -> Any:
    torch.manual_seed(0)
    return networks.build("max_deeplab", K, **(SMALL | {"size": size} | options))


def maps() -> Tensor:
    """Codes of two images of 64x64: squares of 16, a crowd and a stripe of void."""
    torch.manual_seed(1)
    codes = torch.randint(0, K, (2, 4, 4)) * 256 + torch.randint(0, 2, (2, 4, 4))
    codes = codes.repeat_interleave(16, 1).repeat_interleave(16, 2)
    codes[:, :, :8] = VOID
    codes[0, 32:48, 16:32] = 2 * 256 + CROWD
    return codes


# google-research/deeplab2, model/encoder/axial_resnet_instances_test.py; costs: the paper's table 1.
@pytest.mark.parametrize(
    ("size", "encoder", "params", "gmacs"),
    [("s", 61_726_624, 61.9, 325.8), ("l", 450_523_232, 450.8, 3691.9)],
)
def test_has_the_published_size(size: str, encoder: int, params: float, gmacs: float) -> None:
    with torch.device("meta"):
        counted = Encoder(size, 1.0, 1.0, 128, 0.2)
    assert sum(parameter.numel() for parameter in counted.parameters()) == encoder
    cost = measure(lambda: networks.build("max_deeplab", 133, size=size), (1024, 1024))  # 1025 in the network
    assert cost.params_m == pytest.approx(params, abs=0.05)
    assert cost.gmacs == pytest.approx(gmacs, abs=0.05)


@pytest.mark.parametrize("size", ["s", "l"])
def test_blocks_are_dropped_as_published(size: str) -> None:
    """A quarter of the rate for each doubling of the stride; S from stride 16 on."""
    with torch.device("meta"):
        encoder = Encoder(size, 1.0, 1.0, 128, 0.2)
    stages = {
        name: [round(b.drop.drop_prob, 3) for b in blocks] for name, blocks in encoder.backbone.stages.items()
    }
    assert stages["stage5"] == [0.15, 0.2, 0.2]
    assert stages["stage4"] == ([0.0] + [0.15] * 5 if size == "s" else [0.1, 0.15, 0.15])
    assert stages["stage3"] == ([0.0] * 4 if size == "s" else [0.05] + [0.1] * 5)
    assert set(stages["stage2"]) == ({0.0} if size == "s" else {0.0, 0.05})
    layers = {name: len(duals) for name, duals in encoder.duals.items()}
    assert sum(layers.values()) == (4 if size == "s" else 13)
    assert [block.drop.drop_prob for block in encoder.duals["stage5"]] == pytest.approx([0.15, 0.2, 0.2])


def test_norms_are_as_published_at_full_width_alone() -> None:
    with torch.device("meta"):
        full, reduced = networks.build("max_deeplab", K), build()
    for network, momentum in ((full, 0.01), (reduced, 0.1)):
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, momentum)}


@every_size
def test_starts_from_the_void_prior(size: str) -> None:
    network = build(size).train()
    nothing = network(torch.randn(2, 3, 64, 64))[CLASSES].softmax(-1)[..., -1]
    assert nothing.mean().item() == pytest.approx(0.9, abs=0.02)
    assert network.mask_norm.weight.item() == pytest.approx(0.1)


def test_masks_are_a_softmax_over_slots() -> None:
    network = build().eval()
    with torch.no_grad():
        masks = network(torch.randn(2, 3, 33, 70))[MASKS].sigmoid()
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 9, 18))


@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_sigmoid_logits_lose_nothing(scale: float) -> None:
    """Also where a slot has nearly all of the probability, and with a gradient that is finite."""
    logits = (scale * torch.randn(2, 9, 4, 5)).requires_grad_()
    turned = as_sigmoid(logits)
    exact = logits.double()
    others = torch.stack([exact[:, [j for j in range(9) if j != i]].logsumexp(1) for i in range(9)], 1)
    torch.testing.assert_close(turned, (exact - others).float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(F.logsigmoid(turned), logits.log_softmax(1), rtol=1e-4, atol=1e-4)
    weights = torch.randn(2, 9, 4, 5)
    (F.logsigmoid(turned) * weights).sum().backward()
    again = logits.detach().clone().requires_grad_()
    (again.log_softmax(1) * weights).sum().backward()
    torch.testing.assert_close(logits.grad, again.grad, rtol=1e-3, atol=1e-3)


def test_enlarging_sigmoid_logits_enlarges_the_softmax() -> None:
    """Of log probabilities, a constant a pixel cancels: the published order of steps."""
    logits = 3 * torch.randn(1, 6, 5, 7)
    full = {"size": (17, 25), "mode": "bilinear", "align_corners": True}
    published = F.interpolate(logits, **full).softmax(1)
    torch.testing.assert_close(F.interpolate(F.logsigmoid(as_sigmoid(logits)), **full).softmax(1), published)


def test_labels_are_taken_at_every_fourth_pixel() -> None:
    codes = torch.arange(33 * 70).view(1, 33, 70)
    assert torch.equal(sampled(codes, (9, 18)), codes[:, ::4, ::4])
    assert torch.equal(sampled(codes, (33, 70)), codes)


def test_small_things_are_those_below_the_area() -> None:
    codes = torch.full((1, 128, 128), 4 * 256)
    codes[:, :64, :63], codes[:, 64:, :64], codes[:, :8, 100:] = 256, 257, 2 * 256 + CROWD
    assert torch.equal(small_things(codes, 3), codes == 256)
    assert not small_things(codes, 1).any()


@every_size
def test_the_criterion_is_the_sum_of_its_terms(size: str) -> None:
    """Each image alone, then the mean; a prediction of evaluation mode has two of the terms."""
    network = build(size).train()
    prediction, codes = network(torch.randn(2, 3, 64, 64)), maps()
    whole = network.criterion(prediction, codes, 255)
    singles = [
        network.criterion({key: value[i : i + 1] for key, value in prediction.items()}, codes[i : i + 1], 255)
        for i in range(2)
    ]
    torch.testing.assert_close(whole, torch.stack(singles).mean())
    queries = Queries(prediction[CLASSES], prediction[MASKS])
    alone = network.criterion(queries, codes, 255)
    torch.testing.assert_close(
        alone, network.criterion({CLASSES: queries.classes, MASKS: queries.masks}, codes)
    )
    assert alone < whole and alone.requires_grad


def test_crowds_are_labelled_and_have_a_class_but_no_mask() -> None:
    network = build()
    codes = maps()[:1]
    prediction = build().train()(torch.randn(2, 3, 64, 64))
    one = {key: value[:1] for key, value in prediction.items()}
    chosen = sampled(codes, (16, 16))[0].flatten()
    present = [code for code in chosen.unique().tolist() if code & 255 != CROWD]
    truth = Truth(
        torch.stack([(chosen == code).float() for code in present]),
        torch.tensor([code >> 8 for code in present]),
        (chosen != VOID).float(),
    )
    masks = one[MASKS][0].flatten(1).sigmoid()
    matched = match(one[CLASSES][0], masks, truth)
    expected = WEIGHTS["pq"] * pq_loss(one[CLASSES][0], masks, truth, matched)
    target = truth.masks[matched.segments]
    expected = expected - 0.3 * (masks[matched.slots].log() * target).sum() / target.sum()
    found = network.criterion({CLASSES: one[CLASSES], MASKS: one[MASKS]}, codes, 255)
    torch.testing.assert_close(found, expected)
    semantic = {**one, "pixel_features": torch.zeros_like(one["pixel_features"])}
    without = network.criterion({k: v for k, v in semantic.items() if k != "semantic_logits"}, codes, 255)
    classes = torch.where(chosen == VOID, 255, chosen >> 8).view(1, 16, 16)
    of_pixels = F.cross_entropy(one["semantic_logits"], classes, ignore_index=255)
    torch.testing.assert_close(network.criterion(semantic, codes, 255) - without, of_pixels)


def test_l_weighs_small_things_three_times() -> None:
    network = build("l")
    codes = torch.full((1, 64, 64), 4 * 256)
    codes[:, :32, :32] = 256
    nothing = {CLASSES: torch.zeros(1, 16, K + 1), MASKS: torch.zeros(1, 16, 16, 16)}
    semantic = {**nothing, "semantic_logits": torch.zeros(1, K, 16, 16)}
    added = network.criterion(semantic, codes) - network.criterion(nothing, codes)
    assert added.item() == pytest.approx(math.log(K) * (3 * 0.25 + 0.75), rel=1e-5)
    added = build("s").criterion(semantic, codes) - build("s").criterion(nothing, codes)
    assert added.item() == pytest.approx(math.log(K), rel=1e-5)


@pytest.mark.parametrize("labels", ["void", "one void", "many"])
def test_odd_images_still_train(labels: str) -> None:
    network = build().train()
    codes = maps()
    if labels == "many":
        codes = (torch.arange(64) % K * 256 + torch.arange(64) // K).expand(2, 64, 64)
    else:
        codes[: 1 if labels == "one void" else 2] = VOID
    loss = network.criterion(network(torch.randn(2, 3, 64, 64)), codes, 255)
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)


def test_one_image_is_a_batch() -> None:
    """Though the mean of its coarsest map is one value a channel, of which a norm could tell nothing."""
    network = build().train()
    network.criterion(network(torch.randn(1, 3, 32, 32)), maps()[:1, :32, :32]).backward()


def test_a_step_is_deterministic() -> None:
    network = build(drop_path=0.2).train()
    images, gradients = torch.randn(2, 3, 64, 64), []
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        for seed in (4, 4, 5):
            torch.manual_seed(seed)
            network.zero_grad()
            network.criterion(network(images), maps(), 255).backward()
            gradients.append(
                torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
            )
    finally:
        torch.set_deterministic_debug_mode(before)
    assert torch.equal(gradients[0], gradients[1]) and not torch.equal(gradients[0], gradients[2])


def test_trains_in_bfloat16() -> None:
    network, images, losses = build().train(), torch.randn(2, 3, 64, 64), []
    for given in (True, False):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=given):
            losses.append(network.criterion(network(images), maps(), 255))
    assert losses[0].dtype == torch.float32
    torch.testing.assert_close(losses[0], losses[1], rtol=0.05, atol=0)


# Converted weights.


def tensorflow(backbone: nn.Module) -> dict[str, Tensor]:
    """The backbone's weights under TensorFlow's names, in its layout, with what else a checkpoint has."""
    stem = {"0": "_conv1_bn_act", "1": "_conv2_bn_act", "2": "_conv3_bn"}
    variables = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    tables = {"query_table": "_query_rpe", "key_table": "_key_rpe", "value_table": "_value_rpe"}
    made: dict[str, Tensor] = {"save_counter": torch.ones(1), "classifier/kernel": torch.ones(3, 4)}
    for name, value in backbone.state_dict().items():
        *path, last = name.split(".")
        if last == "num_batches_tracked":
            continue
        words = ["encoder"]
        if path[0] == "stem":
            words += ["_stem", *(stem.get(part, part) for part in path[1:])]
        elif path[0] == "stages":
            words += [f"_{path[1]}", f"_block{int(path[2]) + 1}", *path[3:]]
        elif path[2] == "fuse":
            down = backbone.steps[path[1]].fuse.down
            words += [f"_decoder_stage{int(path[1]) + 1}_resized_fuse"]
            words += ["_strided_conv_bn1" if down else "_resized_conv_bn1", *path[4:]]
        else:
            words += [f"_decoder_stage{int(path[1]) + 1}", f"_block{int(path[3]) + 1}", *path[4:]]
        block = name.partition(".body.")[0]
        middle = any(key.startswith(f"{block}.body.middle") for key in backbone.state_dict())
        wording = {
            "first": "_conv1_bn_act",
            "middle": "_conv2_bn_act",
            "last": "_conv3_bn" if middle else "_conv2_bn",
            **{"shortcut": "_shortcut", "height": "_height_axis", "width": "_width_axis"},
            **{"conv": "_conv", "norm": "_batch_norm", "project_norm": "_batch_norm_qkv"},
            **{"logit_norm": "_batch_norm_similarity", "value_norm": "_batch_norm_retrieved_output"},
        }
        words = [wording.get(word, word) for word in words if word != "body"]
        if "attention" in words:
            at = words.index("attention")
            words[at - 1 : at + 1] = ["_attention"]
        if last in tables:
            words += [tables[last], "_embeddings"]
        elif words[-1] == "project":
            words[-1], value = "qkv_kernel", value[:, :, 0, 0].T
        elif value.ndim == 4:
            words, value = [*words, "kernel"], value.permute(2, 3, 1, 0)
        else:
            words += [variables[last]]
            if words[-2] == "_batch_norm_similarity":
                value = value.view(3, 1, 8, 1, 1)
            elif words[-2] == "_batch_norm_retrieved_output":
                value = value.view(2, 1, 8, 1, -1)
        made["/".join([*words, ".ATTRIBUTES", "VARIABLE_VALUE"])] = value.contiguous()
    return made


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("encoder/_stem/_conv3_bn/_conv/kernel", "stem.2.conv.weight"),
        ("encoder/_stem/_batch_norm/moving_variance", "stem.norm.running_var"),
        ("encoder/_stage2/_block1/_shortcut/_conv/kernel", "stages.stage2.0.shortcut.conv.weight"),
        (
            "encoder/_stage4/_block2/_attention/_width_axis/_key_rpe/_embeddings",
            "stages.stage4.1.body.middle.attention.width.key_table",
        ),
        (
            "encoder/_stage5/_block3/_attention/_height_axis/qkv_kernel",
            "stages.stage5.2.body.middle.attention.height.project.weight",
        ),
        ("encoder/_stage1/_block2/_conv2_bn/_batch_norm/beta", "stages.stage1.1.body.last.norm.bias"),
        ("encoder/_decoder_stage4/_block1/_conv3_bn/_conv/kernel", "steps.3.blocks.0.body.last.conv.weight"),
    ],
)
def test_tensorflows_names_are_known(theirs: str, ours: str) -> None:
    assert our_name(f"{theirs}/.ATTRIBUTES/VARIABLE_VALUE") == our_name(theirs) == ours


@every_size
@pytest.mark.parametrize("names", ["tensorflow", "own"])
def test_pretrained_fills_the_whole_backbone(size: str, names: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    given = build(size, depth=0.3).backbone
    for value in given.state_dict().values():
        value.copy_(torch.rand_like(value) if value.is_floating_point() else value)
    file = str(tmp_path / "weights.safetensors")
    save_file(tensorflow(given) if names == "tensorflow" else given.state_dict(), file)
    backbone = build(size, depth=0.3, pretrained=file).backbone
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, given.state_dict()[key]), key
    assert len(backbone.pretrained_sha256) == 64


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    weights = tensorflow(build().backbone)
    file = str(tmp_path / "weights.safetensors")
    gone = "encoder/_stage2/_block1/_conv1_bn_act/_conv/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    save_file({name: value for name, value in weights.items() if name != gone}, file)
    with pytest.raises(DejavuError, match="lacks 1 .* 'stages.stage2.0.body.first.conv.weight'"):
        build(pretrained=file)
    save_file(weights | {"encoder/_stage5_extra/_block1/_conv3_bn/_conv/kernel": torch.ones(1)}, file)
    with pytest.raises(DejavuError, match="1 others, such as"):
        build(pretrained=file)
    save_file(weights, file)
    with pytest.raises(DejavuError, match="needs width 1"):
        build(pretrained=file, width=0.25)
    with pytest.raises(DejavuError, match="lacks .* of the backbone"):
        build("l", pretrained=file)
    with pytest.raises(DejavuError, match=r"'max_deeplab_s' is no file, .* name a \.safetensors file"):
        build(pretrained="max_deeplab_s")
