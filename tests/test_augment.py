"""One resampling does scale, crop and flip: checked where each has an exact answer."""

from __future__ import annotations

import pytest
import torch

from dejavu.augment import augment, denormalise, normalise
from dejavu.randomness import generator

IGNORE = 255


def batch(n: int = 4, height: int = 24, width: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(height * width).remainder(200).view(1, height, width).repeat(n, 1, 1)
    return images, labels


def run(images, labels, crop, scale_range=(1.0, 1.0), flip=False, seed=0):
    return augment(
        images,
        labels,
        crop=crop,
        scale_range=scale_range,
        flip=flip,
        ignore_index=IGNORE,
        generator=generator(seed, "augment"),
    )


def test_whole_image_at_scale_one_is_itself() -> None:
    images, labels = batch()
    ours, theirs = run(images, labels, (24, 40))
    torch.testing.assert_close(ours, images, atol=1e-5, rtol=0)
    assert torch.equal(theirs, labels)


def test_flip_is_a_flip() -> None:
    images, labels = batch(64)
    ours, theirs = run(images, labels, (24, 40), flip=True)
    flipped = torch.tensor([bool(torch.equal(a, b.flip(-1))) for a, b in zip(theirs, labels, strict=True)])
    assert 16 < flipped.sum() < 48  # a fair coin leaves this range once in 10^5 times
    torch.testing.assert_close(ours[flipped], images[flipped].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours[~flipped], images[~flipped], atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale_range", [(1.0, 1.0), (0.5, 2.0), (0.3, 0.4)])
@pytest.mark.parametrize("crop", [(16, 16), (24, 40), (32, 64), (7, 33)])
def test_image_and_label_stay_together(crop: tuple[int, int], scale_range: tuple[float, float]) -> None:
    """An image that shows its own label, constant in squares: they agree away from the edges."""
    squares = torch.arange(6).view(2, 3).repeat_interleave(32, 0).repeat_interleave(32, 1)
    labels = squares.expand(8, -1, -1)
    images = (labels + 1).unsqueeze(1).float()  # + 1: padding is 0
    ours, theirs = run(images, labels, crop, scale_range, flip=True)
    assert ours.shape == (8, 1, *crop) and theirs.shape == (8, *crop)
    whole = (ours - ours.round()).abs().squeeze(1) < 1e-4
    shown = ours.squeeze(1).round().long() - 1
    shown[shown < 0] = IGNORE
    inner = torch.nn.functional.avg_pool2d(theirs[:, None].float(), 3, 1, 1) == theirs[:, None].float()
    agree = (shown == theirs) | ~whole | ~inner.squeeze(1)
    assert agree.float().mean() > 0.98  # bilinear blends at the edges of squares can hit whole numbers
    if scale_range == (1.0, 1.0) and crop <= (64, 96):
        assert not (theirs == IGNORE).any()


def geometry(task: str, images, target, crop, scale_range=(1.0, 1.0), flip=False, seed=0):
    return augment(
        images,
        target,
        task=task,
        crop=crop,
        scale_range=scale_range,
        flip=flip,
        ignore_index=IGNORE,
        generator=generator(seed, "augment"),
    )


@pytest.mark.parametrize("task", ["depth", "normals"])
def test_geometry_is_cut_out_of_the_same_place(task: str) -> None:
    """An image that shows its own depth, or its normals' y: they agree, whatever is drawn."""
    squares = torch.arange(1.0, 7.0).view(2, 3)
    shown = squares.repeat_interleave(32, 0).repeat_interleave(32, 1).expand(8, -1, -1)
    target = shown if task == "depth" else torch.stack([0 * shown, shown, shown], 1)
    ours, theirs = geometry(task, shown[:, None], target, (48, 64), (0.5, 2.0), flip=True)
    if task == "depth":  # divided by the scale, one number an image
        assert theirs.shape == (8, 48, 64)
        scales = torch.stack([(o / t)[t > 0].median() for o, t in zip(ours[:, 0], theirs, strict=True)])
        assert scales.min() >= 0.5 and scales.max() <= 2.0
        theirs = theirs * scales[:, None, None]
    else:
        assert theirs.shape == (8, 3, 48, 64)
        theirs = theirs[:, 1]
    assert ((ours[:, 0] - theirs).abs() < 1e-3).float().mean() > 0.9  # bilinear blends at edges


def test_magnified_is_nearer() -> None:
    depth = torch.full((1, 20, 30), 6.0)
    _, theirs = geometry("depth", depth[:, None], depth, (20, 30), (2.0, 2.0))
    torch.testing.assert_close(theirs, torch.full((1, 20, 30), 3.0))
    _, theirs = geometry("depth", depth[:, None], depth, (20, 30), (0.5, 0.5))
    assert set(theirs.unique().tolist()) == {0.0, 12.0}  # 0, unknown, around it


def test_flipped_normals_point_the_other_way_in_x() -> None:
    normals = torch.nn.functional.normalize(torch.randn(64, 3, 8, 12), dim=1)
    images = torch.rand(64, 3, 8, 12)
    ours, theirs = geometry("normals", images, normals, (8, 12), flip=True)
    mirrored = torch.tensor([not torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, images, strict=True)])
    assert 16 < mirrored.sum() < 48
    expected = normals.flip(-1) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    torch.testing.assert_close(theirs[mirrored], expected[mirrored])
    torch.testing.assert_close(theirs[~mirrored], normals[~mirrored])


def test_padding_is_ignored_and_zero() -> None:
    images, labels = batch()
    ours, theirs = run(images + 1, labels, (48, 80), (0.5, 0.5))
    outside = theirs == IGNORE
    assert abs(outside.float().mean() - (1 - 1 / 16)) < 0.01  # (0.5 * 24 * 0.5 * 40) of 48 * 80
    assert (ours[:, 0][outside] == 0).float().mean() > 0.95  # bilinear blends one pixel at the border


def test_scale_is_uniform_in_its_range() -> None:
    """The share of the crop that the image covers is scale squared."""
    images, labels = torch.ones(400, 1, 20, 20), torch.zeros(400, 20, 20, dtype=torch.long)
    _, theirs = run(images, labels, (40, 40), (0.5, 1.5))
    covered = (theirs != IGNORE).float().mean((1, 2)) * 4
    scales = covered.sqrt()
    assert 0.45 <= scales.min() < 0.55 and 1.45 < scales.max() <= 1.55
    assert abs(scales.mean() - 1) < 0.05  # standard error 0.014


def test_reproducible_and_different_for_each_image() -> None:
    images, labels = batch(2, 32, 32)
    images, labels = images[:1].repeat(4, 1, 1, 1), labels[:1].repeat(4, 1, 1)
    first, again, other = (run(images, labels, (16, 16), (0.5, 2.0), True, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_normalise_is_undone() -> None:
    images = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    normalised = normalise(images)
    assert normalised.shape == (2, 3, 5, 7)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(denormalise(normalised), images)
    mean = torch.tensor([0.485, 0.456, 0.406]).mul(255).view(1, 1, 1, 3).expand(1, 2, 2, 3)
    assert normalise(mean.round().to(torch.uint8)).abs().max() < 0.01
