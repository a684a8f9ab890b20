"""Panoptic quality: against its definition, written out slowly below, and torchmetrics where that agrees."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality as TorchPanopticQuality

from dejavu.errors import DejavuError
from dejavu.metrics import METRICS, collect
from dejavu.metrics.panoptic import PanopticQuality
from dejavu.metrics.panoptic_matching import LARGEST, overlaps
from dejavu.tasks.segments import CROWD, VOID, Segment

CLASSES = 5
THINGS = (True, True, False, True, False)
Segments = Mapping[int, Segment]


def counted(
    truth: np.ndarray, prediction: np.ndarray, segments: Segments, predicted: Segments, seen: Counter
) -> np.ndarray:
    """Sum of IoU, tp, fp, fn by class (4, C) of two maps of ids, by the definition, with sets of pixels."""
    real, guess = (
        {id_: set(np.flatnonzero(ids.ravel() == id_).tolist()) for id_ in known}
        for ids, known in ((truth, segments), (prediction, predicted))
    )
    void = set(range(truth.size)) - set().union(*real.values())
    counts, found = np.zeros((4, CLASSES)), set()
    for id_, pixels in guess.items():
        if not pixels:
            continue
        category, hit, excused = predicted[id_].category, False, len(pixels & void)
        for other, segment in real.items():
            if segments[other].category != category:
                continue
            if segments[other].crowd:
                excused += len(pixels & segment)
            elif (iou := len(pixels & segment) / len((pixels | segment) - (pixels & void))) > 0.5:
                assert other not in found and not hit
                found.add(other)
                hit = True
                counts[:2, category] += iou, 1
        counts[2, category] += not hit and 2 * excused <= len(pixels)
        seen["excused by void"] += not hit and 2 * len(pixels & void) > len(pixels)
        seen["excused by a crowd"] += not hit and 2 * len(pixels & void) <= len(pixels) < 2 * excused
        seen["half excused"] += not hit and 2 * excused == len(pixels)
    for id_, pixels in real.items():
        counts[3, segments[id_].category] += bool(pixels) and not segments[id_].crowd and id_ not in found
    seen.update(one_pixel=sum(len(pixels) == 1 for pixels in [*real.values(), *guess.values()]))
    seen.update(empty=not any(guess.values()), tp=counts[1].sum(), fp=counts[2].sum(), fn=counts[3].sum())
    return counts


def read_off(counts: np.ndarray, chosen: list[int]) -> dict[str, float] | None:
    """PQ, SQ, RQ in percent: means over those of the chosen classes that occur."""
    every = []
    for iou, tp, fp, fn in counts[:, chosen].T.tolist():
        if tp + fp + fn:
            whole = tp + fp / 2 + fn / 2
            every.append((100 * iou / whole, 100 * iou / tp if tp else 0.0, 100 * tp / whole))
    return dict(zip(("pq", "sq", "rq"), np.mean(every, 0).tolist(), strict=True)) if every else None


def areas(rng: np.random.Generator, size: tuple[int, int], count: int) -> np.ndarray:
    """The nearest of `count` random points at each pixel; close points make areas of one pixel."""
    points = rng.uniform(0, 1, (count, 2)) * size
    grid = np.stack(np.indices(size), -1)[:, :, None]
    return np.abs(grid - points).sum(-1).argmin(-1)


def random_ids(seed: int) -> tuple[np.ndarray, np.ndarray, dict[int, Segment], dict[int, Segment]]:
    """Maps of ids to 2^24, alike in places: void, crowds (several of a class), tiny segments, empty maps."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 16)), int(rng.integers(1, 16)))
    present = rng.choice(CLASSES, int(rng.integers(1, CLASSES + 1)), replace=False)
    real = areas(rng, size, int(rng.integers(1, 12)))
    guess = np.roll(real, rng.integers(-1, 2, 2), (0, 1)) if rng.random() < 0.8 else areas(rng, size, 6)
    guess = np.where(rng.random(size) < 0.05, rng.integers(0, 20, size), guess)
    categories = rng.choice(present, 20)
    swapped = np.where(rng.random(20) < 0.2, rng.integers(0, CLASSES, 20), categories)
    codes = [1 + rng.choice(2**24 - 1, 20, replace=False) for _ in range(2)]
    void = [rng.random(20) < share for share in (0.15, 1.0 if rng.random() < 0.05 else 0.1)]
    crowd = (rng.random(20) < 0.2) & np.isin(categories, np.flatnonzero(THINGS))
    truth, prediction = (
        np.where(none[ids], 0, code[ids]) for ids, code, none in zip((real, guess), codes, void, strict=True)
    )
    known = [
        {int(code[n]): Segment(int(kind[n]), bool(group[n])) for n in np.unique(ids) if not none[n]}
        for ids, code, kind, group, none in zip(
            (real, guess), codes, (categories, swapped), (crowd, np.zeros(20, bool)), void, strict=True
        )
    ]
    return truth, prediction, known[0], known[1]


