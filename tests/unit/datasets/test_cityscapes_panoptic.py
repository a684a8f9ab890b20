"""Cityscapes' panoptic maps: against the official conversion's definition, and PQ counted slowly from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu.datasets import cityscapes, cityscapes_panoptic, labels_of
from dejavu.datasets.scenes import crowds, raw_files
from dejavu.errors import DejavuError
from dejavu.metrics.panoptic import PanopticQuality
from dejavu.tasks.segments import CROWD, VOID, is_crowd

EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
HAVE_INSTANCES = (24, 25, 26, 27, 28, 29, 30, 31, 32, 33)  # of helpers/labels.py; 29 and 30 are not evaluated
SIZE = (64, 128)


def conversion(ids: np.ndarray) -> dict[int, tuple[int, bool, np.ndarray]]:
    """Segments by id as createPanopticImgs defines them: category_id, iscrowd, mask; the rest is void."""
    segments = {}
    for value in sorted({int(value) for value in ids.ravel()}):
        label, crowd = (value, True) if value < 1000 else (value // 1000, False)
        if label in EVALUATED:
            segments[value] = label, crowd and label in HAVE_INSTANCES, ids == value
    return segments


def slow_pq(truth: dict, predicted: dict, shape: tuple[int, int]) -> float:
    """Mean PQ in percent over the categories that occur, by the definition of panopticapi's evaluation."""
    void = np.ones(shape, bool)
    for _, _, mask in truth.values():
        void &= ~mask
    totals: dict[int, list[float]] = {}
    hits: set[int] = set()
    for label, _, mask in predicted.values():
        total = totals.setdefault(label, [0.0, 0, 0, 0])
        hit = False
        for id_, (other, crowd, real) in truth.items():
            if other != label or crowd:
                continue
            iou = (mask & real).sum() / ((mask | real) & ~(mask & void)).sum()
            if iou > 0.5:
                total[0] += iou
                total[1] += 1
                hit = True
                hits.add(id_)
        excused = void.copy()
        for other, crowd, real in truth.values():
            if crowd and other == label:
                excused |= real
        total[2] += not hit and (mask & excused).sum() / mask.sum() <= 0.5
    for id_, (label, crowd, _) in truth.items():
        totals.setdefault(label, [0.0, 0, 0, 0])[3] += not crowd and id_ not in hits
    each = [s / (tp + fp / 2 + fn / 2) for s, tp, fp, fn in totals.values() if tp + fp + fn]
    return 100 * float(np.mean(each))


def random_ids(rng: np.random.Generator) -> np.ndarray:
    """Ids of every kind in the scheme, in squares of 2 pixels and more."""
    things = [label * 1000 + int(rng.integers(4)) for label in HAVE_INSTANCES for _ in range(2)]
    values = rng.choice([*range(34), *things, 24999], int(rng.integers(2, 12)))
    return np.kron(rng.choice(values, (6, 8)), np.ones((2, 2), int)).astype(np.uint16)


def decoded(path: Path, ids: np.ndarray) -> np.ndarray:
    Image.fromarray(ids).save(path)
    codes = cityscapes_panoptic._codes(path)
    np.testing.assert_array_equal(cityscapes_panoptic.decode_label(path), labels_of(codes))
    return codes


def test_segments_are_those_of_the_official_conversion(tmp_path: Path) -> None:
    rng, crowd_seen = np.random.default_rng(0), 0
    for number in range(60):
        ids = random_ids(rng)
        codes = decoded(tmp_path / f"{number}.png", ids)
        expected = conversion(ids)
        covered = np.zeros(ids.shape, bool)
        for label, crowd, mask in expected.values():
            code = np.unique(codes[mask])
            assert len(code) == 1 and (codes == code[0]).sum() == mask.sum()  # one segment, all of it
            assert EVALUATED[code[0] >> 8] == label and ((code[0] & 255) == CROWD) == crowd
            covered |= mask
            crowd_seen += crowd
        assert (codes[~covered] == VOID).all()
    assert crowd_seen > 20


def test_pq_is_that_of_the_definition(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(40):
        truth = random_ids(rng)
        guess = np.roll(truth, 1, axis=int(rng.integers(2)))
        guess = np.where(
            np.isin(guess, [24, 25, 26, 27, 28, 31, 32, 33]), 0, guess
        )  # predictions have no crowds
        things = cityscapes_panoptic.CLASSES.things
        assert things is not None
        quality = PanopticQuality(things)
        real, predicted = (
            decoded(tmp_path / f"{name}{number}.png", i) for name, i in (("t", truth), ("p", guess))
        )
        quality.update(real, predicted)
        expected = slow_pq(conversion(truth), conversion(guess), truth.shape)
        assert quality.compute()["pq"] == pytest.approx(expected, abs=1e-9)


def test_things_and_ids_are_the_official_ones() -> None:
    classes = cityscapes_panoptic.CLASSES
    assert tuple(classes.ids or ()) == EVALUATED
    assert [n for n, thing in zip(classes.names, classes.things or (), strict=True) if thing] == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [34, 255, 999, 7000, 23001, 34000, 65535])
def test_ids_outside_the_scheme_are_refused(tmp_path: Path, value: int) -> None:
    with pytest.raises(
        DejavuError, match=f"ids.png cannot be read: it has the value {value}, and an instance"
    ):
        decoded(tmp_path / "ids.png", np.array([[7, value]], np.uint16))


def test_label_ids_in_their_stead_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="is 8-bit grey, and 16-bit grey is needed"):
        decoded(tmp_path / "ids.png", np.array([[7, 24]], np.uint8))


def test_rendered_scenes_have_things_and_crowds_and_the_labels_of_cityscapes(tmp_path: Path) -> None:
    raw_files.write_cityscapes(tmp_path, 7, SIZE, {"train": 12, "val": 1})
    with_crowd, things = 0, 0
    pairs = cityscapes_panoptic.pairs(tmp_path, "train")
    for pair, plain in zip(pairs, cityscapes.pairs(tmp_path, "train"), strict=True):
        assert (pair.name, pair.image) == (plain.name, plain.image)
        codes = cityscapes_panoptic.decode_panoptic(pair)
        labels, crowd = cityscapes.decode_label(plain.label), is_crowd(codes)
        np.testing.assert_array_equal((codes >> 8)[~crowd], labels[~crowd])
        scene = raw_files.render(7, int(pair.name.split("_")[1]), SIZE)
        np.testing.assert_array_equal(crowd, crowds.crowded(scene))
        for code in np.unique(codes[(labels < 255) & (labels > 10) & ~crowd]):
            assert len(np.unique(scene.instance[codes == code])) == 1  # one segment is one thing
            things += 1
        with_crowd += bool(crowd.any())
    assert things > 20 and with_crowd
    assert not cityscapes_panoptic.DATASET.left_out(
        tmp_path, pairs + cityscapes_panoptic.pairs(tmp_path, "val")
    )
