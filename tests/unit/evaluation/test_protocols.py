"""Evaluation protocols on networks for which each has an exact answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dejavu.config import Protocol
from dejavu.errors import DejavuError
from dejavu.evaluation.predictor import Predictor
from dejavu.evaluation.protocols import show, sides
from dejavu.evaluation.sliding import slide, starts, stride
from dejavu.tasks.images import normalise
from dejavu.tasks.semantic import CLASSES_AT_ONCE, class_maps


class Counting(nn.Module):
    """A network of one function, which remembers the shapes that it was shown."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.seen = function, []
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(tuple(images.shape))
        return self.function(images)


def pixelwise(classes: int = 5, scale: int = 1) -> Counting:
    """A 1x1 convolution, of each pixel or of each square's mean."""
    weight = torch.randn(classes, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    return Counting(lambda x: F.conv2d(F.avg_pool2d(x, scale, ceil_mode=True), weight))


def symmetric(x: Tensor) -> Tensor:
    """A 3x3 convolution with kernels that are their own mirror images."""
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    return F.conv2d(x, weight + weight.flip(-1), padding=1)


def photographs(*sizes: tuple[int, int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def everything(network: nn.Module, images, sizes=None, **options) -> list[np.ndarray]:
    return list(Predictor(network, **options).predict(images, sizes))


def shown(image: np.ndarray) -> Tensor:
    return normalise(torch.from_numpy(image)[None])


@given(length=st.integers(1, 300), window=st.integers(1, 100), share=st.floats(0.01, 1.0, exclude_min=True))
@settings(max_examples=200, deadline=None)
def test_windows_cover_every_pixel_and_stay_inside(length: int, window: int, share: float) -> None:
    step = stride(window, share)
    assert 1 <= step <= window
    places = starts(length, window, step)
    covered = np.zeros(length, int)
    for start in places:
        assert start >= 0 and start + min(window, length) <= length
        covered[start : start + window] += 1
    assert covered.min() >= 1
    assert places == sorted(set(places))
    # mmseg's number of windows
    assert len(places) == max(length - window + step - 1, 0) // step + 1


@pytest.mark.parametrize(("side", "expected"), [(512, 341), (640, 426), (256, 170), (128, 85)])
def test_strides_are_the_published_ones(side: int, expected: int) -> None:
    """Of mmseg's configurations for windows of these sides, all called two thirds."""
    assert stride(side, 0.6667) == stride(side, 2 / 3) == expected


@given(
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    crop=st.tuples(st.integers(4, 24), st.integers(4, 24)),
    share=st.floats(0.2, 1.0),
)
@settings(max_examples=25, deadline=None)
def test_sliding_over_pixels_is_looking_at_all(size, crop, share: float) -> None:
    """What a pixel's class depends on nothing else, windows cannot matter."""
    image, network = torch.randn(1, 3, *size), pixelwise()
    ours = slide(network, image, crop, share, batch_size=3)
    torch.testing.assert_close(ours, network.function(image))
    assert all(shape[0] <= 3 for shape in network.seen)
    assert {shape[2:] for shape in network.seen} == {(min(crop[0], size[0]), min(crop[1], size[1]))}


def test_sliding_averages_logits() -> None:
    """A network that answers the mean of its window: each pixel has the mean of its windows' means."""
    image = torch.zeros(1, 3, 4, 12)
    image[..., 6:] = 1.0  # windows of 8 by 4: columns 0 to 7 have mean 1/4, columns 4 to 11 have 3/4
    logits = slide(lambda x: x.mean((2, 3), keepdim=True)[:, :1], image, (4, 8), 0.5)
    torch.testing.assert_close(logits[0, 0, 0], torch.tensor([0.25] * 4 + [0.5] * 4 + [0.75] * 4))


def test_sliding_knows_what_is_far_from_windows_borders() -> None:
    """A 3x3 convolution sees its window's border within a pixel of it only."""
    image = torch.randn(1, 3, 20, 30)
    ours, whole = slide(symmetric, image, (12, 12), 0.5), symmetric(image)
    differ = ((ours - whole).abs().amax((0, 1)) > 1e-5).nonzero()
    # rows of windows begin at 0, 6 and 8, columns at 0, 6, 12 and 18
    near = [{start + at for start in places for at in (0, 11)} for places in ([0, 6, 8], [0, 6, 12, 18])]
    assert all(int(row) in near[0] or int(column) in near[1] for row, column in differ)
    assert 0 < len(differ) < 20 * 30


def old_predict(network: nn.Module, images: np.ndarray) -> list[np.ndarray]:
    """Whole images, eight at a time: what results before there were protocols were made with."""
    found: list[np.ndarray] = []
    for start in range(0, len(images), 8):
        logits = network(normalise(torch.from_numpy(images[start : start + 8])))
        full = F.interpolate(logits, size=images.shape[1:3], mode="bilinear", align_corners=False)
        found += list(full.argmax(1).to(torch.uint8).numpy())
    return found


@pytest.mark.parametrize("classes", [1, 5, CLASSES_AT_ONCE, 2 * CLASSES_AT_ONCE + 5])
def test_whole_images_as_ever(classes: int) -> None:
    images = np.stack(photographs(*[(13, 22)] * 11))
    images[3] = 0  # ties go to the first class
    network = pixelwise(classes, scale=4)
    ours = everything(network, images)
    assert [shape[0] for shape in network.seen] == [8, 3]
    assert all(one.dtype == np.uint8 for one in ours)
    np.testing.assert_array_equal(ours, old_predict(network, images))


def test_classes_are_looked_through_in_parts_with_ties_to_the_first() -> None:
    logits = torch.randint(0, 4, (2, 150, 6, 7)).float()
    np.testing.assert_array_equal(class_maps(logits, (6, 7)), logits.argmax(1))


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(scales=(1.0,)),
        Protocol(multiple=1),
        Protocol(flip=True),
        Protocol(slide=0.5),
        Protocol(scales=(1.0, 1.0)),
        Protocol(slide=0.5, flip=True),
    ],
    ids=lambda protocol: str(protocol.model_dump(exclude_defaults=True)),
)
@pytest.mark.parametrize("align_corners", [False, True])
def test_what_should_change_nothing_changes_nothing(protocol: Protocol, align_corners: bool) -> None:
    """For a network that sees each pixel alone, and sees it alike in the mirror."""
    images = photographs((16, 24), (17, 9), (8, 8))
    network = pixelwise()
    found = everything(network, images, protocol=protocol, crop=(8, 8), align_corners=align_corners)
    for image, ours in zip(images, found, strict=True):
        np.testing.assert_array_equal(ours, network.function(shown(image))[0].argmax(0))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("function", [symmetric, pixelwise(5, scale=2).function], ids=["conv", "stride"])
def test_a_symmetric_network_has_nothing_to_learn_from_the_mirror(function, align_corners: bool) -> None:
    image = torch.randn(1, 3, 16, 24)
    plain = show(function, image, Protocol(scales=(1.0, 1.0)), align_corners=align_corners)
    mirrored = show(function, image, Protocol(flip=True), align_corners=align_corners)
    torch.testing.assert_close(mirrored, plain)
    torch.testing.assert_close(plain.sum(1), torch.ones(1, 16, 24))  # probabilities


def test_the_mirror_is_turned_back() -> None:
    """A network that sees brightness and how far right it is: averaged, right and left are alike."""

    def right(x: Tensor) -> Tensor:
        ramp = torch.linspace(-1, 1, x.shape[3]).expand(1, 1, *x.shape[2:])
        return torch.cat([ramp + 0 * x[:, :1], x[:, :1]], 1)

    image = torch.randn(1, 3, 6, 9)
    ours = show(right, image, Protocol(flip=True))
    ramp, bright = right(image)[:, :1], image[:, :1]
    expected = (torch.sigmoid(ramp - bright) + torch.sigmoid(-ramp - bright)) / 2
    torch.testing.assert_close(ours[:, :1], expected)


def test_scales_average_probabilities() -> None:
    """A network that answers with its image's height: the mean of softmaxes, not the softmax of the mean."""
    heights = []

    def height(x: Tensor) -> Tensor:
        heights.append(tuple(x.shape[2:]))
        value = torch.full((1, 1, *x.shape[2:]), x.shape[2] / 8.0)
        return torch.cat([value, torch.zeros_like(value)], 1)

    ours = show(height, torch.zeros(1, 3, 16, 30), Protocol(scales=(0.5, 1.0, 1.75)))
    assert heights == [(8, 15), (16, 30), (28, 53)]
    expected = torch.sigmoid(torch.tensor([1.0, 2.0, 3.5])).mean()
    torch.testing.assert_close(ours[:, 0], expected.expand(1, 16, 30))


def test_sizes_are_brought_to_multiples() -> None:
    assert sides((512, 683), 1.0, 32) == (512, 704) and sides((10, 47), 1.0, 32) == (32, 64)
    assert sides((96, 128), 1.0, 32) == (96, 128) and sides((48, 49), 0.5, 16) == (32, 32)
    network = pixelwise()
    image = photographs((20, 30))
    (ours,) = everything(network, image, protocol=Protocol(multiple=8))
    assert network.seen == [(1, 3, 24, 32)] and ours.shape == (20, 30)
    # a network of single pixels commutes with linear resizing, so this is exact
    there = F.interpolate(shown(image[0]), size=(24, 32), mode="bilinear", align_corners=False)
    back = F.interpolate(network.function(there), size=(20, 30), mode="bilinear", align_corners=False)
    np.testing.assert_array_equal(ours, back[0].argmax(0))


@pytest.mark.parametrize("many", [False, True], ids=["one size", "many sizes"])
def test_predictions_have_the_sizes_of_labels(many: bool) -> None:
    images = photographs((8, 12), (10, 6)) if many else np.stack(photographs((8, 12), (8, 12)))
    sizes = [(16, 24), (9, 7)]
    network = pixelwise(scale=2)
    found = everything(network, images, sizes=np.array(sizes))
    assert [one.shape for one in found] == sizes
    logits = network.function(shown(images[0]))
    for size in ((8, 12), (16, 24)):  # by the image's size
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    np.testing.assert_array_equal(found[0], logits[0].argmax(0))
    own = [image.shape[:2] for image in images]
    for ours, theirs in zip(everything(network, images, sizes=own), everything(network, images), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_align_corners_enlarges_with_corners_aligned() -> None:
    network = Counting(lambda x: torch.tensor([[[[0.0, 1.0]], [[0.4, 0.4]]]]))
    image = photographs((1, 11))
    (aligned,) = everything(network, image, align_corners=True)  # 0, 0.1, ..., 1 against 0.4
    np.testing.assert_array_equal(aligned[0], [1] * 4 + [aligned[0, 4]] + [0] * 6)
    (centred,) = everything(network, image)  # (i + 0.5) * 2 / 11 - 0.5 exceeds 0.4 from i = 5 on: 0.5
    np.testing.assert_array_equal(centred[0], [1] * 5 + [0] * 6)


@pytest.mark.parametrize(("task", "channels"), [("depth", 1), ("normals", 3)])
def test_geometry_is_predicted_from_the_whole_image(task: str, channels: int) -> None:
    network = Counting(lambda x: x[:, :channels, ::2, ::2])
    images = photographs((8, 12), (6, 6))
    found = everything(network, images, task=task)
    assert [one.shape[:2] for one in found] == [(8, 12), (6, 6)]
    if task == "normals":
        np.testing.assert_allclose(np.linalg.norm(found[0], axis=-1), 1, atol=1e-5)
    for options in ({"slide": 0.5}, {"scales": (0.5, 1.0)}, {"flip": True}, {"multiple": 32}):
        with pytest.raises(DejavuError, match=f"'{[*options][0]}' is for semantic .* the task is {task}"):
            Predictor(network, task, Protocol(**options), crop=(8, 8))


def test_sliding_needs_a_window() -> None:
    with pytest.raises(DejavuError, match="give the recipe's crop"):
        Predictor(pixelwise(), protocol=Protocol(slide=0.5))


def test_images_may_be_mapped_read_only(tmp_path) -> None:
    images = np.stack(photographs((8, 12), (8, 12)))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    for protocol in (Protocol(), Protocol(flip=True)):
        np.testing.assert_array_equal(
            everything(pixelwise(), mapped, protocol=protocol),
            everything(pixelwise(), images, protocol=protocol),
        )


def confident(x: Tensor) -> Tensor:
    """Logarithms of scores (N, 2, h, w): of the first class 0.9 in bright windows, 1e-6 in dark ones."""
    first = torch.where(x.mean((1, 2, 3), keepdim=True) > 0, 0.9, 1e-6)
    return torch.cat([first, torch.full_like(first, 0.3)], 1).log().expand(-1, -1, *x.shape[2:])


def test_windows_average_scores_or_logits() -> None:
    """Where one window is sure of the first class, and the other one sees nothing of it."""
    image = torch.ones(1, 3, 4, 6)
    image[..., :2] = -10  # the first of two windows is dark; they share two columns
    by = {
        average: show(confident, image, Protocol(slide=0.5, average=average), (4, 4))
        for average in ("logits", "scores")
    }
    shared = (Ellipsis, slice(2, 4))
    scores = torch.tensor([(1e-6 + 0.9) / 2, 0.3])[:, None, None].expand(2, 4, 2)
    torch.testing.assert_close(by["scores"][0][shared].exp(), scores)
    roots = torch.tensor([(1e-6 * 0.9) ** 0.5, 0.3])[:, None, None].expand(2, 4, 2)
    torch.testing.assert_close(by["logits"][0][shared].exp(), roots)
    assert by["scores"][0][shared].argmax(0).eq(0).all() and by["logits"][0][shared].argmax(0).eq(1).all()
    torch.testing.assert_close(by["scores"][..., :2], by["logits"][..., :2])  # seen by one window


def test_scores_are_enlarged_and_not_their_logarithms() -> None:
    """Between 1 and almost nothing lies a half, as in the published code; and zeros stay finite."""
    logs = torch.tensor([0.0, -80.0]).expand(1, 1, 1, 2)
    image = torch.zeros(1, 3, 1, 6)
    found = show(lambda x: logs, image, Protocol(slide=1.0, average="scores"), (1, 6)).exp()
    expected = F.interpolate(torch.tensor([[[[1.0, 0.0]]]]), size=(1, 6), mode="bilinear")
    torch.testing.assert_close(found, expected)
    nothing = show(lambda x: logs - 1e4, image, Protocol(slide=1.0, average="scores"), (1, 6))
    assert nothing.isfinite().all()


def test_scores_are_averaged_over_windows_only() -> None:
    with pytest.raises(ValueError, match="average is scores, and without slide there are no windows"):
        Protocol(average="scores")
