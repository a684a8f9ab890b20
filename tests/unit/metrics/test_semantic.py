"""The metrics against other libraries, the definitions written out slowly, and cases with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torchmetrics.classification import MulticlassJaccardIndex

from dejavu.errors import DejavuError
from dejavu.metrics import METRICS
from dejavu.metrics.boundary import BoundaryIoU, band_width
from dejavu.metrics.semantic import ConfusionMatrix, SemanticMetrics

IGNORE = 255


def maps(
    seed: int, classes: int, shape: tuple[int, ...] = (24, 40), used: int | None = None
) -> tuple[np.ndarray, ...]:
    """A label with areas and ignored pixels, and a prediction that is right in most places."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, used or classes, [-(-side // 6) for side in shape])
    label = np.kron(coarse, np.ones([6] * len(shape), int))[tuple(slice(side) for side in shape)]
    noise = rng.integers(0, classes, shape)
    prediction = np.where(rng.random(shape) < 0.3, noise, np.roll(label, 2, axis=-1))
    label = np.where(rng.random(shape) < 0.1, IGNORE, label)
    return label.astype(np.uint8), prediction.astype(np.uint8)


def counted(pairs: list[tuple[np.ndarray, ...]], classes: int, ignore: int = IGNORE) -> ConfusionMatrix:
    matrix = ConfusionMatrix(classes, ignore)
    for pair in pairs:
        matrix.update(*pair)
    return matrix


class TestConfusionMatrix:
    @pytest.mark.parametrize(
        ("classes", "used", "ignore"), [(2, 2, 255), (5, 5, 255), (19, 7, 255), (19, 19, 255), (5, 5, 3)]
    )
    def test_miou_equals_torchmetrics(self, classes: int, used: int, ignore: int) -> None:
        pairs = [maps(seed, classes, used=used) for seed in range(4)]
        if ignore != IGNORE:  # one of the classes is ignored
            pairs = [(np.where(label == IGNORE, ignore, label), guess) for label, guess in pairs]
        reference = MulticlassJaccardIndex(classes, average="macro", ignore_index=ignore)
        for label, prediction in pairs:
            reference.update(torch.from_numpy(prediction), torch.from_numpy(label).long())
        assert counted(pairs, classes, ignore).mIoU == pytest.approx(
            100 * reference.compute().item(), abs=1e-4
        )

    def test_absent_classes_are_left_out_of_the_mean(self) -> None:
        label, prediction = maps(0, 5)
        without, with_absent = counted([(label, prediction)], 5), counted([(label, prediction)], 9)
        assert with_absent.mIoU == without.mIoU
        assert np.isnan(with_absent.iou_per_class).tolist() == [False] * 5 + [True] * 4

    def test_accuracies_equal_sklearn(self) -> None:
        pairs = [maps(seed, 6) for seed in range(3)]
        matrix = counted(pairs, 6)
        label, prediction = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
        label, prediction = label[label != IGNORE], prediction[label != IGNORE]
        assert matrix.pixel_accuracy == pytest.approx(100 * accuracy_score(label, prediction))
        assert matrix.mean_accuracy == pytest.approx(100 * balanced_accuracy_score(label, prediction))

    def test_is_pooled_over_the_set_and_not_averaged_over_images(self) -> None:
        # Class 1: 1 of 1 pixel in the first image, 0 of 9 in the second. Pooled 1/10, averaged 1/2.
        first = (np.array([[1, 0]]), np.array([[1, 0]]))
        second = (np.ones((3, 3), int), np.zeros((3, 3), int))
        assert counted([first, second], 2).iou_per_class.tolist() == pytest.approx([10.0, 10.0])

    def test_counts_by_hand(self) -> None:
        label, prediction = [0, 0, 0, 1, 1, 2, 255, 255], [0, 0, 1, 1, 0, 3, 3, 255]
        matrix = counted([(np.array(label), np.array(prediction))], 4)
        assert matrix.matrix.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
        assert matrix.iou_per_class.tolist() == pytest.approx([50.0, 100 / 3, 0.0, 0.0])  # 3: only predicted
        assert matrix.pixel_accuracy == pytest.approx(50.0)
        assert matrix.mean_accuracy == pytest.approx((200 / 3 + 50 + 0) / 3)  # 3 is not in the ground truth

    def test_nothing_counted_is_not_a_number(self) -> None:
        matrix = counted([(np.full((2, 2), 255), np.zeros((2, 2), int))], 3)
        assert (
            math.isnan(matrix.mIoU) and math.isnan(matrix.pixel_accuracy) and math.isnan(matrix.mean_accuracy)
        )

    def test_merge_equals_one_pass(self) -> None:
        pairs = [maps(seed, 4) for seed in range(4)]
        parts = [counted(pairs[:1], 4), counted(pairs[1:], 4)]
        parts[0].merge(parts[1])
        np.testing.assert_array_equal(parts[0].matrix, counted(pairs, 4).matrix)

    @pytest.mark.parametrize("other", [ConfusionMatrix(5), ConfusionMatrix(4, 0)])
    def test_merge_refuses_another_kind(self, other: ConfusionMatrix) -> None:
        with pytest.raises(DejavuError, match="equal num_classes"):
            ConfusionMatrix(4).merge(other)

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
    @pytest.mark.parametrize("shape", [(7,), (24, 40), (2, 12, 13)])
    def test_any_shape_and_integer_type(self, shape: tuple[int, ...], dtype: type) -> None:
        label, prediction = maps(3, 5, shape)
        expected = counted([(label.ravel(), prediction.ravel())], 5).matrix
        got = counted([(label.astype(dtype), prediction.astype(dtype))], 5).matrix
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == np.int64 and got.sum() == (label != IGNORE).sum()

    def test_more_classes_than_a_byte_holds(self) -> None:
        label = np.arange(300, dtype=np.uint16).reshape(15, 20)
        metrics = SemanticMetrics(300, ignore_index=65535)
        metrics.update(label, label)
        assert metrics.compute()["miou"] == metrics.compute()["boundary_miou"] == 100.0


