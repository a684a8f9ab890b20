"""Networks that transformers brings: published sizes, its own losses and predictions, pretrained files.

The properties of every network are in test_networks.py.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.networks.cost import measure
from dejavu.networks.mask2former import binary_masks, log_scores
from dejavu.networks.semask import SemanticAttention
from dejavu.tasks.predictions import Queries, as_tensor, read

K = 5  # classes
SMALL = {"width": 0.25, "depth": 0.01}  # one block a stage


def build(module: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(module, K, **(SMALL | options))


def blocks() -> torch.Tensor:
    """Labels of two images: classes in squares of 16 pixels, with a stripe to be ignored."""
    torch.manual_seed(1)
    labels = torch.randint(0, K, (2, 4, 4)).repeat_interleave(16, 1).repeat_interleave(16, 2)
    labels[:, :, :8] = 255
    return labels


def test_segformer_has_the_published_size() -> None:
    cost = measure(lambda: networks.build("segformer", 19), (512, 1024))
    assert cost.params_m == pytest.approx(84.6, abs=0.1)
    assert cost.gmacs == pytest.approx(240.0, abs=0.1)


def test_mask2former_has_the_published_size() -> None:
    """The DejaVu paper's table has 251 GMACs, which is an image of 512x512; the official one 215 M."""
    cost = measure(lambda: networks.build("mask2former", 19), (512, 512))
    assert cost.params_m == pytest.approx(215.5, abs=0.1)
    assert cost.gmacs == pytest.approx(251, rel=0.005)


def test_semask_has_the_published_size() -> None:
    """258 in the DejaVu paper's table, as Mask2Former's of 512x512; 222 M in SeMask's own."""
    cost = measure(lambda: networks.build("semask", 19), (512, 512))
    assert cost.params_m == pytest.approx(222, abs=0.5)
    assert cost.gmacs == pytest.approx(258, rel=0.005)


@pytest.mark.parametrize("name", ["segformer", "mask2former"])
def test_ours_adds_only_what_leads_to_the_backbone(name: str) -> None:
    """The weights are transformers' own, but for a norm in front of Swin's classifier."""
    network = build(name)
    ours = {key: value.shape for key, value in network.state_dict().items()}
    if name == "segformer":
        whole = transformers.SegformerForSemanticSegmentation(network.backbone.config)
        renamed = {"segformer.": "backbone.", "decode_head.": "head."}
    else:
        whole = transformers.Mask2FormerForUniversalSegmentation(network.model.config)
        renamed = {"": "model."}
    theirs = {}
    for key, value in whole.state_dict().items():
        old, new = next((old, new) for old, new in renamed.items() if key.startswith(old))
        if ".swin.layernorm." not in key:
            theirs[new + key.removeprefix(old)] = value.shape
    assert ours == theirs


def test_segformer_predicts_what_transformers_does() -> None:
    network = build("segformer").eval()
    whole = transformers.SegformerForSemanticSegmentation(network.backbone.config).eval()
    whole.segformer.load_state_dict(network.backbone.state_dict())
    whole.decode_head.load_state_dict(network.head.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(network(images), whole(images).logits)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, torch.Tensor, dict]:
    """A Mask2Former without drop path, images, and what it says of them in training mode."""
    network = build("mask2former", drop_path=0.0).train()
    images = torch.randn(2, 3, 64, 64)
    return network, images, network(images)


