"""Normals metrics against scipy's rotations, sklearn, and the angles of a whole set kept in a list."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from sklearn.metrics.pairwise import paired_cosine_distances

from dejavu.errors import DejavuError
from dejavu.metrics.normals import NormalMetrics, angles

Pair = tuple[np.ndarray, np.ndarray]
UP = np.array([0.0, 0.0, 1.0])


def maps(seed: int, shape: tuple[int, int] = (13, 17), spread: float = 0.5, missing: float = 0.3) -> Pair:
    """Unit vectors with holes in the ground truth, and vectors around them that are no unit vectors."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((*shape, 3))
    truth /= np.linalg.norm(truth, axis=-1, keepdims=True)
    prediction = (truth + spread * rng.standard_normal(truth.shape)) * rng.uniform(0.1, 9, (*shape, 1))
    truth[rng.random(shape) < missing] = 0
    return truth, prediction


def turned(truth: np.ndarray, degrees: np.ndarray | float, seed: int = 99) -> np.ndarray:
    """Every vector (..., 3) turned by so many degrees about an axis at right angles to it."""
    flat = truth.reshape(-1, 3)
    axis = np.cross(flat, np.random.default_rng(seed).standard_normal(flat.shape))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    turns = Rotation.from_rotvec(np.radians(np.broadcast_to(degrees, truth.shape[:-1]).reshape(-1, 1)) * axis)
    return turns.apply(flat).reshape(truth.shape)


def measured(pairs: list[Pair]) -> dict[str, float]:
    metrics = NormalMetrics()
    for pair in pairs:
        metrics.update(*pair)
    return metrics.compute()


class TestAngles:
    @pytest.mark.parametrize("degrees", [0, 1e-9, 1e-4, 0.01, 11.25, 45, 90, 135, 179.99, 180 - 1e-6, 180])
    def test_equals_scipys_rotation(self, degrees: float) -> None:
        # Where acos loses half of all digits: near 0 and 180.
        truth, _ = maps(0, missing=0)
        np.testing.assert_allclose(angles(truth, turned(truth, degrees)), degrees, rtol=0, atol=1e-10)

    def test_equals_sklearns_cosine(self) -> None:
        truth, prediction = (values.reshape(-1, 3) for values in maps(1, missing=0, spread=2))
        expected = np.degrees(np.arccos(1 - paired_cosine_distances(truth, prediction)))
        np.testing.assert_allclose(angles(truth, prediction), expected, atol=1e-5)

    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 999),
        first=st.floats(1e-30, 1e30),
        second=st.floats(1e-30, 1e30),
        mirror=st.booleans(),
    )
    def test_length_order_and_frame_do_not_matter(
        self, seed: int, first: float, second: float, mirror: bool
    ) -> None:
        truth, prediction = (values.reshape(-1, 3) for values in maps(seed, (3, 5), missing=0))
        before = angles(truth, prediction)
        frame = Rotation.random(rng=np.random.default_rng(seed)).as_matrix() * (-1 if mirror else 1)
        after = angles(second * prediction @ frame.T, first * truth @ frame.T)
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(angles(truth, -prediction), 180 - before, rtol=1e-9, atol=1e-9)


class TestKnownAnswers:
    @pytest.mark.parametrize("degrees", [0.0, 5.0, 11.2, 11.3, 22.4, 22.6, 29.9, 30.1, 90.0, 180.0])
    def test_a_constant_rotation(self, degrees: float) -> None:
        truth, _ = maps(2)
        prediction = np.where(truth == 0, UP, turned(np.where(truth == 0, UP, truth), degrees))
        found = measured([(truth, prediction)])
        assert found["normal_merr"] == pytest.approx(degrees, abs=1e-9)
        assert found["normal_median"] == pytest.approx(degrees, abs=1e-9)
        within = [found[f"normal_within_{limit}"] for limit in (11, 22, 30)]
        assert within == [100.0 * (degrees < limit) for limit in (11.25, 22.5, 30)]

    def test_is_pooled_over_the_set_and_not_averaged_over_images(self) -> None:
        # One pixel that is 90 degrees off in the first image, three that are right in the second.
        first = (np.array([[UP, [0, 0, 0]]]), np.array([[[1, 0, 0], UP]]))
        second = (np.array([[UP, UP, UP]]), np.array([[UP, UP, UP]]))
        assert measured([first, second]) == {
            "normal_merr": 22.5,
            "normal_median": 0.0,
            "normal_within_11": 75.0,
            "normal_within_22": 75.0,
            "normal_within_30": 75.0,
        }

    def test_a_prediction_without_direction_counts_90_degrees(self) -> None:
        assert measured([(np.array([[UP]]), np.zeros((1, 1, 3)))])["normal_merr"] == 90

    @pytest.mark.parametrize(
        ("degrees", "median"),
        [([7], 7), ([1, 9], 5), ([9, 1, 2], 2), ([80, 1, 3, 170], 41.5), ([5, 5, 5, 9], 5)],
    )
    def test_the_median_of_a_few(self, degrees: list[float], median: float) -> None:
        truth = np.tile(UP, (1, len(degrees), 1))
        found = measured([(truth, turned(truth, np.array([degrees], float)))])
        assert found["normal_median"] == pytest.approx(median, abs=1e-9)


