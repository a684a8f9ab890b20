"""Photometric distortion against colorsys, the standard library's HSV, and against what each change means."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from dejavu.compute.random import generator
from dejavu.config import Photometric
from dejavu.training.augment import colour
from dejavu.training.augment.colour import distort

MMSEG = Photometric(brightness=32 / 255, contrast=0.5, saturation=0.5, hue=0.1)


def colours(n: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 6, 8, 3), generator=random, dtype=torch.uint8)


def change(images, seed: int = 0, **amounts: float):
    return distort(images, Photometric(probability=1.0, **amounts), generator(seed, "photometric"))


def hsv(image: torch.Tensor) -> np.ndarray:
    """(H, W, 3), 0 to 255 -> (H * W, 3), 0 to 1."""
    return np.array([colorsys.rgb_to_hsv(*pixel) for pixel in (image.double() / 255).reshape(-1, 3).tolist()])


@pytest.mark.parametrize("amounts", [Photometric(), MMSEG.model_copy(update={"probability": 0.0})], ids=str)
def test_nothing_is_changed_by_no_amount_and_with_no_probability(amounts: Photometric) -> None:
    images = colours(3)
    torch.testing.assert_close(distort(images, amounts, generator(0, "photometric")), images.float())


def test_brightness_is_added() -> None:
    images = torch.full((300, 1, 2, 3), 128, dtype=torch.uint8)
    added = change(images, brightness=0.2) - 128
    assert added.amin() >= -51.001 and added.amax() <= 51.001 and added.abs().amax() > 48
    assert abs(added.mean()) < 7  # uniform: standard error 1.7
    assert torch.equal(added.amin((1, 2, 3)), added.amax((1, 2, 3)))  # one amount an image
    assert (
        change(colours(20), brightness=1.0).amin() == 0 and change(colours(20), brightness=1.0).amax() == 255
    )


def test_contrast_multiplies() -> None:
    images = torch.tensor([10, 20, 40], dtype=torch.uint8).expand(300, 1, 2, 3)
    factors = change(images, contrast=0.5) / images
    assert (factors.amax((1, 2, 3)) - factors.amin((1, 2, 3))).max() < 1e-5
    assert 0.5 <= factors.amin() < 0.52 and 1.48 < factors.amax() <= 1.5001


@pytest.mark.parametrize("seed", range(6))
def test_saturation_multiplies_that_of_hsv(seed: int) -> None:
    images = colours()
    images[0, 0, :3] = torch.tensor([[0, 0, 0], [77, 77, 77], [255, 0, 0]])  # black, grey, red
    before, after = hsv(images[0]), hsv(change(images, seed, saturation=0.5)[0])
    np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-6)
    full = before[:, 1] > 0.9
    factor = np.median(after[~full, 1][before[~full, 1] > 0.1] / before[~full, 1][before[~full, 1] > 0.1])
    assert 0.5 <= factor <= 1.5 and abs(factor - 1) > 1e-3
    np.testing.assert_allclose(after[:, 1], np.minimum(before[:, 1] * factor, 1), atol=1e-4)
    coloured = (before[:, 1] > 0.05) & (before[:, 2] > 0.05)
    turned = (after[coloured, 0] - before[coloured, 0] + 0.5) % 1 - 0.5
    np.testing.assert_allclose(turned, 0, atol=1e-4)


@pytest.mark.parametrize("amount", [0.1, 1.0])
def test_hue_turns(amount: float) -> None:
    images = colours()
    before, after = hsv(images[0]), hsv(change(images, hue=amount)[0])
    np.testing.assert_allclose(after[:, 1:], before[:, 1:], atol=1e-4)
    coloured = (before[:, 1] > 0.05) & (before[:, 2] > 0.05)
    turned = (after[coloured, 0] - before[coloured, 0] + 0.5) % 1 - 0.5
    np.testing.assert_allclose(turned, np.median(turned), atol=1e-4)
    assert 1e-3 < abs(np.median(turned)) <= min(amount, 0.5)


def test_contrast_comes_second_or_last_and_each_change_half_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    for name in colour.CHANGES:
        monkeypatch.setitem(
            colour.CHANGES, name, lambda pixels, amount, name=name: seen.append(name) or pixels
        )
    early = late = 0
    random, image = generator(0, "photometric"), colours()
    for _ in range(400):
        seen.append("|")
        distort(image, MMSEG, random)
    text = "".join(name[0] for name in seen)
    assert all(abs(text.count(letter) - 200) < 50 for letter in "bcsh")  # standard error 10
    assert "sb" not in text and "hb" not in text and "hs" not in text
    for part in text.split("|"):
        early += "cs" in part or "ch" in part
        late += "sc" in part or "hc" in part
    assert abs(early - 75) < 35 and abs(late - 75) < 35  # 400 * 0.5 * 0.5 * 0.75, standard error 8


def test_the_same_numbers_and_one_image_at_a_time() -> None:
    images = colours(4)
    first, again, other = (distort(images, MMSEG, generator(seed, "photometric")) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.amin() >= 0 and first.amax() <= 255 and first.dtype == torch.float32
    listed = distort(list(images), MMSEG, generator(1, "photometric"))
    assert torch.equal(torch.stack(listed), first)
