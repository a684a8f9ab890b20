"""Redaction: every property is written once and holds for every redaction of the registry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu import registry
from dejavu.errors import DejavuError
from dejavu.method import redaction
from dejavu.method.redaction.base import MANY, choose

SPATIAL = [name for name, kind in redaction.REGISTRY.items() if issubclass(kind, redaction.SpatialRedaction)]
FIXED = [name for name, kind in redaction.REGISTRY.items() if issubclass(kind, redaction.FixedBands)]
DRAWN = [name for name in redaction.names() if name not in FIXED]
SHAPES = [(1, 1, 7, 5), (3, 3, 33, 50), (2, 5, 64, 32), (2, 3, 1, 9)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]

every_redaction = pytest.mark.parametrize("name", redaction.names())
every_drawn = pytest.mark.parametrize("name", DRAWN)
every_spatial = pytest.mark.parametrize("name", SPATIAL)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images without a single zero, so that removed and kept cannot be confused."""
    return (torch.rand(shape, generator=seeded(9)) + 0.5).to(dtype)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to rounding: 1e-5 of the largest value, in half precision its own step."""
    size = max(1.0, float(expected.abs().max()))
    step = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}.get(found.dtype, 1e-5)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= step * size


@every_spatial
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_removed_is_zero_and_kept_is_untouched(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = noise(shape, dtype)
    before = images.clone()
    redacted, mask = redaction.build(name)(images, seeded())
    assert mask.shape == (shape[0], 1, *shape[2:]) and mask.dtype == torch.bool
    assert redacted.shape == images.shape and redacted.dtype == dtype
    removed = mask.expand_as(images)
    assert (redacted[removed] == 0).all()
    assert torch.equal(redacted[~removed], images[~removed])
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", ["random_blocks", "checkerboard"])
def test_half_is_removed_by_default(name: str) -> None:
    mask = redaction.build(name)(noise((6, 3, 32, 64)), seeded()).mask  # blocks of 2 divide both sides
    assert mask.sum((1, 2, 3)).tolist() == [32 * 64 // 2] * 6


@every_spatial
def test_removing_again_changes_nothing(name: str) -> None:
    redacted, mask = redaction.build(name)(noise((2, 3, 21, 34)), seeded())
    assert torch.equal(redaction.remove(redacted, mask), redacted)


@every_spatial
def test_removes_values_that_are_not_finite(name: str) -> None:
    redacted, mask = redaction.build(name)(torch.full((2, 3, 32, 32), torch.nan), seeded())
    assert torch.equal(redacted.isnan(), ~mask.expand_as(redacted))


@every_spatial
def test_gradient_passes_kept_pixels_only(name: str) -> None:
    images = noise((2, 3, 19, 30)).requires_grad_()
    weight = torch.randn(images.shape, generator=seeded(3))
    redacted, mask = redaction.build(name)(images, seeded())
    (redacted * weight).sum().backward()
    assert torch.equal(images.grad, weight * ~mask)


@every_redaction
def test_same_seed_same_redaction(name: str) -> None:
    redact, images = redaction.build(name), noise((3, 3, 48, 64))
    state = torch.get_rng_state()
    first, again, other = (redact(images, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.mask, again.mask) and torch.equal(first.images, again.images)
    assert torch.equal(first.mask, other.mask) == (name in FIXED)
    assert torch.equal(torch.get_rng_state(), state), "a generator was given: the global one must rest"


@every_redaction
def test_masks_depend_on_shape_and_seed_alone(name: str) -> None:
    redact = redaction.build(name)
    masks = [
        redact(noise((2, c, 40, 24), dtype), seeded()).mask for c, dtype in ((3, DTYPES[0]), (1, DTYPES[2]))
    ]
    assert torch.equal(*masks)


@every_drawn
def test_every_image_and_every_call_is_drawn_afresh(name: str) -> None:
    redact, images, generator = redaction.build(name), noise((1, 3, 64, 64)).expand(8, -1, -1, -1), seeded()
    masks = torch.cat([redact(images, generator).mask, redact(images, generator).mask])
    # A checkerboard of blocks of 4 has 8 x 8 positions, half of them equal: a few may meet.
    assert len(masks.flatten(1).unique(dim=0)) > 8


@every_redaction
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_redacts_alike_on_every_device(name: str) -> None:
    redact, images = redaction.build(name), noise((4, 3, 65, 96))
    there, here = redact(images.cuda(), seeded()), redact(images, seeded())
    assert there.images.is_cuda and torch.equal(there.mask.cpu(), here.mask)
    torch.testing.assert_close(there.images.cpu(), here.images, atol=1e-5, rtol=1e-4)


@every_redaction
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_part_and_rest_make_up_the_image(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    redact, images = redaction.build(name), noise(shape, dtype)
    redacted, mask = redact(images, seeded())
    part = redact.part(images, mask)
    assert redacted.dtype == part.dtype == dtype and redacted.shape == part.shape == shape
    assert mask.dtype == torch.bool and mask.shape[1:] == (1, *shape[2:]) and len(mask) in (1, shape[0])
    close(redacted + part, images)
    assert name not in SPATIAL or torch.equal(redacted + part, images)


@every_redaction
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_part_and_rest_are_projections(name: str, shape: tuple[int, ...]) -> None:
    redact, images, other = redaction.build(name), noise(shape), torch.randn(shape, generator=seeded(5))
    redacted, mask = redact(images, seeded())
    part = redact.part(images, mask)
    close(redact.part(part, mask), part)
    close(redact.rest(redacted, mask), redacted)
    close(redact.part(redacted, mask), torch.zeros(shape))
    close(redact.part(2 * images - 3 * other, mask), 2 * part - 3 * redact.part(other, mask))
    # Self-adjoint: <P x, y> = <x, P y>.
    left, right = (part * other).double().sum(), (images * redact.part(other, mask)).double().sum()
    assert abs(left - right) < 1e-5 * images.norm() * other.norm()


@every_redaction
@pytest.mark.parametrize("method", ["part", "rest"])
def test_gradient_is_the_projection_of_the_one_from_above(name: str, method: str) -> None:
    redact, images = redaction.build(name), noise((2, 3, 19, 30)).requires_grad_()
    mask = redact.mask(images, seeded())
    above = torch.randn(images.shape, generator=seeded(3))
    getattr(redact, method)(images, mask).backward(above)
    close(images.grad, getattr(redact, method)(above, mask))


@every_redaction
def test_a_mask_for_other_images_is_refused(name: str) -> None:
    redact, images = redaction.build(name), noise((2, 3, 8, 8))
    for mask in (
        torch.zeros(2, 1, 8, 9, dtype=torch.bool),
        torch.zeros(3, 1, 8, 8, dtype=torch.bool),
        torch.zeros(2, 1, 8, 8),
    ):
        for method in (redact.part, redact.rest):
            with pytest.raises(DejavuError, match=r"mask must be bool, \(2 or 1, 1, 8, 8\)"):
                method(images, mask)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_bits_of_removed_pixels_are_those_of_zero(dtype: torch.dtype, layout: torch.memory_format) -> None:
    images = torch.randn(2, 3, 33, 50, generator=seeded()).to(dtype).contiguous(memory_format=layout)
    images[0, 0, :2] = torch.tensor([[torch.nan], [-torch.inf]])
    mask = redaction.RandomBlocks()(images, seeded(1)).mask
    expected = torch.where(mask, torch.zeros((), dtype=dtype), images).contiguous()
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[images.element_size()]
    assert torch.equal(redaction.remove(images, mask).contiguous().view(integer), expected.view(integer))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (40, 50), (130, 128)])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_random_pixels_are_of_the_exact_number(height: int, width: int, ratio: float) -> None:
    mask = redaction.RandomPixels(ratio)(torch.ones(3, 2, height, width), seeded()).mask
    assert mask.sum((1, 2, 3)).tolist() == [round(ratio * height * width)] * 3


@pytest.mark.parametrize(("count", "chosen"), [(64, 16), (MANY + 1, MANY // 4), (MANY + 1, MANY // 4 * 3)])
def test_everything_is_equally_likely_to_be_chosen(count: int, chosen: int) -> None:
    rows = choose(400, count, chosen, seeded())
    assert rows.shape == (400, count) and (rows.sum(1) == chosen).all()
    share = chosen / count
    assert (rows.float().mean(0) - share).abs().max() < 6 * (share * (1 - share) / 400) ** 0.5
    # Neighbours are drawn independently of each other, but for the exact number.
    both = (rows[:, 1:] & rows[:, :-1]).float().mean()
    assert abs(both - share * (chosen - 1) / (count - 1)) < 0.01


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    ratio=st.floats(0.01, 0.99),
    block=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
)
def test_random_blocks_are_whole_blocks_of_the_exact_number(
    height: int, width: int, ratio: float, block: float, seed: int
) -> None:
    mask = redaction.RandomBlocks(ratio, block)(torch.ones(2, 3, height, width), seeded(seed)).mask.numpy()
    side = max(1, round(block * min(height, width)))
    blocks = mask[:, 0, ::side, ::side]  # each block's first pixel
    assert (blocks.sum((1, 2)) == round(ratio * blocks[0].size)).all()
    drawn = np.kron(blocks, np.ones((1, side, side), dtype=bool))[:, :height, :width]
    assert np.array_equal(drawn, mask[:, 0])


def test_every_block_is_equally_likely() -> None:
    mask = redaction.RandomBlocks(0.25, 1 / 8)(torch.ones(4000, 1, 8, 8), seeded()).mask
    share = mask.float().mean((0, 1))
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5  # five standard errors


@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 50), (7, 90)])
def test_checkerboard_alternates_and_repeats(height: int, width: int) -> None:
    side = redaction.block_side(1 / 8, height, width)
    mask = redaction.Checkerboard(1 / 8)(torch.ones(5, 3, height, width), seeded()).mask
    assert (mask[..., side:, :] ^ mask[..., :-side, :]).all()
    assert (mask[..., side:] ^ mask[..., :-side]).all()


def test_block_side_is_a_share_of_the_short_side() -> None:
    assert redaction.block_side(1 / 16, 512, 1024) == 32
    assert redaction.block_side(1 / 16, 96, 64) == 4
    assert redaction.block_side(1 / 16, 5, 100) == 1


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("random_block", {}, "did you mean 'random_blocks'"),
        ("random_blocks", {"ration": 0.5}, "did you mean 'ratio'"),
        ("checkerboard", {"block": 1.5}, "block"),
        ("random_blocks", {"ratio": "half"}, "'half'"),
        ("random_pixels", {"ratio": 1}, "redaction.ratio: must be a number between 0 and 1, not 1"),
        ("low_pass", {"cutof": 0.1}, "did you mean 'cutoff'"),
        ("low_pass", {"cutoff": 0}, "redaction.cutoff: must be a number between 0 and 1, not 0"),
        ("band_stop", {"low": -0.1}, "redaction.low: must be a number from 0 to 1, not -0.1"),
        ("band_stop", {"low": 0.5, "high": 0.2}, "redaction.low: must be below high, which is 0.2, not 0.5"),
        ("band_pass", {"low": 0.9}, "redaction.low: must be below high, which is 0.3, not 0.9"),
        ("band_pass", {"high": 0.05}, "redaction.high: must be above low, which is 0.05, not 0.05"),
        ("bands", {"remove": [[0.2, 0.1]]}, "redaction.remove: must be a list of .low, high. pairs"),
        ("bands", {"remove": []}, "redaction.remove: must be a list"),
        ("bands", {"remove": [0.1, 0.2]}, "redaction.remove: must be a list"),
        ("bands", {"remove": [[0.1, 1.2]]}, "redaction.remove: must be a list"),
        ("random_bands", {"count": 0}, "redaction.count: must be a whole number of at least 1, not 0"),
        ("random_bands", {"removed": 8}, "redaction.removed: must be below count, which is 8, not 8"),
    ],
)
def test_build_names_what_is_wrong(name: str, given: dict[str, object], expected: str) -> None:
    with pytest.raises(DejavuError, match=expected) as caught:
        redaction.build(name, **given)
    assert "\n" not in str(caught.value)


def test_what_the_source_says_is_what_the_code_does() -> None:
    assert registry.names("redaction") == redaction.names()
    for name, kind in redaction.REGISTRY.items():
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        given = {key: list(map(list, value)) if key == "remove" else value for key, value in fields.items()}
        assert redaction.build(name, **given) == redaction.build(name) == kind(**fields)


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan"), True, "half"])
def test_constructors_refuse_what_is_no_fraction(value: object) -> None:
    for construct in (
        lambda: redaction.RandomBlocks(ratio=value),
        lambda: redaction.RandomBlocks(block=value),
        lambda: redaction.RandomPixels(ratio=value),
        lambda: redaction.Checkerboard(block=value),
        lambda: redaction.LowPass(cutoff=value),
        lambda: redaction.HighPass(cutoff=value),
    ):
        with pytest.raises(DejavuError, match="must be a number between 0 and 1"):
            construct()


def test_numbers_of_numpy_are_numbers() -> None:
    assert redaction.build("random_bands", count=np.int64(4), removed=np.int32(1)).removed == 1
    assert redaction.build("low_pass", cutoff=np.float32(0.5)).cutoff == 0.5
    with pytest.raises(DejavuError, match="must be a whole number of at least 1"):
        redaction.build("random_bands", removed=np.bool_(True))


@every_redaction
def test_images_must_be_a_normalised_batch(name: str) -> None:
    redact = redaction.build(name)
    with pytest.raises(DejavuError, match="uint8"):
        redact(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(DejavuError, match=r"\(3, 8, 8\)"):
        redact(torch.zeros(3, 8, 8))