def test_mask2formers_loss_is_transformers_own(trained) -> None:
    """Of the same weights, images, masks and random points, in the library's own forward pass."""
    network, images, prediction = trained
    labels = blocks()
    torch.manual_seed(2)
    ours = network.criterion(prediction, labels)

    config = deepcopy(network.model.config)
    config.train_num_points = 16 * 16  # as many as the masks have cells
    library = transformers.Mask2FormerForUniversalSegmentation(config)
    library.load_state_dict(network.model.state_dict(), strict=False)  # it has a norm that nothing reads
    targets: dict[str, list] = {"mask_labels": [], "class_labels": []}
    for image in labels:  # every class in its own words
        present = [number for number in range(K) if (image == number).any()]
        targets["mask_labels"].append(torch.stack([(image == number).float() for number in present]))
        targets["class_labels"].append(torch.tensor(present))
    torch.manual_seed(2)
    theirs = library.train()(images, **targets)
    torch.testing.assert_close(ours, theirs.loss)
    assert len(prediction["intermediate"]) == config.decoder_layers - 1 == 3


def test_mask2formers_semantic_prediction_is_found_first_and_its_queries_too(trained) -> None:
    _, _, prediction = trained
    assert as_tensor(prediction) is prediction["out"]
    assert prediction["out"].shape == (2, K, 16, 16) and prediction["out"].requires_grad
    queries = read("panoptic", prediction)
    assert isinstance(queries, Queries) and queries.classes.shape == (2, 25, K + 1)
    assert torch.equal(prediction["out"], log_scores(*queries))


def test_mask2former_says_the_same_in_both_modes(trained) -> None:
    network, images, prediction = trained
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), prediction["out"])
    network.train()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_log_scores_choose_as_transformers_does() -> None:
    """Its post-processing brings masks to 384x384 first: here they have this size, and are left alone."""
    torch.manual_seed(0)
    classes, masks = 3 * torch.randn(2, 7, K + 1), 4 * torch.randn(2, 7, 384, 384)
    ours = log_scores(classes, masks)
    found = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    theirs = torch.stack(transformers.Mask2FormerImageProcessor().post_process_semantic_segmentation(found))
    assert (ours.argmax(1) == theirs).float().mean() > 0.9999  # the rest are ties in the last digit
    one = sum(p[:-1, None, None] * m.sigmoid() for p, m in zip(classes[1].softmax(-1), masks[1], strict=True))
    torch.testing.assert_close(ours[1].softmax(0), one / one.sum(0))


def test_log_scores_are_finite_where_nothing_is_predicted() -> None:
    masks = torch.full((1, 3, 4, 4), -1e4, requires_grad=True)
    scores = log_scores(torch.zeros(1, 3, K + 1), masks)
    scores.sum().backward()
    assert scores.isfinite().all() and masks.grad.isfinite().all()


def said(labels: torch.Tensor, classes: torch.Tensor) -> dict:
    """What a Mask2Former would return that is certain of these labels (N, H, W): query k is class k."""
    masks = torch.stack([(labels == number).float() * 60 - 30 for number in range(K)], 1)
    layer = {
        "class_queries_logits": torch.where(classes[:, :, None] == torch.arange(K + 1), 30.0, -30.0),
        "masks_queries_logits": masks,
    }
    return {"out": masks, **layer, "intermediate": [layer, layer]}


def test_criterion_tells_a_perfect_prediction_from_wrong_classes_and_wrong_masks(trained) -> None:
    """What is left at a perfect one lies at the border, where points half outside see half of a mask."""
    network, _, _ = trained
    labels = torch.tensor([1, 3])[:, None, None].expand(2, 64, 64)
    right = torch.tensor([[5, 1, 5, 5, 5], [5, 5, 5, 3, 5]])  # 5 is "no object"

    def loss(masks: torch.Tensor, classes: torch.Tensor) -> float:
        torch.manual_seed(0)
        return float(network.criterion(said(masks, classes), labels))

    perfect = loss(labels, right)
    wrong_masks = loss(torch.full_like(labels, 9), right)  # all are empty
    assert perfect < wrong_masks / 50
    wrong_class = loss(labels, torch.where(right == 3, 2, right))
    # Three layers; 2 x cross-entropy, 60 in one query; two queries weigh 1, the eight others 0.1.
    assert wrong_class - perfect == pytest.approx(3 * 2 * 60 / (2 * 1 + 8 * 0.1), rel=1e-4)


