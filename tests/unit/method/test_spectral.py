"""Spectral redaction, against scipy's DCT and against what the cosine transform is known to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu.errors import DejavuError
from dejavu.method import redaction
from dejavu.method.redaction import dct

SPECTRAL = [
    name for name, kind in redaction.REGISTRY.items() if issubclass(kind, redaction.SpectralRedaction)
]
# Odd, one pixel wide, not square, prime; the last two need more rows than are multiplied on a CPU.
SHAPES = [(1, 1, 1, 1), (2, 3, 1, 9), (2, 1, 8, 1), (2, 3, 33, 50), (3, 2, 64, 32), (1, 3, 97, 101)]
TALL = [(2, 1, 401, 6), (2, 2, 512, 16)]

every_spectral = pytest.mark.parametrize("name", SPECTRAL)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 9) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed)).to(dtype)


def spectrum(images: torch.Tensor) -> np.ndarray:
    return scipy.fft.dctn(images.double().numpy(), axes=(-2, -1), norm="ortho")


def truth(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The part of images under the mask, as scipy says, in float64."""
    return torch.from_numpy(scipy.fft.idctn(mask.numpy() * spectrum(images), axes=(-2, -1), norm="ortho"))


def radii(height: int, width: int) -> np.ndarray:
    """The definition, one frequency after the other."""
    return np.array(
        [[math.hypot(u / height, v / width) / math.sqrt(2) for v in range(width)] for u in range(height)]
    )


@pytest.fixture(params=["scipy", "no scipy"])
def transforms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The projection with scipy's transforms, and as it is where scipy is not installed."""
    if request.param == "no scipy":
        monkeypatch.setattr(dct, "_scipy_transforms", lambda: None)


@pytest.mark.usefixtures("transforms")
@pytest.mark.parametrize("shape", SHAPES + TALL, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("shared", [True, False], ids=["one mask", "a mask an image"])
def test_projection_is_scipys(shape: tuple[int, ...], share: float, shared: bool) -> None:
    mask = torch.rand(1 if shared else shape[0], 1, *shape[2:], generator=seeded(1)) < share
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        images = normal(shape, dtype)
        for projected in (dct.project(images, mask), dct._by_products(images, mask)):  # of a CPU, of a GPU
            assert projected.dtype == dtype
            assert (projected - truth(images, mask)).abs().max() < tolerance


@pytest.mark.usefixtures("transforms")
@pytest.mark.parametrize("rows", [(0, 10), (20, 33), (32, 33), (5, 6)])
def test_projection_on_a_few_rows_is_scipys(rows: tuple[int, int]) -> None:
    images, mask = normal((2, 3, 33, 50)), torch.zeros(2, 1, 33, 50, dtype=torch.bool)
    mask[:1, :, slice(*rows), 7:20] = True  # the second image's mask is empty
    for picked in (mask, ~mask):
        assert (dct.project(images, picked) - truth(images, picked)).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(2, 3, 96, 128), (1, 3, 401, 64)], ids=str)
