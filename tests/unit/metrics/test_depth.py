"""Depth metrics against torchmetrics, sklearn and monodepth2's protocol written out pixel by pixel."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, root_mean_squared_error
from torchmetrics.regression import MeanAbsoluteError

from dejavu.errors import DejavuError
from dejavu.metrics.depth import CROPS, PER_IMAGE, DepthMetrics, crop_window

Pair = tuple[np.ndarray, np.ndarray]
MONODEPTH2 = [0.308881, 4.528142, 14.120584, 0.356971, 0.40755, 0.745321, 0.96163]


def maps(seed: int, shape: tuple[int, int] = (37, 121), missing: float = 0.6) -> Pair:
    """A ground truth with holes and depths beyond 80 m, and a prediction off by up to a factor of 2."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.5, 95, shape)
    prediction = truth * rng.uniform(0.5, 2, shape)
    return np.where(rng.random(shape) < missing, 0, truth).astype(np.float32), prediction.astype(np.float32)


def measured(pairs: list[Pair], **options: object) -> dict[str, float]:
    metrics = DepthMetrics(**options)
    for pair in pairs:
        metrics.update(*pair)
    return metrics.compute()


def by_hand(pairs: list[Pair], low: float, high: float, crop: str, scaling: bool) -> dict[str, float]:
    """KITTI's protocol, one pixel at a time, in Python's own numbers."""
    shares = {
        "none": (0, 1, 0, 1),
        "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
        "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
    }[crop]
    images, pooled = [], []
    for truth, prediction in pairs:
        height, width = truth.shape
        kept = [
            (float(truth[y, x]), float(prediction[y, x]))
            for y in range(int(shares[0] * height), int(shares[1] * height))
            for x in range(int(shares[2] * width), int(shares[3] * width))
            if low < truth[y, x] < high
        ]
        factor = 1.0
        if scaling:
            factor = statistics.median(t for t, _ in kept) / statistics.median(p for _, p in kept)
        kept = [(t, min(max(p * factor, low), high)) for t, p in kept]
        n = len(kept)
        pooled += [abs(t - p) for t, p in kept]
        images.append(
            {
                "abs_rel": sum(abs(t - p) / t for t, p in kept) / n,
                "sq_rel": sum((t - p) ** 2 / t for t, p in kept) / n,
                "rmse": math.sqrt(sum((t - p) ** 2 for t, p in kept) / n),
                "rmse_log": math.sqrt(sum((math.log(t) - math.log(p)) ** 2 for t, p in kept) / n),
                "log10": sum(abs(math.log10(t) - math.log10(p)) for t, p in kept) / n,
                **{f"delta{k}": sum(max(t / p, p / t) < 1.25**k for t, p in kept) / n for k in (1, 2, 3)},
            }
        )
    means = {key: sum(image[key] for image in images) / len(images) for key in images[0]}
    return {"depth_aerr": sum(pooled) / len(pooled), **means}


@pytest.mark.parametrize("scaling", [False, True])
@pytest.mark.parametrize("crop", CROPS)
def test_equals_the_kitti_protocol_by_hand(crop: str, scaling: bool) -> None:
    pairs = [maps(seed, shape) for seed, shape in enumerate([(37, 121), (40, 100), (15, 30)])]
    found = measured(pairs, minimum=1e-3, maximum=80, crop=crop, median_scaling=scaling)
    assert found == pytest.approx(by_hand(pairs, 1e-3, 80, crop, scaling), rel=1e-9)


def test_equals_monodepth2s_published_evaluation() -> None:
    """Its own functions, run on a batch of these maps (commit b676244e): seven numbers, to six decimals."""
    pairs = [maps(seed, (40, 100)) for seed in range(3)]
    metrics = DepthMetrics(minimum=1e-3, maximum=80, crop="garg", median_scaling=True)
    metrics.update(*(np.stack([pair[side] for pair in pairs]) for side in (0, 1)))
    found = metrics.compute()
    keys = ("abs_rel", "sq_rel", "rmse", "rmse_log", "delta1", "delta2", "delta3")
    assert [round(found[key], 6) for key in keys] == MONODEPTH2