def to_codes(ids: np.ndarray, segments: Segments) -> np.ndarray:
    """The same as codes, number by number."""
    codes, numbers = np.full(ids.shape, VOID, np.uint16), Counter()
    for id_, segment in segments.items():
        number = CROWD if segment.crowd else numbers[segment.category]
        numbers[segment.category] += 1
        codes[ids == id_] = 256 * segment.category + number
    return codes


def of_ids(*given: tuple) -> PanopticQuality:
    quality = PanopticQuality(THINGS)
    for each in given:
        quality.update_ids(*each)
    return quality


def of_codes(truth: object, prediction: object, things: tuple[bool, ...] = THINGS) -> dict:
    quality = PanopticQuality(things)
    quality.update(truth, prediction)
    return quality.compute()


def test_two_hundred_random_pairs_agree_with_the_definition() -> None:
    """Every image for itself and all of them together, as ids and as codes."""
    everything, coded, expected, seen = PanopticQuality(THINGS), PanopticQuality(THINGS), 0, Counter()
    for seed in range(200):
        truth, prediction, segments, predicted = random_ids(seed)
        wanted = counted(truth, prediction, segments, predicted, seen)
        single = of_ids((truth, prediction, segments, predicted)).counts
        np.testing.assert_array_equal(np.stack(single[1:]), wanted[1:], f"seed {seed}")
        np.testing.assert_allclose(single[0], wanted[0], 1e-12, err_msg=f"seed {seed}")
        everything.update_ids(truth, prediction, segments, predicted)
        coded.update(to_codes(truth, segments), to_codes(prediction, predicted))
        expected = expected + wanted
    for quality in (everything, coded):
        computed = quality.compute()
        for kind, chosen in {
            "": range(CLASSES),
            "_th": np.flatnonzero(THINGS),
            "_st": np.flatnonzero(np.invert(THINGS)),
        }.items():
            for key, value in read_off(expected, list(chosen)).items():
                assert computed[f"{key}{kind}"] == pytest.approx(value, abs=1e-9)
        for name, each in computed["classes"].items():
            assert {key: each[key] for key in ("pq", "sq", "rq")} == pytest.approx(
                read_off(expected, [int(name)])
            )
            assert [each[key] for key in ("tp", "fp", "fn")] == expected[1:, int(name)].tolist()
    rare = {"excused by void", "excused by a crowd", "half excused", "one_pixel", "empty", "tp", "fp", "fn"}
    assert min(seen[kind] for kind in rare) >= 5, seen


def test_equals_torchmetrics_without_void_and_crowd() -> None:
    things, stuff = (set(np.flatnonzero(np.equal(THINGS, kind)).tolist()) for kind in (True, False))
    every = TorchPanopticQuality(things, stuff, return_sq_and_rq=True, return_per_class=True)
    means = TorchPanopticQuality(things, stuff, return_sq_and_rq=True)
    ours, rng = PanopticQuality(THINGS), np.random.default_rng(0)
    for _ in range(12):
        kinds = rng.integers(0, CLASSES, 12)
        table = 256 * kinds + np.where(np.take(THINGS, kinds), np.arange(12), 0)
        truth = areas(rng, (24, 31), 12)
        prediction = np.where(rng.random(truth.shape) < 0.1, 3, np.roll(truth, 1, 1))
        pair = table[truth], table[prediction]
        ours.update(*pair)
        for metric in (every, means):
            metric.update(*(torch.tensor(np.stack(np.divmod(codes, 256), -1))[None] for codes in pair[::-1]))
    found = ours.compute()
    assert [found[key] for key in ("pq", "sq", "rq")] == pytest.approx((100 * means.compute()).tolist())
    order = [*sorted(things), *sorted(stuff)]
    for row, key in zip((100 * every.compute().T).tolist(), ("pq", "sq", "rq"), strict=True):
        assert [found["classes"][str(c)][key] for c in order] == pytest.approx(row)
    assert 30 < found["pq"] < 90