def test_without_scipy_the_numbers_are_the_same(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to rounding, as docs/library.md says."""
    images, mask = normal(shape), torch.rand(1, 1, *shape[2:], generator=seeded(1)) < 0.5
    with_scipy = dct.project(images, mask)
    monkeypatch.setattr(dct, "_scipy_transforms", lambda: None)
    assert (dct.project(images, mask) - with_scipy).abs().max() < 1e-5


def test_images_in_several_chunks_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images, mask = normal((5, 3, 16, 20)), torch.rand(5, 1, 16, 20, generator=seeded(1)) < 0.5
    monkeypatch.setattr(dct, "CHUNK", 2 * 3 * 16 * 20)  # two images each, and one left over
    for some in (mask, mask[:1]):
        assert (dct.project(images, some) - truth(images, some)).abs().max() < 1e-5


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_a_basis_image_goes_or_stays_as_its_frequency_says(height: int, width: int, seed: int) -> None:
    u, v = seed % height, seed // height % width
    x, y = np.arange(width), np.arange(height)[:, None]
    wave = np.cos(math.pi * (2 * y + 1) * u / (2 * height)) * np.cos(math.pi * (2 * x + 1) * v / (2 * width))
    images = torch.from_numpy(wave)[None, None]
    radius = math.hypot(u / height, v / width) / math.sqrt(2)
    for low, high in ((0.0, 0.25), (0.25, 0.6), (0.6, 1.0)):
        if min(abs(radius - low), abs(radius - high)) < 1e-9 < radius:
            continue  # on an edge rounding decides
        redacted, mask = redaction.BandStop(low, high)(images)
        removed = low <= radius < high
        assert bool(mask[0, 0, u, v]) == removed
        assert (redacted - (0 if removed else images)).abs().max() < 1e-12


@every_spectral
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_removed_coefficients_are_zero_and_kept_ones_stay(name: str, shape: tuple[int, ...]) -> None:
    images = normal(shape)
    redacted, mask = redaction.build(name)(images, seeded())
    expected = np.where(mask.numpy(), 0, spectrum(images))
    assert np.abs(spectrum(redacted) - expected).max() < 1e-5


@every_spectral
def test_removed_energy_is_that_of_the_removed_coefficients(name: str) -> None:
    images, redact = normal((3, 3, 45, 70)), redaction.build(name)
    redacted, mask = redact(images, seeded())
    removed = np.square(spectrum(images) * mask.numpy()).sum()
    total, left = (float(some.double().square().sum()) for some in (images, redacted))
    assert removed > 0.01 * total
    assert float(redact.part(images, mask).double().square().sum()) == pytest.approx(removed, rel=1e-5)
    assert total - left == pytest.approx(removed, rel=1e-4)


@pytest.mark.parametrize(("height", "width"), [(24, 36), (7, 50), (1, 13)])
@pytest.mark.parametrize(
    ("built", "removed"),
    [
        (redaction.LowPass(0.3), lambda r: r >= 0.3),
        (redaction.HighPass(0.3), lambda r: r < 0.3),
        (redaction.BandStop(0.2, 0.5), lambda r: (r >= 0.2) & (r < 0.5)),
        (redaction.BandPass(0.2, 0.5), lambda r: (r < 0.2) | (r >= 0.5)),
        (redaction.BandPass(0, 0.5), lambda r: r >= 0.5),
        (redaction.BandPass(0.2, 1), lambda r: r < 0.2),
        (redaction.Bands([[0, 0.1], [0.3, 0.5], [0.4, 1]]), lambda r: (r < 0.1) | (r >= 0.3)),
    ],
    ids=lambda value: repr(value) if isinstance(value, redaction.Redaction) else "",
)
def test_masks_are_what_their_names_say(built: redaction.Redaction, removed, height: int, width: int) -> None:
    mask = built(torch.ones(2, 3, height, width)).mask
    assert mask.shape == (1, 1, height, width)
    assert np.array_equal(mask[0, 0].numpy(), removed(radii(height, width)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("edges", [(0, 0.25, 0.5, 1), (0, 0.1, 0.2, 0.3, 0.7, 0.9, 1), (0, 1)], ids=str)
def test_bands_that_share_the_spectrum_add_up_to_the_image(
    shape: tuple[int, ...], edges: tuple[float, ...]
) -> None:
    images, total, counted = normal(shape), torch.zeros(shape), 0
    for low, high in zip(edges, edges[1:], strict=False):
        band = redaction.BandStop(low, high)
        mask = band.mask(images)
        total, counted = total + band.part(images, mask), counted + mask.int()
    assert (counted == 1).all()
    assert (total - images).abs().max() < 1e-5


@pytest.mark.parametrize("count", [2, 5, 8, 10])
def test_random_bands_are_whole_bands_of_the_exact_number(count: int) -> None:
    images = torch.ones(200, 1, 24, 40)
    for removed in (1, count - 1):
        mask = redaction.RandomBands(count, removed)(images, seeded()).mask[:, 0].numpy()  # (200, H, W)
        drawn = []
        for number in range(count):
            band = redaction.BandStop(number / count, (number + 1) / count).mask(images)[0, 0].numpy()
            inside = mask[:, band]
            assert (inside.all(1) | ~inside.any(1)).all()
            drawn.append(inside.all(1))
        assert (np.sum(drawn, 0) == removed).all()
        share, error = removed / count, (removed / count * (1 - removed / count) / 200) ** 0.5
        assert np.abs(np.mean(drawn, 1) - share).max() < 5 * error


@pytest.mark.parametrize(
    ("built", "stays"),
    [
        (redaction.LowPass(), True),
        (redaction.HighPass(), False),
        (redaction.BandStop(0.1, 0.4), True),
        (redaction.BandStop(0, 0.4), False),
        (redaction.BandPass(0.1, 0.4), False),
        (redaction.BandPass(0, 0.4), True),
    ],
    ids=repr,
)
def test_the_mean_belongs_to_the_band_from_zero(built: redaction.Redaction, stays: bool) -> None:
    images = normal((2, 3, 20, 31)) + 3
    means = built(images).images.mean((2, 3))
    assert torch.allclose(means, images.mean((2, 3)) if stays else torch.zeros(2, 3), atol=1e-5)


def test_a_low_pass_smooths_and_a_high_pass_does_not() -> None:
    step = torch.zeros(1, 1, 32, 64)
    step[..., 32:] = 1  # an edge: its slope is 1 at the sharpest
    slopes = [redaction.build(name)(step).images.diff().abs().max() for name in ("low_pass", "high_pass")]
    assert slopes[0] < 0.3 and slopes[1] > 0.7


def test_second_derivatives_are_right() -> None:
    images, mask = normal((2, 1, 3, 4), torch.float64).requires_grad_(), normal((2, 1, 3, 4), seed=1) > 0
    assert torch.autograd.gradcheck(lambda x: dct.project(x, mask), images)
    assert torch.autograd.gradgradcheck(lambda x: dct.project(x, mask).square(), images)


@every_spectral
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_rounded_once(name: str, dtype: torch.dtype) -> None:
    images, redact = normal((2, 3, 40, 60), dtype), redaction.build(name)
    mask = redact.mask(images, seeded())
    expected = redact.part(images.float(), mask).to(dtype)
    assert torch.equal(redact.part(images, mask), expected)


@every_spectral
def test_autocast_does_not_make_it_coarse(name: str) -> None:
    images, redact = normal((2, 3, 40, 60)), redaction.build(name)
    expected = redact(images, seeded()).images
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(redact(images, seeded()).images, expected)


@every_spectral
def test_images_and_cached_masks_are_left_alone(name: str) -> None:
    images, redact = normal((2, 3, 30, 44)), redaction.build(name)
    before = images.clone()
    with torch.inference_mode():  # what is cached there must serve in training too
        redact(images, seeded())
    first = redact(images, seeded())
    kept = first.mask.clone()
    first.mask.zero_()
    assert torch.equal(images, before)
    again = redact(images.clone().requires_grad_(), seeded())
    assert torch.equal(again.mask, kept) and torch.equal(again.images, first.images)
    again.images.sum().backward()


@every_spectral
def test_any_layout_of_memory_will_do(name: str) -> None:
    images, redact = normal((2, 3, 30, 44)), redaction.build(name)
    expected = redact(images, seeded()).images
    for other in (images.contiguous(memory_format=torch.channels_last), images.mT.contiguous().mT):
        assert torch.equal(redact(other, seeded()).images, expected)


@pytest.mark.parametrize(
    ("low", "high"), [(0.5, 0.5), (0.5, 0.2), (-0.1, 0.2), (0.5, 1.1), ("a", 1), (0, None)]
)
def test_constructors_refuse_what_is_no_band(low: object, high: object) -> None:
    for construct in (
        lambda: redaction.BandStop(low, high),
        lambda: redaction.BandPass(low, high),
        lambda: redaction.Bands([(low, high)]),
    ):
        with pytest.raises(DejavuError, match="0 <= low < high <= 1"):
            construct()


@pytest.mark.parametrize(("count", "removed"), [(0, 1), (4, 0), (4, 4), (2.5, 1), (4, True)])
def test_random_bands_refuse_numbers_that_cannot_be(count: object, removed: object) -> None:
    with pytest.raises(DejavuError, match="must be"):
        redaction.RandomBands(count, removed)