def test_ignored_pixels_belong_to_no_mask() -> None:
    labels = blocks()
    labels[1] = 255
    masks, classes = binary_masks(labels, 255)
    assert classes[0].tolist() == sorted(set(labels[0].unique().tolist()) - {255}) and len(classes[1]) == 0
    assert masks[1].shape == (0, 64, 64)
    assert torch.equal(masks[0].sum(0), (labels[0] != 255).float())
    for number, mask in zip(classes[0], masks[0], strict=True):
        assert torch.equal(mask == 1, labels[0] == number)


@pytest.mark.parametrize("ignored", [1, 2])
def test_images_without_a_label_still_train(trained, ignored: int) -> None:
    network, images, _ = trained
    labels = blocks()
    labels[:ignored] = 255
    loss = network.criterion(network(images), labels)
    loss.backward()
    assert loss.isfinite() and all(
        p.grad.isfinite().all() for p in network.parameters() if p.grad is not None
    )
    network.zero_grad()


def test_mask2former_trains_in_bfloat16(trained) -> None:
    """Scores and loss are in full precision all the same."""
    network, images, prediction = trained
    labels = blocks()
    losses = []
    for given in (True, False):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=given):
            found = network(images)
            assert found["out"].dtype == torch.float32
            losses.append(network.criterion(found, labels))
    assert losses[0].dtype == torch.float32
    torch.testing.assert_close(losses[0], losses[1], rtol=0.02, atol=0)


def test_mask2former_is_deterministic(trained) -> None:
    network, images, _ = trained
    network = network.to(memory_format=torch.channels_last)
    gradients = []
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        for _ in range(2):
            torch.manual_seed(4)
            network.zero_grad()
            network.criterion(network(images), blocks()).backward()
            gradients.append([p.grad.clone() for p in network.parameters()])
    finally:
        torch.set_deterministic_debug_mode(before)
        network.zero_grad()
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", ["segformer", "mask2former"])
def test_drop_path_leaves_out_attention_and_mlp(name: str) -> None:
    """With a rate of a half, half of the images lose the last block's MLP, and others have twice of it."""
    network = build(name, drop_path=0.5)
    if name == "segformer":
        block = network.backbone.stages[-1].blocks[-1]
        images, given = torch.randn(64, 1, 128), {"height": 1, "width": 1}
    else:
        block = network.backbone.swin.encoder.layers[-1].blocks[-1]
        images, given = torch.randn(64, 1, 384), {"input_dimensions": (1, 1), "always_partition": True}
    first = build(name, drop_path=0.5).backbone
    first = first.stages[0].blocks[0] if name == "segformer" else first.swin.encoder.layers[0].blocks[0]
    assert isinstance(first.drop_path, nn.Identity)
    nn.init.zeros_(block.attention.o_proj.weight), nn.init.zeros_(block.attention.o_proj.bias)

    def added(training: bool) -> torch.Tensor:
        torch.manual_seed(0)
        out = block.train(training)(images, **given)
        return (out if isinstance(out, torch.Tensor) else out[0]) - images

    with torch.no_grad():
        always, sometimes = added(False), added(True)
    kept = sometimes.abs().amax((1, 2)) > 0
    assert 16 < kept.sum() < 48
    torch.testing.assert_close(sometimes[kept], 2 * always[kept], rtol=1e-4, atol=1e-5)