@pytest.mark.parametrize("left", [5, 6, 9])
def test_pixels_that_a_prediction_leaves_out_count_against_it(left: int) -> None:
    """As in COCO's evaluation, and unlike torchmetrics: the reason for which that one is not used."""
    truth = np.zeros((1, 10), int)
    prediction = np.where(np.arange(10) < left, VOID, truth)
    assert counts_of(truth, prediction) == (0, 0, 1, 1)
    other = TorchPanopticQuality({0}, set(), allow_unknown_preds_category=True)
    other.update(*(torch.tensor(np.stack(np.divmod(codes, 256), -1))[None] for codes in (prediction, truth)))
    assert other.compute().item() == 1


def row(*runs: tuple[int, int]) -> np.ndarray:
    """Codes (1, W) from (code, pixels)."""
    return np.concatenate([np.full(pixels, code) for code, pixels in runs])[None]


def thing(number: int, category: int = 0) -> int:
    return 256 * category + number


def counts_of(truth: np.ndarray, prediction: np.ndarray, category: int = 0) -> tuple[float, ...]:
    """SQ of one image in percent, tp, fp, fn of a class."""
    of_class = of_codes(truth, prediction)["classes"][str(category)]
    return tuple(of_class[key] for key in ("sq", "tp", "fp", "fn"))


A, B, GROUP = thing(0), thing(1), thing(CROWD)
OTHER, OTHER_GROUP = thing(0, 1), thing(CROWD, 1)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        # 4 of 8 is no match, 5 of 8 is one
        (row((A, 4), (OTHER, 8)), row((A, 8), (OTHER, 4)), (0, 0, 1, 1)),
        (row((A, 5), (OTHER, 7)), row((A, 8), (OTHER, 4)), (62.5, 1, 0, 0)),
        # void is no part of a union: 4 of 5 although 10 are predicted
        (row((A, 5), (VOID, 6), (OTHER, 1)), row((OTHER, 1), (A, 10), (OTHER, 1)), (80, 1, 0, 0)),
        # but what a prediction leaves void is
        (row((A, 10), (OTHER, 2)), row((A, 6), (VOID, 4), (OTHER, 2)), (60, 1, 0, 0)),
        # half void is false, more than half is neither
        (row((VOID, 4), (OTHER, 8)), row((A, 8), (OTHER, 4)), (0, 0, 1, 0)),
        (row((VOID, 5), (OTHER, 7)), row((A, 8), (OTHER, 4)), None),
        # void and a crowd of the class count together, another class's crowd does not
        (row((VOID, 3), (GROUP, 2), (OTHER, 7)), row((A, 8), (OTHER, 4)), None),
        (row((VOID, 3), (OTHER_GROUP, 2), (OTHER, 7)), row((A, 8), (OTHER, 4)), (0, 0, 1, 0)),
        # a crowd stays in a union: 5 of 9
        (row((A, 5), (GROUP, 4), (OTHER, 3)), row((A, 9), (OTHER, 3)), (500 / 9, 1, 0, 0)),
        # a crowd is not found, be it drawn to the pixel, and not missed
        (row((GROUP, 8), (OTHER, 4)), row((A, 8), (OTHER, 4)), None),
        (row((GROUP, 8), (OTHER, 4)), row((GROUP, 8), (OTHER, 4)), None),
        (row((GROUP, 8), (OTHER, 4)), row((OTHER, 12)), None),
        # a crowd in a prediction is a segment
        (row((A, 8), (OTHER, 4)), row((GROUP, 8), (OTHER, 4)), (100, 1, 0, 0)),
        # one in two is missed once and false twice; two in one likewise
        (row((A, 8), (OTHER, 4)), row((A, 4), (B, 4), (OTHER, 4)), (0, 0, 2, 1)),
        (row((A, 4), (B, 4), (OTHER, 4)), row((A, 8), (OTHER, 4)), (0, 0, 1, 2)),
        # numbers do not matter
        (row((A, 4), (B, 4), (OTHER, 4)), row((B, 4), (thing(254), 4), (OTHER, 4)), (100, 2, 0, 0)),
        # another class is not a match
        (row((A, 8), (OTHER, 4)), row((OTHER, 12)), (0, 0, 0, 1)),
    ],
)
def test_cases_that_can_be_counted_by_hand(
    truth: np.ndarray, prediction: np.ndarray, expected: tuple[float, ...] | None
) -> None:
    """`expected` is SQ, tp, fp, fn of class 0; None where it does not occur, and then is in no mean."""
    found = counts_of(truth, prediction)
    if expected is None:
        assert found == (None, 0, 0, 0)
    else:
        assert found == pytest.approx(expected)