def test_equals_torchmetrics_and_sklearn() -> None:
    pairs = [maps(seed) for seed in range(3)]
    found = measured(pairs)
    kept = [(t[t > 0].astype(np.float64), p[t > 0].astype(np.float64)) for t, p in pairs]
    truth, prediction = (np.concatenate([pair[i] for pair in kept]) for i in (0, 1))
    error = MeanAbsoluteError()
    error.update(torch.from_numpy(prediction), torch.from_numpy(truth))
    assert found["depth_aerr"] == pytest.approx(error.compute().item(), rel=1e-6)
    assert found["depth_aerr"] == pytest.approx(mean_absolute_error(truth, prediction))
    for key, reference in {
        "abs_rel": mean_absolute_percentage_error,
        "rmse": root_mean_squared_error,
        "rmse_log": lambda t, p: root_mean_squared_error(np.log(t), np.log(p)),
        "log10": lambda t, p: mean_absolute_error(np.log10(t), np.log10(p)),
    }.items():
        assert found[key] == pytest.approx(np.mean([reference(*pair) for pair in kept])), key


class TestKnownAnswers:
    @pytest.mark.parametrize("offset", [-0.5, 0.0, 0.25, 3.0])
    def test_a_constant_offset(self, offset: float) -> None:
        truth, _ = maps(0)
        found = measured([(truth, truth.astype(np.float64) + offset)])
        assert [found["depth_aerr"], found["rmse"]] == pytest.approx([abs(offset)] * 2)

    @pytest.mark.parametrize("factor", [0.4, 0.79, 0.81, 1.0, 1.24, 1.26, 1.57, 2.0])
    def test_a_constant_factor(self, factor: float) -> None:
        truth, _ = maps(1)
        found = measured([(truth, truth.astype(np.float64) * factor)])
        assert found["abs_rel"] == pytest.approx(abs(1 - factor))
        assert found["rmse_log"] == pytest.approx(abs(math.log(factor)), abs=1e-12)
        assert found["log10"] == pytest.approx(abs(math.log10(factor)), abs=1e-12)
        off = max(factor, 1 / factor)
        assert [found[f"delta{k}"] for k in (1, 2, 3)] == [float(off < 1.25**k) for k in (1, 2, 3)]
        scaled = measured([(truth, truth.astype(np.float64) * factor)], median_scaling=True)
        assert scaled["abs_rel"] == pytest.approx(0, abs=1e-12) and scaled["delta1"] == 1

    def test_the_depth_error_is_pooled_over_pixels_and_the_others_over_images(self) -> None:
        # One pixel that is 1 m off in the first image, two that are right in the second.
        first = (np.array([[2.0, 0, 0, 0]]), np.array([[3.0, 9, 9, 9]]))
        second = (np.array([[5.0, 5, 0, 0]]), np.array([[5.0, 5, 9, 9]]))
        found = measured([first, second])
        assert found["depth_aerr"] == 1 / 3  # the mean over images would be 1/2
        assert found["abs_rel"] == (1 / 2 + 0) / 2  # pooled it would be 1/6
        assert found["rmse"] == (1 + 0) / 2  # pooled it would be the square root of 1/3
        assert found["delta1"] == (0 + 1) / 2  # pooled it would be 2/3

    def test_caps_are_excluded_and_clip_the_prediction(self) -> None:
        truth, prediction = np.array([[1.0, 80.0, 2.0, 79.0]]), np.array([[50.0, 50.0, 0.5, 200.0]])
        found = measured([(truth, prediction)], minimum=1, maximum=80)
        assert found["depth_aerr"] == (abs(2 - 1) + abs(79 - 80)) / 2

    def test_without_caps_nothing_is_clipped(self) -> None:
        found = measured([(np.array([[3.0, 500.0]]), np.array([[-1.0, 600.0]]))])
        assert found["depth_aerr"] == (4 + 100) / 2
        assert found["rmse_log"] == pytest.approx(
            math.sqrt((math.log(3 / 1e-3) ** 2 + math.log(1.2) ** 2) / 2)
        )

    @pytest.mark.parametrize(
        ("crop", "rows", "columns"),
        [("none", (0, 375), (0, 1242)), ("garg", (153, 371), (44, 1197)), ("eigen", (124, 342), (44, 1197))],
    )
    def test_the_crop_of_a_kitti_image(self, crop: str, rows: tuple, columns: tuple) -> None:
        # 375 times 0.40810811, 0.99189189, 0.3324324, 0.91351351: 153.04, 371.96, 124.66, 342.57
        assert crop_window(crop, 375, 1242) == (slice(*rows), slice(*columns))
        truth = np.ones((375, 1242))
        wrong_outside = np.full(truth.shape, 9.0)
        wrong_outside[slice(*rows), slice(*columns)] = 1
        assert measured([(truth, wrong_outside)], crop=crop)["depth_aerr"] == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), factor=st.floats(0.1, 10), median_scaling=st.booleans())
