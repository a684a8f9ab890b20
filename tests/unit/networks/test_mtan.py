"""MTAN: the published size, numbers of the public code, and what its masks do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dejavu import networks
from dejavu.networks.cost import measure
from dejavu.networks.mtan import Mask
from unit.networks.test_segnet import NYUD, PAIR, TINY, build, fixed, published_form, wave

# lorenmt/mtan, im2im_pred/model_segnet_mtan.py: parameters without its three `logsigma`, those of
# model_segnet_stan.py for 13 classes, and, its filters set to 4, 8, 16, 32, 32, means of absolute values and
# the pixel (1, 0, 17, 42) of its predictions.
PARAMETERS = 44_229_073
PARAMETERS_OF_ONE_TASK = 38_185_805
PUBLIC = {
    "semantic": (2.621391774627697, -2.511560878471911),
    "depth": (0.1986783289787193, 0.17371501221663432),
    "normals": (0.5012197362716865, 0.3519940090316478),
}


def test_has_the_published_size() -> None:
    """1.77 of SegNet for one task, in the paper's table of NYUv2 and by what the public code prints."""
    cost = measure(lambda: networks.build("mtan", NYUD), (288, 384))
    assert round(cost.params_m * 1e6) == PARAMETERS
    assert round(cost.params_m * 1e6 / 24_981_069, 2) == 1.77


def test_a_single_task_has_one_set_of_masks() -> None:
    cost = measure(lambda: networks.build("mtan", 13), (32, 32))
    assert round(cost.params_m * 1e6) == PARAMETERS_OF_ONE_TASK


def test_predicts_what_the_public_code_does() -> None:
    """In training mode, from these weights and this image."""
    network = fixed(networks.build("mtan", NYUD, TINY, unit=False))
    with torch.no_grad():
        found = published_form(network(wave(2, 3, 64, 96)))
    for task, (mean, pixel) in PUBLIC.items():
        assert found[task].abs().mean().item() == pytest.approx(mean, rel=1e-6), task
        assert found[task][1, 0, 17, 42].item() == pytest.approx(pixel, rel=1e-6), task


def masked(value: float, *tasks: str) -> Any:
    """The network in evaluation mode, whose masks of these tasks are `value`, 0 or 1, everywhere."""
    network = build("mtan").eval()
    for task in tasks:
        for mask in (*network.heads[task].encoder, *network.heads[task].decoder):
            assert isinstance(mask, Mask)
            norm = mask.layers[4]
            torch.nn.init.zeros_(norm.weight)
            torch.nn.init.constant_(norm.bias, 200.0 * (2 * value - 1))  # the sigmoid's limits, exactly
    return network


def predict(network: Any, images: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return network(images)


def test_with_masks_of_ones_tasks_see_the_shared_features() -> None:
    """And nothing else: it is SegNet, to the bit where convolutions sum alike, and within rounding elsewhere.

    On an AMD EPYC the two differ by 5e-10: their convolutions have other numbers of channels.
    """
    network, plain = masked(1.0, *PAIR), build("segnet").eval()
    weights = {name.replace(".head.", "."): value for name, value in network.state_dict().items()}
    kept = {name: value for name, value in weights.items() if name in plain.state_dict()}
    plain.load_state_dict(kept, strict=True)
    images = torch.randn(2, 3, 64, 96)
    found, expected = predict(network, images), predict(plain, images)
    assert list(found) == list(expected)
    for task in expected:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-6, atol=1e-8)
    usual = predict(build("mtan").eval(), images)
    assert not any(torch.allclose(usual[task], expected[task]) for task in expected)


def test_with_masks_of_zeros_a_task_sees_nothing_and_the_others_what_they_saw() -> None:
    network, images, other = masked(0.0, "normals"), torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
    one, two = predict(network, images), predict(network, other)
    assert torch.equal(one["normals"], two["normals"])
    assert not torch.allclose(one["semantic"], two["semantic"])
    assert torch.equal(one["semantic"], predict(build("mtan").eval(), images)["semantic"])