def test_means_are_over_the_classes_that_occur() -> None:
    """Class 0 is found, 1 missed, 2 (stuff) found by 3 of 4 pixels, 3 false, 4 nowhere."""
    found = of_codes(
        row((A, 4), (OTHER, 4), (thing(0, 2), 4)), row((A, 4), (thing(0, 3), 5), (thing(0, 2), 3))
    )
    assert [found[key] for key in ("pq", "sq", "rq")] == pytest.approx([175 / 4, 175 / 4, 50])
    assert [found[key] for key in ("pq_th", "sq_th", "rq_th")] == pytest.approx([100 / 3] * 3)
    assert [found[key] for key in ("pq_st", "sq_st", "rq_st")] == pytest.approx([75, 75, 100])
    assert found["classes"]["4"] == {"pq": None, "sq": None, "rq": None, "tp": 0, "fp": 0, "fn": 0}
    json.dumps(found, allow_nan=False)


def test_a_mean_over_no_class_is_null() -> None:
    found = of_codes([[0]], [[0]], things=(False, False))
    assert (found["pq"], found["pq_st"], found["pq_th"]) == (100, 100, None)


def test_deeplab2s_published_array_case(mirror: Path) -> None:
    """There, class 9 is ignored: (9, 0) is void, (9, 2) a segment of a class that is not scored."""
    path = mirror / "pq_deeplab2_cases" / "expected.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    case = json.loads(path.read_text())["array_case"]
    truth, prediction = (
        256 * np.array(case[f"{side}_class"]) + np.array(case[f"{side}_instance"]) for side in ("gt", "pred")
    )
    found = of_codes(np.where(truth == 9 * 256, VOID, truth), prediction, things=(True,) * 10)
    listed = [found["classes"][str(c)] for c in range(case["num_classes"])]
    for key in ("pq", "sq", "rq"):
        assert np.mean([each[key] for each in listed]) == pytest.approx(100 * case[key], abs=1e-4)
    for key in ("tp", "fp", "fn"):
        assert np.mean([each[key] for each in listed]) == pytest.approx(case[key], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_perfect_prediction_scores_100(seed: int) -> None:
    truth, _, segments, _ = random_ids(seed)
    found = of_ids((truth, truth, segments, segments)).compute()
    assert found["pq"] == found["sq"] == found["rq"] == 100
    assert {each["pq"] for each in found["classes"].values()} <= {100, None}


def test_ids_are_names_only() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        given = random_ids(seed)
        renamed: list = []
        for ids, known in zip(given[:2], given[2:], strict=True):
            names = dict(zip([0, *known], [0, *rng.integers(1, 2**24, len(known)).tolist()], strict=True))
            assert len(set(names.values())) == len(names)
            renamed.append((np.vectorize(names.get)(ids), {names[id_]: known[id_] for id_ in known}))
        other = of_ids((renamed[0][0], renamed[1][0], renamed[0][1], renamed[1][1])).counts
        expected = of_ids(given).counts
        np.testing.assert_array_equal(np.stack(other[1:]), np.stack(expected[1:]))
        np.testing.assert_allclose(other[0], expected[0], 1e-12)


def test_turning_and_mirroring_both_maps_changes_nothing() -> None:
    for seed in range(20):
        truth, prediction, *known = random_ids(seed)
        expected = of_ids((truth, prediction, *known)).counts
        for move in (np.transpose, np.flipud, np.rot90):
            found = of_ids((move(truth), move(prediction), *known)).counts
            np.testing.assert_allclose(np.stack(found), np.stack(expected), 1e-12)


def test_merging_two_halves_gives_the_whole_set() -> None:
    images = [random_ids(seed) for seed in range(30)]
    first, second, whole = of_ids(*images[:13]), of_ids(*images[13:]), of_ids(*images)
    first.merge(second)
    for found, expected in zip(first.counts, whole.counts, strict=True):
        np.testing.assert_allclose(found, expected, 1e-12)
    with pytest.raises(DejavuError, match="equal classes"):
        first.merge(PanopticQuality(THINGS[::-1] + (True,)))
    with pytest.raises(DejavuError, match="equal classes"):
        first.merge(PanopticQuality([not thing for thing in THINGS]))


def test_nothing_of_an_image_is_kept() -> None:
    quality = of_ids(random_ids(0))
    before = len(pickle.dumps(quality))
    for seed in range(1, 10):
        quality.update_ids(*random_ids(seed))
    assert len(pickle.dumps(quality)) == before


def test_more_segments_than_codes_have_numbers_for() -> None:
    """400 segments of one class, and ids beyond three bytes."""
    ids = np.arange(400).reshape(20, 20) + LARGEST - 399
    known = {id_: Segment(1) for id_ in ids.ravel().tolist()}
    found = of_ids((ids, np.roll(ids, 1), known, known)).compute()["classes"]["1"]
    assert (found["tp"], found["fp"], found["fn"], found["pq"]) == (400, 0, 0, 100)


def test_segments_without_pixels_do_not_exist() -> None:
    ids, known = np.full((2, 3), 7), {7: Segment(0), 8: Segment(0), 9: Segment(1)}
    found = of_ids((ids, ids, known, known)).compute()["classes"]
    assert [found[name][key] for name in "01" for key in ("tp", "fp", "fn")] == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_the_type_of_integers_does_not_matter(kind: type) -> None:
    truth, prediction = row((A, 5), (VOID, 6), (OTHER, 1)), row((OTHER, 1), (A, 10), (OTHER, 1))
    assert of_codes(truth.astype(kind), prediction.astype(kind)) == of_codes(truth, prediction)


def test_pairs_of_maps_with_no_two_equal_neighbours() -> None:
    """The most runs there can be, and areas that are counted by another way."""
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 9, (2, 90, 70))
    table = np.zeros((9, 9), int)
    np.add.at(table, (truth, prediction), 1)
    first, second, pixels = overlaps(truth, prediction)
    assert pixels.dtype == np.int64
    found = np.zeros_like(table)
    found[first, second] = pixels
    np.testing.assert_array_equal(found, table)