def test_invariances(seed: int, factor: float, median_scaling: bool) -> None:
    truth, prediction = (values.astype(np.float64) for values in maps(seed, (9, 14)))
    before = measured([(truth, prediction)], median_scaling=median_scaling)
    # Mirroring, and whatever is predicted where there is no ground truth, changes nothing.
    elsewhere = np.where(truth == 0, np.nan, prediction)
    mirrored = measured([(truth[::-1, ::-1], elsewhere[::-1, ::-1])], median_scaling=median_scaling)
    assert mirrored == pytest.approx(before)
    # In another unit of length only the lengths differ.
    lengths = {"depth_aerr", "sq_rel", "rmse"}
    other = measured([(factor * truth, factor * prediction)], median_scaling=median_scaling)
    expected = {key: value * factor if key in lengths else value for key, value in before.items()}
    assert other == pytest.approx(expected)
    if median_scaling:
        assert measured([(truth, factor * prediction)], median_scaling=True) == pytest.approx(before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sums_are_in_double_precision(dtype: type) -> None:
    # In float16 the sum of so many would be infinite, in float32 it would stop growing at 2^24.
    truth = np.full((1100, 1000), 60.0, dtype)
    assert measured([(truth, truth + dtype(20))] * 2)["depth_aerr"] == 20


def test_an_image_without_depth_is_passed_over() -> None:
    pair, nothing = maps(0), (np.zeros((5, 5)), np.full((5, 5), np.nan))
    assert measured([nothing, pair, nothing]) == measured([pair])


def test_the_order_of_images_does_not_matter() -> None:
    pairs = [maps(seed) for seed in range(4)]
    assert measured(pairs) == pytest.approx(measured(pairs[::-1]))


@pytest.mark.parametrize("pairs", [[], [(np.zeros((3, 4)), np.ones((3, 4)))], [(np.full((3, 4), 90.0),) * 2]])
def test_an_empty_set_is_refused(pairs: list[Pair]) -> None:
    with pytest.raises(DejavuError, match="nothing was scored.*0.001 and 80 m inside the crop 'garg'"):
        measured(pairs, minimum=0.001, maximum=80, crop="garg")


@pytest.mark.parametrize(
    ("truth", "prediction", "says"),
    [
        ([[1.0, 2.0]], [[1.0, np.nan]], "no depth .* 1 of the 2 pixels"),
        ([[1.0, 2.0, 0.0]], [[np.inf, -np.inf, np.nan]], "no depth .* 2 of the 2 pixels"),
        ([[1.0, np.nan]], [[1.0, 1.0]], "ground truth holds 1 values"),
        ([[1.0, np.inf]], [[1.0, 1.0]], "ground truth holds 1 values"),
        ([[-1.0, -1.0]], [[1.0, 1.0]], "ground truth holds 2 values"),
        ([[1.0, 2.0]], [[1.0], [2.0]], "shape"),
        ([[1.0, 2.0]], [[[1.0, 2.0]]], "shape"),
        ([[[[1.0, 2.0]]]], [[[[1.0, 2.0]]]], r"\(H, W\), or \(N, H, W\) for a batch"),
    ],
)
def test_refuses(truth: list, prediction: list, says: str) -> None:
    with pytest.raises(DejavuError, match=says) as raised:
        DepthMetrics().update(truth, prediction)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("prediction", [[[0.0, 0.0]], [[-1.0, -2.0]]])
def test_median_scaling_needs_a_median_above_zero(prediction: list) -> None:
    with pytest.raises(DejavuError, match="median depth is"):
        DepthMetrics(median_scaling=True).update([[1.0, 2.0]], prediction)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"minimum": 80, "maximum": 1}, "80 to 1 m"),
        ({"minimum": -1.0}, "-1.0 to inf m"),
        ({"minimum": 1, "maximum": math.nan}, "1 to nan m"),
        ({"crop": "grag"}, "did you mean 'garg'"),
    ],
)
def test_impossible_options_are_refused(options: dict, says: str) -> None:
    with pytest.raises(DejavuError, match=says):
        DepthMetrics(**options)


def test_a_failed_update_counts_nothing() -> None:
    metrics, pair = DepthMetrics(), maps(0)
    metrics.update(*pair)
    before = metrics.compute()
    with pytest.raises(DejavuError):
        metrics.update(pair[0], np.full_like(pair[1], np.nan))
    assert metrics.compute() == before and list(before) == ["depth_aerr", *PER_IMAGE]
