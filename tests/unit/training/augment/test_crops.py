"""One resampling does scale, crop and flip: checked where each has an exact answer."""

from __future__ import annotations

import pytest
import torch

from dejavu.compute.random import generator
from dejavu.errors import DejavuError
from dejavu.tasks.images import denormalise, normalise
from dejavu.training.augment.crops import augment
from dejavu.training.augment.windows import anchors, draw_windows

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


def several(task: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Images of many sizes and their targets."""
    random = torch.Generator().manual_seed(0)
    images = [torch.rand(3, h, w, generator=random) for h, w in ((20, 30), (33, 17), (8, 50), (24, 24))]
    sizes = [image.shape[1:] for image in images]
    if task == "semantic":
        return images, [torch.randint(0, 19, size, generator=random).to(torch.uint8) for size in sizes]
    if task == "depth":
        return images, [torch.rand(size, generator=random) + 1 for size in sizes]
    return images, [torch.rand(3, *size, generator=random) for size in sizes]


@pytest.mark.parametrize("task", ["semantic", "depth", "normals"])
def test_images_of_many_sizes_are_cut_as_each_would_be_among_its_like(task: str) -> None:
    """What is drawn for an image does not depend on the sizes of the others: to the bit."""
    images, targets = several(task)
    ours, theirs = geometry(task, images, targets, (16, 24), (0.5, 2.0), flip=True)
    assert ours.shape == (4, 3, 16, 24) and theirs.shape[0] == 4 and theirs.shape[-2:] == (16, 24)
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        alone = torch.stack([image] * 4), torch.stack([target] * 4)
        one, other = geometry(task, *alone, (16, 24), (0.5, 2.0), flip=True)
        assert torch.equal(ours[number], one[number]) and torch.equal(theirs[number], other[number])


def test_images_of_many_sizes_are_normalised_alike() -> None:
    images = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    listed = normalise(list(images))
    assert isinstance(listed, list) and torch.equal(torch.stack(listed), normalise(images))


def test_nothing_is_drawn_for_options_that_are_off() -> None:
    """Four numbers an image, whatever is asked: so a recipe without these options sees the same crops."""
    images, labels = batch(5)
    random, expected = generator(0, "augment"), generator(0, "augment")
    augment(
        images, labels, crop=(8, 8), scale_range=(0.5, 2.0), flip=True, ignore_index=IGNORE, generator=random
    )
    torch.rand(5, 4, generator=expected, dtype=torch.float64)
    assert torch.equal(random.get_state(), expected.get_state())


def choose(labels, crop, scale_range=(1.0, 1.0), seed=0, **options):
    """Crops of label maps; their images show nothing."""
    images = [torch.ones(1, *label.shape) for label in labels]
    return augment(
        images,
        labels,
        crop=crop,
        scale_range=scale_range,
        flip=True,
        ignore_index=IGNORE,
        generator=generator(seed, "augment"),
        **options,
    )[1]


def test_windows_full_of_one_class_are_moved() -> None:
    """A window of 16 columns has more than 3/4 of class 0 in 3 of 4 places; ten moves leave 0.75^11."""
    labels = torch.arange(64).sub(47).clamp(min=0).expand(16, 64)  # 48 columns of class 0, then one of each
    labels = [labels] * 150

    def share_of_failures(**options) -> tuple[float, torch.Tensor]:
        cut = choose(labels, (16, 16), **options)
        failed = (cut == 0).float().mean((1, 2)) > 0.75
        return failed.float().mean().item(), cut

    before, plain = share_of_failures()
    after, moved = share_of_failures(cat_max_ratio=0.75)
    assert 0.63 < before < 0.87  # 0.75, standard error 0.035
    assert 0.0 < after < 0.11  # 0.042, standard error 0.016
    kept = (plain == 0).float().mean((1, 2)) <= 0.75
    assert torch.equal(plain[kept], moved[kept])
    assert torch.equal(moved, share_of_failures(cat_max_ratio=0.75)[1])


def test_ignored_pixels_are_no_class() -> None:
    """Of a map that is ignored but for two classes, half each, no window is refused for what is ignored."""
    labels = torch.full((32, 32), IGNORE)
    labels[12:20, 12:20] = 0
    labels[12:20, 16:20] = 1
    cut = choose([labels] * 64, (24, 24), cat_max_ratio=0.9)  # shows the whole square, wherever it lies
    assert torch.equal(cut, choose([labels] * 64, (24, 24)))
    nothing = torch.full((32, 32), IGNORE)
    assert (choose([nothing], (8, 8), cat_max_ratio=0.5) == IGNORE).all()


@pytest.mark.parametrize("scale_range", [(1.0, 1.0), (1.0, 2.5), (0.4, 1.0)])
@pytest.mark.parametrize("pixel", [(0, 0), (39, 59), (17, 3), (20, 30)], ids=str)
def test_a_window_holds_its_class(pixel: tuple[int, int], scale_range: tuple[float, float]) -> None:
    label = torch.zeros(40, 60, dtype=torch.uint8)
    label[pixel] = 7
    found = anchors([label], [7], generator(0, "augment"))
    torch.testing.assert_close(found, (torch.tensor([pixel]) + 0.5).double() / torch.tensor([40, 60]))
    windows = draw_windows([(40, 60)] * 32, (12, 16), scale_range, True, generator(0, "augment"))
    windows = windows.around(found.expand(32, 2))
    start, end = windows.start(), windows.start() + windows.share
    assert (start >= 0).all() and (end <= 1 + 1e-12).all()  # the window fits: it stays in the image
    assert (start <= found).all() and (found <= end).all()
    if scale_range[0] >= 1:  # what is made smaller skips pixels
        cut = choose([label] * 32, (12, 16), scale_range, classes=[7] * 32, cat_max_ratio=0.999)
        assert (cut == 7).any(-1).any(-1).all() and not (cut == IGNORE).any()


def test_a_class_is_anywhere_in_its_window() -> None:
    """Far from the borders every place in the window is as likely; without a class nothing is different."""
    label = torch.zeros(101, 101, dtype=torch.uint8)
    label[50, 50] = 1
    cut = choose([label] * 400, (10, 20), classes=[1] * 400)
    rows, columns = (cut == 1).nonzero()[:, 1:].double().mean(0).tolist()
    assert abs(rows - 4.5) < 0.6 and abs(columns - 9.5) < 1.2  # standard errors 0.14 and 0.29
    assert set((cut == 1).nonzero()[:, 1].tolist()) == set(range(10))
    labels = several("semantic")[1]
    assert torch.equal(choose(labels, (16, 16), classes=[-1] * 4), choose(labels, (16, 16)))


def test_an_image_smaller_than_its_window_stays_whole_around_a_class() -> None:
    label = torch.zeros(10, 12, dtype=torch.uint8)
    label[9, 0] = 1
    cut = choose([label] * 16, (20, 30), classes=[1] * 16)
    assert ((cut != IGNORE).sum((1, 2)) == 120).all()


def test_options_of_labels_are_refused_where_they_cannot_be() -> None:
    images, depth = torch.rand(1, 3, 8, 8), torch.rand(1, 8, 8)
    common = dict(crop=(4, 4), scale_range=(1.0, 1.0), flip=False, ignore_index=IGNORE)
    for options in ({"cat_max_ratio": 0.5}, {"classes": [3]}):
        with pytest.raises(DejavuError, match="the task depth"):
            augment(images, depth, task="depth", generator=generator(0, "augment"), **common, **options)
    with pytest.raises(DejavuError, match="image 1 of the batch was drawn for class 3"):
        choose([torch.full((8, 8), 3), torch.zeros(8, 8)], (4, 4), classes=[3, 3])


def test_what_is_far_smaller_is_averaged_first() -> None:
    """Stripes of one pixel are grey from afar; bilinear interpolation alone takes the black or the white."""
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1.0
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    seen, _ = run(stripes, labels, crop=(16, 16), scale_range=(0.25, 0.25))
    torch.testing.assert_close(seen[..., 1:-1], torch.full((1, 3, 16, 14), 0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [0.3, 0.49, 0.5, 0.8])
def test_averaging_moves_nothing(scale: float) -> None:
    """A ramp stays the same ramp, whether it was averaged first or not."""
    ramp = torch.linspace(0, 1, 80).expand(1, 3, 60, 80).contiguous()
    seen, _ = run(ramp, torch.zeros(1, 60, 80, dtype=torch.long), (12, 16), (scale, scale))
    column = seen[0, 0, 6]
    slope = (column[1:] - column[:-1]).mean()
    assert float(slope) == pytest.approx(1 / 79 / scale, rel=0.05)


def test_panoptic_codes_are_cut_as_labels_are() -> None:
    """Large numbers stay exact, and what is outside of the image is void."""
    images, labels = batch()
    codes = labels.to(torch.int32) * 256 + 65535 - 256 * 200
    options = dict(crop=(20, 60), scale_range=(0.4, 1.6), flip=True, ignore_index=255)
    seen, cut = augment(images, codes, task="panoptic", generator=generator(0, "augment", 0), **options)
    same, expected = augment(images, labels, task="semantic", generator=generator(0, "augment", 0), **options)
    assert torch.equal(seen, same) and cut.dtype == torch.int64
    outside = expected == 255
    assert outside.any() and (cut[outside] == 65535).all()
    assert torch.equal(cut[~outside], expected[~outside] * 256 + 65535 - 256 * 200)