def test_semantic_attention_is_attention_by_the_prior_in_windows() -> None:
    """A map of 5x6 in windows of 3: below is a row of zeros that takes part, as Swin's padding does."""
    torch.manual_seed(0)
    block = SemanticAttention(8, K, 3).eval()
    nn.init.constant_(block.scale, 0.7)
    tokens = torch.randn(2, 30, 8)
    with torch.no_grad():
        features, prior = block(tokens, (5, 6))
        normed = block.norm(tokens).reshape(2, 5, 6, 8)
        torch.testing.assert_close(prior, block.queries(normed).permute(0, 3, 1, 2))
        window = nn.functional.pad(normed[1, 3:, 3:], (0, 0, 0, 0, 0, 1)).reshape(1, 9, 8)  # the last one
        attended = nn.functional.scaled_dot_product_attention(
            block.queries(window), block.keys(window), block.values(window), scale=1.0
        )
        expected = (window + 0.7 * block.project(attended)).reshape(3, 3, 8)[:2]
    torch.testing.assert_close(features.reshape(2, 5, 6, 8)[1, 3:, 3:], expected)


def test_semask_learns_its_priors_beside_mask2formers_loss() -> None:
    network = build("semask", drop_path=0.0).train()
    prediction = network(torch.randn(2, 3, 50, 64))
    labels = blocks()[:, :50]
    assert prediction["semantic"].shape == (2, K, 13, 16)
    losses = []
    for loss in (network.criterion, super(type(network), network).criterion):
        torch.manual_seed(0)
        losses.append(loss(prediction, labels))
    priors = nn.functional.interpolate(prediction["semantic"], (50, 64), mode="bilinear", align_corners=True)
    expected = 0.4 * nn.functional.cross_entropy(priors, labels, ignore_index=255)
    torch.testing.assert_close(losses[0] - losses[1], expected, rtol=1e-3, atol=1e-4)
    assert not any(
        block._forward_hooks for block in network.modules() if isinstance(block, SemanticAttention)
    )


def classifier(name: str, network: nn.Module) -> nn.Module:
    """transformers' ImageNet classifier with this network's backbone, of other weights."""
    kinds = {
        "segformer": transformers.SegformerForImageClassification,
        "mask2former": transformers.SwinForImageClassification,
    }
    torch.manual_seed(7)
    return kinds[name](network.backbone.config)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("segformer", "hub"),
        ("segformer", "file of the hub"),
        ("segformer", "file of today's names"),
        ("mask2former", "hub"),
        ("mask2former", "file of the hub"),
    ],
)
def test_pretrained_fills_the_whole_backbone(name: str, source: str, tmp_path: Path) -> None:
    """A folder that transformers has written stands for the hub."""
    given = classifier(name, build(name))
    folder = tmp_path / "model"
    given.save_pretrained(folder)
    file = folder / "model.safetensors"
    if source == "file of today's names":
        save_file(given.state_dict(), file)
    else:
        assert load_file(file).keys() != given.state_dict().keys()  # the hub's files have the old names
    network = build(name, pretrained=str(folder if source == "hub" else file))
    part, body = (
        (network.backbone, given.segformer) if name == "segformer" else (network.backbone.swin, given.swin)
    )
    for key, value in part.state_dict().items():
        assert torch.equal(value, body.state_dict()[key]), key
    assert len(part.pretrained_sha256) == 64


def test_pretrained_is_never_skipped_silently(tmp_path: Path) -> None:
    name = "segformer"
    weights = classifier(name, build(name)).state_dict()
    file = str(tmp_path / "weights.safetensors")
    norm = next(key for key in weights if key.endswith("layernorm_before.weight"))
    save_file({key: value for key, value in weights.items() if key != norm}, file)
    with pytest.raises(DejavuError, match="lacks 1 of the backbone's .*layernorm_before.weight"):
        build(name, pretrained=file)
    save_file(weights | {"stage9.weight": torch.zeros(1)}, file)
    with pytest.raises(DejavuError, match="1 others, such as 'stage9.weight'"):
        build(name, pretrained=file)
    save_file(weights, file)
    with pytest.raises(DejavuError, match="there and .* here; it needs width 1"):
        build(name, pretrained=file, width=0.5)


def test_unknown_backbone_is_named() -> None:
    with pytest.raises(DejavuError, match="backbone: must be one of swin_tiny, swin_large, not 'swin_huge'"):
        networks.build("mask2former", K, backbone="swin_huge")