class Definition:
    """Boundary IoU as the paper writes it: per class and image, masks cut down to a band, brute force."""

    def __init__(self, classes: int) -> None:
        self.inter, self.union = np.zeros(classes), np.zeros(classes)

    def update(self, label: np.ndarray, prediction: np.ndarray) -> None:
        d = max(1, int(round(0.02 * np.sqrt(label.shape[0] ** 2 + label.shape[1] ** 2))))
        known = label != IGNORE
        for c in range(len(self.inter)):
            truth, guess = (self.band(values, known, c, d) for values in (label, prediction))
            self.inter[c] += (truth & guess).sum()
            self.union[c] += (truth | guess).sum()

    @staticmethod
    def band(values: np.ndarray, known: np.ndarray, c: int, d: int) -> np.ndarray:
        height, width = values.shape
        out = np.zeros(values.shape, bool)
        for y, x in zip(*np.nonzero(known & (values == c)), strict=True):
            for v in range(y - d, y + d + 1):
                for u in range(x - d, x + d + 1):
                    if not (0 <= v < height and 0 <= u < width) or (known[v, u] and values[v, u] != c):
                        out[y, x] = True
        return out

    @property
    def iou(self) -> np.ndarray:
        return 100 * np.divide(
            self.inter, self.union, out=np.full(len(self.inter), np.nan), where=self.union > 0
        )


class TestBoundaryIoU:
    def test_equals_the_definition(self) -> None:
        # The last one's band is 1.7, so two pixels wide; two of the seven classes never occur.
        fast, slow = BoundaryIoU(7), Definition(7)
        for seed, shape in enumerate([(24, 40), (1, 5), (9, 9), (50, 70)]):
            label, prediction = maps(seed, 5, shape)
            fast.update(label, prediction)
            slow.update(label, prediction)
        np.testing.assert_allclose(fast.iou_per_class, slow.iou)
        assert fast.mIoU == pytest.approx(np.nanmean(slow.iou)) and 0 < fast.mIoU < 100

    def test_equals_erosion_of_each_mask_where_nothing_is_ignored(self) -> None:
        # The paper's own code erodes a mask, padded by zeros, d times with a 3x3 square.
        def boundary(mask: np.ndarray, d: int) -> np.ndarray:
            return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), d, border_value=0)

        label, prediction = (np.where(values == IGNORE, 0, values) for values in maps(1, 4, (90, 120)))
        d = band_width(90, 120)
        assert d == 3
        expected = []
        for c in range(4):
            truth, guess = boundary(label == c, d), boundary(prediction == c, d)
            expected.append(100 * (truth & guess).sum() / (truth | guess).sum())
        metric = BoundaryIoU(4)
        metric.update(label, prediction)
        assert metric.iou_per_class.tolist() == pytest.approx(expected)

    @pytest.mark.parametrize("shift", [0, 1, 2, 5, 40])
    def test_of_a_shifted_square(self, shift: int) -> None:
        # 300 x 400: the diagonal is 500 and d = 10, so that a band is a 100 square less its 80 hole.
        truth, guess = np.zeros((2, 300, 400), int)
        truth[100:200, 100:200] = 1
        guess[100:200, 100 + shift : 200 + shift] = 1
        squares, holes = 100 * (100 - shift), 80 * (80 - shift)  # what each shares with its copy
        hole_in_square = 80 * (80 - max(0, shift - 10))
        shared = squares - (2 * hole_in_square - holes)  # in both squares and in neither hole
        frame = 100**2 - 80**2
        metric = BoundaryIoU(2)
        metric.update(truth, guess)
        assert metric.iou_per_class[1] == pytest.approx(100 * shared / (2 * frame - shared))

    def test_a_blurred_outline_costs_more_than_in_miou(self) -> None:
        truth, guess = np.zeros((2, 300, 400), int)
        truth[50:250, 100:300] = 1
        guess[55:245, 105:295] = 1
        metrics = SemanticMetrics(2)
        metrics.update(truth, guess)
        values = metrics.compute()
        assert values["boundary_miou"] < values["miou"] - 20

    def test_an_ignored_area_has_no_contour(self) -> None:
        # One class and an ignored rectangle inside: only the image's own frame is a band.
        label = np.zeros((40, 60), int)
        label[10:30, 20:40] = IGNORE
        metric = BoundaryIoU(2)
        metric.update(label, np.zeros_like(label))
        assert metric.union.tolist() == [40 * 60 - 38 * 58, 0]

    def test_needs_images_or_batches(self) -> None:
        with pytest.raises(DejavuError, match=r"or \(N, H, W\) for a batch"):
            BoundaryIoU(2).update(np.zeros((2, 1, 4, 4), int), np.zeros((2, 1, 4, 4), int))


