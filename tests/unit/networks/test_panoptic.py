"""Panoptic networks: published sizes, transformers' own predictions and losses, and losses worked out here.

The properties of every network are in test_networks.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn

from dejavu import networks
from dejavu.networks.backbones.swin import SWINS, as_published, swin_config
from dejavu.networks.cost import measure
from dejavu.networks.layers.mask_sets import segment_masks
from dejavu.tasks.predictions import Queries, read
from dejavu.tasks.segments import CROWD, VOID, Segment, classes_of, encode, is_crowd

K = 5  # classes
SMALL = {"width": 0.25, "depth": 0.01}  # one block a stage
NAMES = ("mask2former_panoptic", "maskformer")
CLASSES, MASKS = "class_queries_logits", "masks_queries_logits"

every_network = pytest.mark.parametrize("name", NAMES)


def build(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(name, K, **(SMALL | options))


def maps() -> Tensor:
    """Codes of two images of 64x64: segments of 16x16 squares, a crowd, and a stripe of void."""
    torch.manual_seed(1)
    codes = torch.randint(0, K, (2, 4, 4)) * 256 + torch.randint(0, 2, (2, 4, 4))
    codes = codes.repeat_interleave(16, 1).repeat_interleave(16, 2)
    codes[:, :, :8] = VOID
    codes[0, 32:48, 16:32] = 3 * 256 + CROWD
    return codes


def in_words(codes: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Masks and classes of the segments, one at a time."""
    masks, classes = [], []
    for image in codes.numpy():
        pairs = sorted({(code // 256, code % 256) for code in image.ravel().tolist() if code != VOID})
        pairs = [(kind, number) for kind, number in pairs if number != CROWD]
        masks.append(
            torch.tensor(np.array([image == 256 * kind + n for kind, n in pairs]), dtype=torch.float)
        )
        classes.append(torch.tensor([kind for kind, _ in pairs]))
    return masks, classes


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, dict[str, Any]]:
    """A network without dropout or drop path, images, and what it says of them in training mode."""
    options = {"drop_path": 0.0} | ({"dropout": 0.0, "depth": 0.5} if request.param == "maskformer" else {})
    network = build(request.param, **options).train()
    images = torch.randn(2, 3, 64, 64)
    return network, images, network(images)


# Parameters (M) and cost (G) as published: the two papers' tables of COCO panoptic, of images with a short
# side of 800 and a long one of up to 1333. Their mean size is not said: the nearest multiple of 32 at which
# three of four costs fit to 3 % is taken. The fourth, MaskFormer's Swin-T, is 7 % less here. It is the
# smallest, and its parts are those of the other three.
PUBLISHED = {
    ("mask2former_panoptic", "swin_tiny", 100): (47.4, 232, 0.03),
    ("mask2former_panoptic", "swin_large", 200): (215.5, 868, 0.03),
    ("maskformer", "swin_tiny", 100): (41.8, 179, 0.08),
    ("maskformer", "swin_large", 100): (211.6, 792, 0.03),
}


@pytest.mark.parametrize(("network", "published"), PUBLISHED.items())
def test_has_the_published_size(network: tuple[str, str, int], published: tuple[float, float, float]) -> None:
    name, backbone, queries = network
    params, gmacs, tolerance = published
    cost = measure(lambda: networks.build(name, 133, backbone=backbone, queries=queries), (800, 1120))
    assert cost.params_m == pytest.approx(params, abs=0.06)
    assert cost.gmacs == pytest.approx(gmacs, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "side", "gmacs", "params"), [("swin_tiny", 224, 4.5, 28.3), ("swin_large", 384, 103.9, 197)]
)
def test_swin_has_the_published_size(name: str, side: int, gmacs: float, params: float) -> None:
    """Of Swin's paper, without its classifier: a norm and 1000 classes."""
    config = swin_config(SWINS[name], 1.0, 1.0, 0.3)
    width = 8 * config.embed_dim
    cost = measure(lambda: OnlySwin(config), (side, side))
    assert cost.gmacs == pytest.approx(gmacs, rel=0.003)
    classifier = 2 * width + 1001 * width - 1000
    of_maps = 2 * 15 * config.embed_dim  # a norm of each feature map, which the classifier has not
    assert cost.params_m + (classifier - of_maps) / 1e6 == pytest.approx(params, rel=0.003)


class OnlySwin(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.backbone = transformers.SwinBackbone(config)
        as_published(self.backbone)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.backbone(images).feature_maps


# What they say.


def test_queries_are_said_in_both_modes(trained) -> None:
    network, images, prediction = trained
    with torch.no_grad():
        still = network.eval()(images)
    network.train()
    assert set(still) == {CLASSES, MASKS} and set(prediction) == {CLASSES, MASKS, "intermediate"}
    for key in (CLASSES, MASKS):
        torch.testing.assert_close(still[key], prediction[key])
        assert all(layer[key].shape == prediction[key].shape for layer in prediction["intermediate"])
    queries = read("panoptic", still)
    assert queries.classes.shape == (2, 25, K + 1) and queries.masks.shape == (2, 25, 16, 16)


def test_maskformer_predicts_what_transformers_does() -> None:
    """With these weights in its own MaskFormer, which has another implementation of Swin."""
    ours = build("maskformer", depth=0.5).eval()
    config = transformers.MaskFormerConfig(
        backbone_config=swin_config(SWINS["swin_tiny"], 0.25, 0.5, 0.3),
        decoder_config=deepcopy(ours.queries.decoder.config),
        fpn_feature_size=64,
        mask_feature_size=64,
        num_labels=K,
    )
    theirs = transformers.MaskFormerForInstanceSegmentation(config).eval()
    lacks = theirs.load_state_dict(under_their_names(ours.state_dict()), strict=False)
    assert not lacks.unexpected_keys
    left = {"relative_position_index", "encoder.model.layernorm", "empty_weight"}
    assert all(any(part in key for part in left) for key in lacks.missing_keys)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        found, expected = ours(images), theirs(images)
    for key in (CLASSES, MASKS):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-4)


def under_their_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = {
        "backbone.swin.": "model.pixel_level_module.encoder.model.",
        "backbone.": "model.pixel_level_module.encoder.",
        "pyramid.": "model.pixel_level_module.decoder.",
        "queries.": "model.transformer_module.",
        "classes.": "class_predictor.",
        "masks.": "mask_embedder.",
        "loss.": "criterion.",
    }
    of_swin = {
        "attention.q_proj": "attention.self.query",
        "attention.k_proj": "attention.self.key",
        "attention.v_proj": "attention.self.value",
        "attention.o_proj": "attention.output.dense",
        "attention.relative_position_bias.": "attention.self.",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    } | {f"norms.stage{number + 1}": f"norms.{number}" for number in range(4)}
    renamed = {}
    for key, value in weights.items():
        old, new = next((old, new) for old, new in parts.items() if key.startswith(old))
        name = new + key.removeprefix(old)
        for one, other in of_swin.items() if old.startswith("backbone") else ():
            name = name.replace(one, other)
        renamed[name] = value
    return renamed


def test_a_layer_of_maskformer_says_what_a_decoder_that_ends_there_says() -> None:
    network = build("maskformer", depth=0.5, drop_path=0.0, dropout=0.0).train()
    decoder, images = network.queries.decoder, torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for parameter in decoder.layernorm.parameters():
            parameter.normal_()  # a norm of what has been normed would be nothing new otherwise
        earlier = network(images)["intermediate"]
        assert len(earlier) == 2
        for layer in reversed(range(2)):
            decoder.layers = decoder.layers[: layer + 1]
            last = network(images)
            for key in (CLASSES, MASKS):
                torch.testing.assert_close(last[key], earlier[layer][key])


def test_maskformer_starts_as_the_public_code() -> None:
    """Xavier in the decoder, queries of unit variance."""
    network = build("maskformer", width=1.0)
    weight = network.queries.decoder.layers[0].mlp.fc1.weight  # 2048 x 256
    bound = math.sqrt(6 / (2048 + 256))
    assert bound * 0.99 < weight.max() <= bound
    assert network.queries.queries_embedder.weight.std().item() == pytest.approx(1, rel=0.05)


def test_maskformer_drops_out_in_training_alone() -> None:
    network = build("maskformer", drop_path=0.0).train()
    decoder, images = network.queries.decoder, torch.randn(1, 3, 64, 64)
    rates = {decoder.layers[0].dropout, decoder.layers[0].mlp.activation_dropout}
    rates |= {decoder.layers[0].self_attn.attention_dropout, decoder.layers[0].encoder_attn.attention_dropout}
    assert rates == {0.1}
    with torch.no_grad():
        assert not torch.equal(network(images)[MASKS], network(images)[MASKS])
        network.eval()
        assert torch.equal(network(images)[MASKS], network(images)[MASKS])


# What is a mask.


def test_segments_that_are_told_apart_are_masks() -> None:
    codes = maps()
    for found, expected in zip(segment_masks(codes, 255), in_words(codes), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    masks, classes = segment_masks(codes, 255)
    things = codes.numpy().astype(np.uint16)
    belongs = torch.tensor((things != VOID) & ~is_crowd(things))
    for image in range(2):
        assert torch.equal(masks[image].sum(0) == 1, belongs[image]) and masks[image].max() == 1
        classes_there = (masks[image] * classes[image][:, None, None]).sum(0)
        expected = torch.tensor(classes_of(things[image])).float()
        assert torch.equal(classes_there[belongs[image]], expected[belongs[image]])


def test_masks_are_those_of_the_segments_ids() -> None:
    """Of a map of ids, as annotations have it; two of one class are two masks, a crowd is none."""
    ids = np.array([[7, 7, 9], [5, 9, 4], [0, 4, 4]])
    found = {7: Segment(2), 9: Segment(2), 5: Segment(1, crowd=True), 4: Segment(4)}
    (masks,), (classes,) = segment_masks(torch.tensor(encode(ids, found).astype(np.int64))[None], 255)
    assert classes.tolist() == [2, 2, 4]
    assert torch.equal(masks, torch.tensor(np.array([ids == 7, ids == 9, ids == 4]), dtype=torch.float))


def test_a_class_can_be_ignored() -> None:
    _, classes = segment_masks(maps(), 2)
    assert all(2 not in one and len(one) > 2 for one in classes)


# The losses.


def test_mask2formers_loss_is_transformers_own() -> None:
    """Of the same weights, images, masks and random points, in the library's own forward pass."""
    network, images, codes = (
        build("mask2former_panoptic", drop_path=0.0).train(),
        torch.randn(2, 3, 64, 64),
        maps(),
    )
    prediction = network(images)
    torch.manual_seed(2)
    ours = network.criterion(prediction, codes, 255)
    config = deepcopy(network.model.config)
    config.train_num_points = 16 * 16  # as many as the masks have cells
    library = transformers.Mask2FormerForUniversalSegmentation(config).train()
    library.load_state_dict(network.model.state_dict(), strict=False)  # it has a norm that nothing reads
    masks, classes = in_words(codes)
    torch.manual_seed(2)
    theirs = library(images, mask_labels=masks, class_labels=classes)
    torch.testing.assert_close(ours, theirs.loss)
    assert len(prediction["intermediate"]) == 3


def blank(layers: int, queries: int = 25) -> dict[str, Any]:
    """A prediction that says nothing: all logits are 0."""
    layer = {CLASSES: torch.zeros(1, queries, K + 1), MASKS: torch.zeros(1, queries, 16, 16)}
    return layer | {"intermediate": [layer] * (layers - 1)}


@pytest.mark.parametrize("layers", [1, 4])
def test_mask2formers_loss_of_a_blank_prediction(layers: int) -> None:
    """One segment, all of the image: 2 ln(K + 1), 5 ln 2 and Dice's 5 (1 - 2 x 0.5 / 1.5) a layer.

    Points at the image's border see less of the segment, which Dice notices.
    """
    network = build("mask2former_panoptic")
    loss = network.criterion(blank(layers), torch.full((1, 64, 64), 2 * 256), 255)
    expected = 2 * math.log(K + 1) + 5 * math.log(2) + 5 / 3
    assert loss.item() == pytest.approx(layers * expected, rel=0.01)


@pytest.mark.parametrize("segments", [1, 8, 64])
def test_mask2formers_mask_loss_is_divided_by_the_number_of_masks(segments: int) -> None:
    """The mean over masks; those that 25 queries are too few for count in the denominator alone."""
    network = build("mask2former_panoptic")
    network.model.weight_dict.update(loss_cross_entropy=0.0, loss_dice=0.0)
    codes = torch.arange(segments).repeat_interleave(64 // segments).expand(1, 64, 64)
    loss = network.criterion(blank(1), codes, 255)
    assert loss.item() == pytest.approx(5 * math.log(2) * min(segments, 25) / segments, rel=1e-5)


def test_mask2formers_queries_without_a_segment_weigh_a_tenth() -> None:
    """All 25 say "no object" with odds of e^30, and one of them is wrong: 2 x 30 / (1 + 24 x 0.1)."""
    network = build("mask2former_panoptic")
    network.model.weight_dict.update(loss_mask=0.0, loss_dice=0.0)
    sure = blank(1)
    sure[CLASSES] = 30 * F.one_hot(torch.full((1, 25), K), K + 1).float()
    loss = network.criterion(sure, torch.full((1, 64, 64), 2 * 256), 255)
    assert loss.item() == pytest.approx(2 * 30 / (1 + 24 * 0.1), rel=1e-5)


def test_mask2former_compares_at_as_many_points_as_published() -> None:
    network = build("mask2former_panoptic")
    loss = network.model.criterion
    assert (loss.oversample_ratio, loss.importance_sample_ratio) == (3.0, 0.75)
    for side, points in ((16, 256), (256, 12544)):
        layer = {CLASSES: torch.zeros(1, 8, K + 1), MASKS: torch.zeros(1, 8, side, side)}
        network.criterion(layer, torch.full((1, 64, 64), 256), 255)
        assert loss.num_points == loss.matcher.num_points == points


def test_the_matcher_weighs_classes_by_2_and_masks_by_5() -> None:
    """Query 0 has the better mask, by 1.5 in cost, and query 1 the right class, which is worth 2.

    The mask is all of the image: a query with the logit a everywhere costs
    5 (ln(1 + e^-a) + 1 - 2 s / (s + 1)), where s is its sigmoid.
    """
    matcher = build("mask2former_panoptic").model.criterion.matcher
    masks = torch.tensor([3.0, 1.26])[None, :, None, None].expand(1, 2, 256, 256)
    one, other = (5 * (math.log1p(math.exp(-a)) + 1 - 2 / (2 + math.exp(-a))) for a in (3.0, 1.26))
    assert other - one == pytest.approx(1.5, abs=0.02)
    classes = torch.tensor([[0.0, 30.0, 0.0, 0.0, 0.0, 0.0], [30.0, 0.0, 0.0, 0.0, 0.0, 0.0]])[None]
    truth = [torch.ones(1, 256, 256)], [torch.tensor([0])]
    assert (matcher.cost_class, matcher.cost_mask, matcher.cost_dice) == (2, 5, 5)
    assert matcher(masks, classes, *truth)[0][0].tolist() == [1]
    matcher.cost_class = 1.0
    assert matcher(masks, classes, *truth)[0][0].tolist() == [0]


def focal(logits: Tensor, mask: Tensor) -> Tensor:
    """Lin et al., ICCV 2017, alpha 0.25 and gamma 2: the mean over pixels."""
    right = torch.where(mask == 1, logits.sigmoid(), (-logits).sigmoid())
    return (-torch.where(mask == 1, 0.25, 0.75) * (1 - right) ** 2 * right.log()).mean()


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    found = logits.sigmoid()
    return 1 - (2 * (found * mask).sum() + 1) / (found.sum() + mask.sum() + 1)


def matched(classes: Tensor, logits: Tensor, masks: Tensor, truth: Tensor) -> tuple[int, ...]:
    """The query of each mask in the cheapest of all assignments; masks are compared at the queries' size."""
    probabilities, step = classes.softmax(-1), masks.shape[-1] // logits.shape[-1]
    costs = [
        [
            20 * focal(query, mask[::step, ::step]) + dice(query, mask[::step, ::step]) - probability[kind]
            for query, probability in zip(logits, probabilities, strict=True)
        ]
        for mask, kind in zip(masks, truth, strict=True)
    ]
    every = permutations(range(len(logits)), len(masks))
    return min(every, key=lambda chosen: sum(costs[place][query] for place, query in enumerate(chosen)))


def worked_out(layer: dict[str, Tensor], codes: Tensor) -> Tensor:
    """MaskFormer's loss of a layer: 1 x classes, 20 x focal, 1 x Dice."""
    masks, truth = in_words(codes)
    total = sum(map(len, masks))
    loss, classes, weights = torch.zeros(()), torch.zeros(()), torch.zeros(())
    for image in range(len(codes)):
        scores, logits = layer[CLASSES][image], layer[MASKS][image]
        chosen = matched(scores, logits, masks[image], truth[image])
        full = F.interpolate(logits[None], size=codes.shape[-2:], mode="bilinear")[0]
        expected = torch.full((len(scores),), K)
        for place, query in enumerate(chosen):
            mask = masks[image][place]
            loss = loss + (20 * focal(full[query], mask) + dice(full[query], mask)) / total
            expected[query] = truth[image][place]
        weight = torch.where(expected == K, 0.1, 1.0)
        classes = classes - (weight * scores.log_softmax(-1)[range(len(scores)), expected]).sum()
        weights = weights + weight.sum()
    return loss + classes / weights


def test_maskformers_loss_is_the_one_worked_out_here() -> None:
    """Of random logits of 6 queries in two layers; all assignments are tried."""
    codes = maps()
    codes[0, :, 24:], codes[1, :32] = VOID, VOID
    codes[1, 32:48] = 256 + 1
    masks, _ = in_words(codes)
    assert [len(image) for image in masks] != [0, 0] and max(map(len, masks)) <= 6
    torch.manual_seed(3)
    every = [{CLASSES: 2 * torch.randn(2, 6, K + 1), MASKS: 2 * torch.randn(2, 6, 16, 16)} for _ in range(2)]
    network = build("maskformer")
    loss = network.criterion(every[0] | {"intermediate": every[1:]}, codes, 255)
    torch.testing.assert_close(loss, sum(worked_out(layer, codes) for layer in every))


def test_maskformers_loss_is_a_mean_over_masks() -> None:
    """An image twice is the same loss, and an image without a segment changes that of the classes alone."""
    network, codes = build("maskformer"), maps()[:1]
    torch.manual_seed(4)
    one = {CLASSES: torch.randn(1, 30, K + 1), MASKS: torch.randn(1, 30, 16, 16)}
    twice = {key: value.repeat(2, *[1] * (value.ndim - 1)) for key, value in one.items()}
    loss = network.criterion(one, codes, 255)
    torch.testing.assert_close(network.criterion(twice, codes.repeat(2, 1, 1), 255), loss)
    beside = network.criterion(twice, torch.cat([codes, torch.full_like(codes, VOID)]), 255)
    found = len(in_words(codes)[1][0])
    matched_, left = found + (30 - found) * 0.1, 30 * 0.1  # weights of the classes' loss
    empty = network.criterion(one, torch.full_like(codes, VOID), 255)
    of_classes = F.cross_entropy(one[CLASSES][0], torch.full((30,), K))
    torch.testing.assert_close(empty, of_classes)
    masks_alone = network.loss.loss_masks(*_matched_masks(network, one, codes))
    of_masks = 20 * masks_alone["loss_mask"] + masks_alone["loss_dice"]
    expected = of_masks + ((loss - of_masks) * matched_ + empty * left) / (matched_ + left)
    torch.testing.assert_close(beside, expected)


def _matched_masks(network: Any, layer: dict[str, Tensor], codes: Tensor) -> tuple[Any, ...]:
    masks, classes = in_words(codes)
    indices = network.loss.matcher(layer[MASKS], layer[CLASSES], masks, classes)
    return layer[MASKS], masks, indices, len(classes[0])


def test_a_loss_is_of_the_layers_that_are_there(trained) -> None:
    """DejaVu's cycle hands over the last layer alone: the loss of all is that of each."""
    network, _, prediction = trained
    codes = maps()

    def loss(given: Any) -> Tensor:
        torch.manual_seed(5)
        return network.criterion(given, codes, 255)

    last = {key: prediction[key] for key in (CLASSES, MASKS)}
    alone = loss(last)
    assert alone.requires_grad and torch.equal(alone, loss(Queries(last[CLASSES], last[MASKS])))
    parts = torch.stack([loss(layer) for layer in (last, *prediction["intermediate"])])
    # Mask2Former compares at other random points in each layer.
    torch.testing.assert_close(loss(prediction), parts.sum(), rtol=0.05, atol=0)
    assert loss(prediction) > 1.5 * alone


def test_a_perfect_prediction_costs_next_to_nothing(trained) -> None:
    """And each thing that is wrong with it, something: a class, a mask, two things that are taken for one."""
    network, _, _ = trained
    codes = torch.full((1, 64, 64), 4 * 256)
    codes[:, :32, :32], codes[:, :32, 32:] = 2 * 256, 2 * 256 + 1  # two things of a class

    def said(classes: list[int], masks: list[Tensor]) -> dict[str, Tensor]:
        one_hot = F.one_hot(torch.tensor(classes), K + 1).float() * 40 - 20
        return {CLASSES: one_hot[None], MASKS: F.avg_pool2d(torch.stack(masks)[None] * 40 - 20, 4)}

    left, right, rest = ((codes[0] == code).float() for code in (512, 513, 1024))

    def loss(*given: Any) -> float:
        torch.manual_seed(6)
        return float(network.criterion(said(*given), codes, 255))

    perfect = loss([2, 2, 4, K], [left, right, rest, 0 * rest])
    for wrong in (
        loss([2, 3, 4, K], [left, right, rest, 0 * rest]),
        loss([2, 2, 4, K], [left, right, 0 * rest, 0 * rest]),
        loss([2, K, 4, K], [left + right, 0 * rest, rest, 0 * rest]),
        loss([2, 2, 4, 4], [left, right, rest, rest]),  # one too many
    ):
        assert perfect < wrong / 4


@pytest.mark.parametrize("empty", [1, 2])
def test_images_without_a_segment_still_train(trained, empty: int) -> None:
    network, images, _ = trained
    codes = maps()
    codes[:empty] = VOID
    codes[0, 40:, 40:] = 256 + CROWD
    loss = network.criterion(network(images), codes, 255)
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    network.zero_grad()


def test_more_segments_than_queries_still_train(trained) -> None:
    network, images, prediction = trained
    codes = (torch.arange(64) % K * 256 + torch.arange(64) // K).expand(2, 64, 64)
    assert network.criterion(network(images), codes, 255).isfinite()
    assert prediction[CLASSES].shape[1] < 64


@pytest.fixture
def strict() -> Iterator[None]:
    """torch refuses what is not deterministic, as in a training."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode(before)


@every_network
def test_a_step_is_deterministic(name: str, strict: None) -> None:
    """With dropout, drop path and random points, which all come from torch's seed."""
    network = build(name).train().to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 70).to(memory_format=torch.channels_last)
    codes = F.pad(maps(), (0, 6), value=VOID)
    gradients = []
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        network.zero_grad()
        network.criterion(network(images), codes, 255).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert torch.equal(gradients[0], gradients[1]) and not torch.equal(gradients[0], gradients[2])


def test_trains_in_bfloat16(trained) -> None:
    """The loss is in full precision all the same."""
    network, images, _ = trained
    losses = []
    for given in (True, False):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=given):
            losses.append(network.criterion(network(images), maps(), 255))
    assert losses[0].dtype == torch.float32
    torch.testing.assert_close(losses[0], losses[1], rtol=0.03, atol=0)


@every_network
def test_learns_to_tell_two_things_of_a_class_apart(name: str) -> None:
    """One image, again and again, from random weights: at last each segment is some query's."""
    network = build(name, drop_path=0.0, **({"dropout": 0.0} if name == "maskformer" else {})).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    codes = torch.full((1, 64, 64), 4 * 256)
    codes[:, 8:40, 4:28], codes[:, 16:56, 36:60] = 2 * 256, 2 * 256 + 1
    images = (codes[:, None] / 512 - 1 + torch.linspace(-1, 1, 64)).expand(1, 3, 64, 64).float()
    for step in range(100):
        torch.manual_seed(step)
        optimizer.zero_grad()
        network.criterion(network(images), codes, 255).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
    with torch.no_grad():
        classes, masks = read("panoptic", network.eval()(images))
    full = F.interpolate(masks, size=(64, 64), mode="bilinear")[0] > 0
    for code in codes.unique():
        truth = codes[0] == code
        overlap = (full & truth).sum((1, 2)) / (full | truth).sum((1, 2))
        assert overlap[classes[0].argmax(-1) == code // 256].max() > 0.9


@every_network
def test_pretrained_fills_the_whole_backbone(name: str, tmp_path: Path) -> None:
    """From a file of the hub's names."""
    torch.manual_seed(7)
    given = transformers.SwinForImageClassification(build(name).backbone.config)
    given.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    assert load_file(file).keys() != given.state_dict().keys()
    swin = build(name, pretrained=str(file)).backbone.swin
    for key, value in swin.state_dict().items():
        assert torch.equal(value, given.swin.state_dict()[key]), key
    assert len(swin.pretrained_sha256) == 64
