"""Regeneration and its loss, against cases that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dejavu.errors import DejavuError
from dejavu.method import regeneration
from dejavu.method.loss import dejavu_loss, ramp

every_regenerator = pytest.mark.parametrize("name", regeneration.names())
K = 5  # classes


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def linear_crm(name: str, stride: int, factor: float, **options: object) -> regeneration.CRM:
    """A CRM whose convolutions are x -> factor * x on the image, whatever the condition."""
    crm = regeneration.build(name, K, stride, depth=1, norm="none", **options)
    convolution = crm.layers[0]
    torch.nn.init.zeros_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    for channel in range(3 * stride**2):
        convolution.weight.data[channel, channel, 1, 1] = factor
    return crm


@every_regenerator
@pytest.mark.parametrize("size", [(32, 64), (31, 45), (5, 3)])
@pytest.mark.parametrize("stride", [1, 4, 8])
def test_every_step_has_the_images_shape(name: str, size: tuple[int, int], stride: int) -> None:
    crm = regeneration.build(name, K, stride, width=8)
    images = torch.randn(2, 3, *size)
    steps = crm(images, torch.randn(2, K, *crm.grid(images)))
    assert len(steps) == (3 if name == "crm_r" else 1)
    assert all(step.shape == images.shape and step.isfinite().all() for step in steps)


@pytest.mark.parametrize(("size", "stride"), [((32, 64), 4), ((31, 45), 4), ((31, 45), 8), ((9, 9), 1)])
def test_folding_throws_nothing_away(size: tuple[int, int], stride: int) -> None:
    images = torch.randn(2, 3, *size)
    (same,) = linear_crm("crm_f", stride, 1.0)(images, torch.randn(2, K, 4, 4))
    assert torch.equal(same, images)


def test_recursion_adds_to_what_goes_in_again() -> None:
    images = torch.randn(2, 3, 13, 18)
    steps = linear_crm("crm_r", 4, 0.5, recursions=4)(images, torch.randn(2, K, 4, 5))
    assert len(steps) == 4
    for t, step in enumerate(steps, start=1):  # G_t = G_{t-1} + G_{t-1} / 2
        torch.testing.assert_close(step, 1.5**t * images)


def test_recursions_share_their_weights() -> None:
    counts = {
        (name, *options.items()): sum(
            p.numel() for p in regeneration.build(name, 19, 4, **options).parameters()
        )
        for name, options in (("crm_f", {}), ("crm_r", {"recursions": 1}), ("crm_r", {"recursions": 5}))
    }
    # 3x3 convolutions 48 + 19 -> 32 -> 32 -> 48, two batch norms, one bias
    assert set(counts.values()) == {9 * (67 * 32 + 32 * 32 + 32 * 48) + 2 * 2 * 32 + 48}


@every_regenerator
@pytest.mark.parametrize("norm", list(regeneration.NORMS))
def test_gradient_reaches_every_parameter_and_the_condition(name: str, norm: str) -> None:
    crm = regeneration.build(name, K, 4, width=8, norm=norm)
    condition = torch.randn(2, K, 8, 8, requires_grad=True)
    images = torch.randn(2, 3, 32, 32)
    dejavu_loss(crm(images, condition), images).backward()
    for key, parameter in [*crm.named_parameters(), ("condition", condition)]:
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@every_regenerator
def test_condition_of_another_size_is_brought_to_the_grid(name: str) -> None:
    crm = regeneration.build(name, K, 4, width=8).eval()
    images, full = torch.randn(1, 3, 32, 48), torch.randn(1, K, 32, 48)
    expected = crm(images, full.unflatten(2, (8, 4)).unflatten(4, (12, 4)).mean((3, 5)))
    for one, other in zip(crm(images, full), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_resize_averages_the_cells_that_folding_makes() -> None:
    maps = torch.randn(2, K, 13, 10)
    small = regeneration.to_grid(maps, (4, 3))
    for i in range(4):
        for j in range(3):
            cell = maps[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean((2, 3))
            torch.testing.assert_close(small[:, :, i, j], cell)


def test_resize_interpolates_what_is_coarser() -> None:
    maps = torch.randn(2, K, 4, 6)
    expected = F.interpolate(maps, (16, 24), mode="bilinear", align_corners=False)
    assert torch.equal(regeneration.to_grid(maps, (16, 24)), expected)


@settings(max_examples=50, deadline=None)
@given(*[st.integers(1, 40)] * 4)
def test_resize_has_the_size_and_keeps_a_constant(h: int, w: int, height: int, width: int) -> None:
    resized = regeneration.to_grid(torch.full((1, 2, h, w), 0.25), (height, width))
    assert resized.shape == (1, 2, height, width)
    torch.testing.assert_close(resized, torch.full_like(resized, 0.25))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: regeneration.build("crmf", K, 4), "did you mean 'crm_f'"),
        (lambda: regeneration.build("crm_f", K, 4, depht=2), "did you mean 'depth'"),
        (lambda: regeneration.build("crm_f", K, 4, recursions=2), "recursions"),
        (lambda: regeneration.build("crm_r", K, 4, recursions=0), "recursions"),
        (lambda: regeneration.build("crm_f", K, 4, norm="bach"), "norm"),
        (lambda: regeneration.ForwardCRM(K, 4, norm="bach"), "did you mean 'batch'"),
        (lambda: regeneration.ForwardCRM(K, 4, depth=0), "at least 1"),
        (lambda: regeneration.RecursiveCRM(K, 4, recursions=0), "at least 1"),
        (lambda: dejavu_loss([], torch.zeros(1)), "at least one"),
        (lambda: dejavu_loss([torch.zeros(1)], torch.zeros(1), "l2"), "unknown kind 'l2'"),
    ],
)
def test_wrong_names_and_values_are_named(call: object, expected: str) -> None:
    with pytest.raises(DejavuError, match=expected):
        call()


@pytest.mark.parametrize(("kind", "expected"), [("l1", (1 + 3) / 2), ("mse", (1 + 9) / 2)])
def test_loss_is_the_mean_over_steps(kind: str, expected: float) -> None:
    image = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert dejavu_loss([image + 1, image - 3], image, kind).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["l1", "mse"])
def test_masked_loss_is_the_mean_over_removed_pixels(kind: str) -> None:
    image, mask = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[0, 0, :2] = mask[1, 0, 0, 0] = True
    regenerated = torch.where(mask, 2.0, 100.0).expand_as(image)
    assert dejavu_loss([regenerated], image, kind, mask).item() == (2.0 if kind == "l1" else 4.0)
    assert dejavu_loss([regenerated], image, kind, torch.ones_like(mask)) == dejavu_loss(
        [regenerated], image, kind
    )
    assert dejavu_loss([regenerated], image, kind, torch.zeros_like(mask)) == 0


@given(progress=st.floats(0, 1), warmup=st.floats(0, 1))
def test_the_weight_rises_linearly_and_stays(progress: float, warmup: float) -> None:
    assert ramp(progress, warmup) == (pytest.approx(progress / warmup) if progress < warmup else 1)