def test_equals_all_angles_in_one_list() -> None:
    pairs = [maps(7, (13, 17), spread=0.2), maps(8, (30, 40), spread=1.0)]
    every = []
    for truth, prediction in pairs:
        for t, p in zip(truth.reshape(-1, 3).tolist(), prediction.reshape(-1, 3).tolist(), strict=True):
            if any(t):
                cosine = sum(a * b for a, b in zip(t, p, strict=True)) / (math.hypot(*t) * math.hypot(*p))
                every.append(math.degrees(math.acos(max(-1.0, min(1.0, cosine)))))
    found = measured(pairs)
    assert found["normal_merr"] == pytest.approx(np.mean(every), abs=1e-7)
    assert found["normal_median"] == pytest.approx(np.median(every), abs=5e-4)
    for key, limit in (("normal_within_11", 11.25), ("normal_within_22", 22.5), ("normal_within_30", 30)):
        assert found[key] == pytest.approx(100 * sum(angle < limit for angle in every) / len(every))
        assert 0 < found[key] < 100


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_stored_precision_costs_little(dtype: type) -> None:
    truth, prediction = maps(4, (60, 80))
    exact, stored = (
        measured([(truth, prediction)]),
        measured([(truth.astype(dtype), prediction.astype(dtype))]),
    )
    assert stored["normal_merr"] == pytest.approx(exact["normal_merr"], abs=1e-3)


def test_what_is_predicted_without_ground_truth_does_not_matter() -> None:
    truth, prediction = maps(5)
    elsewhere = np.where((truth == 0).all(-1, keepdims=True), np.nan, prediction)
    assert measured([(truth, elsewhere)]) == measured([(truth, prediction)])


def test_an_image_without_normals_adds_nothing() -> None:
    pair, nothing = maps(6), (np.zeros((4, 4, 3)), np.ones((4, 4, 3)))
    assert measured([nothing, pair, nothing]) == measured([pair])


@pytest.mark.parametrize("pairs", [[], [(np.zeros((2, 2, 3)), np.ones((2, 2, 3)))]])
def test_an_empty_set_is_refused(pairs: list[Pair]) -> None:
    with pytest.raises(DejavuError, match="nothing was scored"):
        measured(pairs)


@pytest.mark.parametrize(
    ("truth", "prediction", "says"),
    [
        ([[[0, 0, 1.0], [0, 1, 0]]], [[[0, 0, 1.0], [0, np.nan, 0]]], "no normal .* 1 of the 2 pixels"),
        ([[[0, 0, 1.0], [0, 0, 0]]], [[[0, 0, np.inf], [0, np.nan, 0]]], "no normal .* 1 of the 1 pixels"),
        ([[[0, 0, np.nan]]], [[[0, 0, 1.0]]], "ground truth is not finite at 1 pixels"),
        ([[[0, 0, 1.0]]], [[0, 0, 1.0]], "shape"),
        ([[0, 0, 1.0]], [[0, 0, 1.0]], r"\(H, W, 3\), or \(N, H, W, 3\) for a batch"),
        ([[[0, 1.0]]], [[[0, 1.0]]], r"\(H, W, 3\)"),
    ],
)
def test_refuses(truth: list, prediction: list, says: str) -> None:
    with pytest.raises(DejavuError, match=says) as raised:
        NormalMetrics().update(truth, prediction)
    assert "\n" not in str(raised.value)