def test_an_image_without_pixels_counts_nothing() -> None:
    quality = PanopticQuality(THINGS)
    quality.update(np.zeros((0, 5), np.uint16), np.zeros((0, 5), np.uint16))
    with pytest.raises(DejavuError, match="nothing was scored"):
        quality.compute()


def test_an_empty_set_has_no_score() -> None:
    with pytest.raises(DejavuError, match="nothing was scored"):
        of_codes(row((VOID, 4)), row((VOID, 4)))


@pytest.mark.parametrize(
    ("truth", "prediction", "says"),
    [
        (
            row((thing(0, 5), 4)),
            row((A, 4)),
            "the ground truth has a segment of class 5, but a class is 0..4",
        ),
        (row((A, 4)), row((VOID - 1, 4)), "the prediction has a segment of class 255"),
        (row((A, 4)), row((VOID + 1, 4)), "the prediction has a segment of class 256"),
        (row((A, 4)), row((-1, 4)), "the prediction holds -1 to -1, and 0 to 2147483647"),
        (row((A, 4)), row((A, 4)) * 1.0, "the prediction has type float64"),
        (row((A, 4)), row((A, 5)), r"the prediction's shape \(1, 5\) differs"),
        (row((A, 4))[0], row((A, 4))[0], r"a panoptic map is \(H, W\)"),
    ],
)
def test_bad_maps_are_refused(truth: np.ndarray, prediction: np.ndarray, says: str) -> None:
    with pytest.raises(DejavuError, match=says) as raised:
        of_codes(truth, prediction)
    assert "\n" not in str(raised.value)


def test_bad_ids_are_refused() -> None:
    ids, known = np.full((2, 3), 7), {7: Segment(0)}
    with pytest.raises(DejavuError, match="the prediction has a segment of class 9"):
        of_ids((ids, ids, known, {7: Segment(9)}))
    with pytest.raises(DejavuError, match=r"a map of segment ids is \(H, W\), not \(1, 2, 3\)"):
        of_ids((ids[None], ids[None], known, known))


def test_classes_must_be_told_apart_and_be_things_or_not() -> None:
    with pytest.raises(DejavuError, match="different class names"):
        PanopticQuality([True, False], ["car", "car"])
    with pytest.raises(DejavuError, match="different class names"):
        PanopticQuality([])
    with pytest.raises(DejavuError, match="'things' needs a value for each of 2 classes, not 0"):
        collect("panoptic", ["car", "sky"])


def test_collect_makes_it_with_names() -> None:
    metrics = collect("panoptic", ["car", "sky"], things=[True, False])
    metrics.update([[0, 1, 256]], [[0, 0, 256]])
    found = metrics.compute()
    assert found["classes"]["sky"]["pq"] == found["pq_st"] == 100
    assert set(found) - {"classes"} == {key for key, metric in METRICS.items() if metric.task == "panoptic"}