METRIC_TYPES = [ConfusionMatrix, BoundaryIoU, SemanticMetrics]


@pytest.mark.parametrize("kind", METRIC_TYPES)
class TestEveryMetric:
    """What holds for whatever counts class maps."""

    @pytest.mark.parametrize(
        ("label", "prediction", "says"),
        [
            ([[0, 3]], [[0, 1]], "label holds the value 3"),
            ([[0, -1]], [[0, 1]], "label holds the value -1"),
            ([[0, 1]], [[0, 3]], "prediction holds the value 3"),
            ([[0, 1]], [[0, 255]], "prediction holds the value 255"),
            ([[0, 1]], [[0, -1]], "prediction holds the value -1"),
            ([[0, 1]], [[0], [1]], "shape"),
            ([[0.0, 1.0]], [[0, 1]], "label has type float64"),
            ([[0, 1]], [[0.0, 1.0]], "prediction has type float64"),
        ],
    )
    def test_refuses(self, kind: type, label: list, prediction: list, says: str) -> None:
        with pytest.raises(DejavuError, match=says):
            kind(3).update(label, prediction)

    def test_a_ground_truth_scores_100_against_itself(self, kind: type) -> None:
        label, _ = maps(5, 4)
        metric = kind(4)
        metric.update(label, label)  # with 255 in the prediction, where the label is ignored
        assert value_of(metric) == 100.0

    @settings(max_examples=30, deadline=None)
    @given(data=st.data())
    def test_invariances(self, kind: type, data: st.DataObject) -> None:
        values = st.sampled_from([0, 1, 2, IGNORE])
        label = data.draw(arrays(np.uint8, (6, 7), elements=values))
        prediction = data.draw(arrays(np.uint8, (6, 7), elements=st.integers(0, 2)))
        reference = self.value(kind, label, prediction)
        assert math.isnan(reference) or 0 <= reference <= 100
        assert self.value(kind, label[::-1, ::-1], prediction[::-1, ::-1]) == same(reference)
        assert self.value(kind, label.T, prediction.T) == same(reference)
        # What is predicted where the label is ignored does not matter.
        elsewhere = np.where(label == IGNORE, data.draw(st.sampled_from([0, 1, 2, 9])), prediction)
        assert self.value(kind, label, elsewhere) == same(reference)
        # The classes' order does not matter.
        swap = np.array([2, 0, 1] + [IGNORE] * 253)
        assert self.value(kind, swap[label], swap[prediction]) == same(reference)

    @staticmethod
    def value(kind: type, label: np.ndarray, prediction: np.ndarray) -> float:
        metric = kind(3)
        metric.update(label, prediction)
        return value_of(metric)


def value_of(metric: ConfusionMatrix | BoundaryIoU | SemanticMetrics) -> float:
    return metric.regions.mIoU if isinstance(metric, SemanticMetrics) else metric.mIoU


def same(value: float) -> object:
    return pytest.approx(value, abs=1e-9, nan_ok=True)


class TestSemanticMetrics:
    def test_gathers_both_and_names_the_classes(self) -> None:
        names = ["sky", "road", "car", "tram"]
        metrics, matrix, boundary = SemanticMetrics(4, 255, names), ConfusionMatrix(4), BoundaryIoU(4)
        for seed in range(3):
            pair = maps(seed, 3)
            for each in (metrics, matrix, boundary):
                each.update(*pair)
        values = metrics.compute()
        semantic = {key for key, metric in METRICS.items() if metric.task == "semantic"}
        assert set(values) == semantic | {"iou"}
        assert (values["miou"], values["pixel_accuracy"]) == (matrix.mIoU, matrix.pixel_accuracy)
        assert (values["mean_accuracy"], values["boundary_miou"]) == (matrix.mean_accuracy, boundary.mIoU)
        assert values["iou"] == dict(zip(names, [*matrix.iou_per_class[:3].tolist(), None], strict=True))

    def test_all_ignored_is_refused(self) -> None:
        metrics = SemanticMetrics(2)
        metrics.update(np.full((3, 3), 255), np.zeros((3, 3), int))
        with pytest.raises(DejavuError, match="nothing was scored"):
            metrics.compute()

    @pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "b"]])
    def test_names_must_fit(self, names: list[str]) -> None:
        with pytest.raises(DejavuError, match="3 different class names"):
            SemanticMetrics(3, 255, names)

    @pytest.mark.parametrize("classes", [0, -2])
    def test_needs_a_class(self, classes: int) -> None:
        with pytest.raises(DejavuError, match="at least 1"):
            SemanticMetrics(classes)
