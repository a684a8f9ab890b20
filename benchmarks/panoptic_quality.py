"""How fast the counts of panoptic quality are made, against the forms that first come to mind.

    python benchmarks/panoptic_quality.py [--size 480 640] [--segments 30] [--classes 133]
                                          [--images 5000] [--repeat 5]

The default is COCO val2017 with many segments. The forms take turns, and of each the fastest pass over a few
images is scaled up to the whole set. All forms must count the same, or the script stops.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from dejavu.metrics.panoptic import PanopticQuality
from dejavu.tasks.segments import CROWD, VOID, Segment, classes_of, encode, is_crowd

SAMPLE = 3
Pair = tuple[np.ndarray, np.ndarray]
Form = Callable[[list[Pair], int], np.ndarray]
"""Pairs of codes (H, W), ground truth and prediction, and the classes -> sum of IoU, tp, fp, fn (4, C)."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--segments", type=int, default=30, help="in each map")
    parser.add_argument("--classes", type=int, default=133)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    pairs = [
        make_pair(tuple(arguments.size), arguments.segments, arguments.classes, seed)
        for seed in range(SAMPLE)
    ]
    best = interleaved(pairs, arguments.classes, arguments.repeat)
    height, width = arguments.size
    print(f"{arguments.images} images of {height}x{width}, {arguments.segments} segments in each map")
    print(f"numpy {np.__version__}, Python {sys.version.split()[0]}\n")
    print("| form | ms an image | seconds a set | loop / form |\n|---|---|---|---|")
    slowest = best["one mask a segment (loop)"]
    for name, seconds in best.items():
        each = seconds / len(pairs)
        print(f"| {name} | {1000 * each:.2f} | {each * arguments.images:.1f} | {slowest / seconds:.1f} |")


def make_pair(size: tuple[int, int], segments: int, classes: int, seed: int) -> Pair:
    """Smooth areas, one void and one a crowd; a prediction that misses them by a few pixels."""
    rng = np.random.default_rng(seed)
    scale = (size[0] * size[1] / segments) ** 0.5 / 3
    noise = rng.standard_normal((segments + 1, *size), np.float32)
    ids = ndimage.gaussian_filter(noise, (0, scale, scale)).argmax(0)  # 0: void
    known = {id_: Segment(int(rng.integers(0, min(classes, 8)))) for id_ in range(1, segments + 1)}
    truth = encode(ids, known | {1: Segment(0, crowd=True)})
    guess = np.roll(ids, (3, 5), (0, 1))
    return truth, encode(np.where(guess == 0, 2, guess), known)


def by_loop(pairs: list[Pair], classes: int) -> np.ndarray:
    """A mask of the whole image for each segment, and for each pair of segments of a class."""
    counts = np.zeros((4, classes))
    for truth, guess in pairs:
        void, found = truth == VOID, set()
        segments = {code: truth == code for code in np.unique(truth).tolist() if code != VOID}
        for code in np.unique(guess).tolist():
            if code == VOID:
                continue
            mask, category = guess == code, code // 256
            hit, excused = False, (mask & void).sum()
            for other, segment in segments.items():
                if other // 256 != category:
                    continue
                shared = (mask & segment).sum()
                if other % 256 == CROWD:
                    excused += shared
                    continue
                iou = shared / ((mask | segment) & ~(mask & void)).sum()
                if iou > 0.5:
                    hit = True
                    found.add(other)
                    counts[:2, category] += iou, 1
            counts[2, category] += not hit and excused / mask.sum() <= 0.5
        for other in segments:
            counts[3, other // 256] += other % 256 != CROWD and other not in found
    return counts


def by_unique(pairs: list[Pair], classes: int) -> np.ndarray:
    """`np.unique` of all pixels' pairs as 64-bit numbers, and Python on the few pairs that there are."""
    counts = np.zeros((4, classes))
    for truth, guess in pairs:
        areas, guess_areas = (
            dict(zip(*(part.tolist() for part in np.unique(codes, return_counts=True)), strict=True))
            for codes in (truth, guess)
        )
        pixels = np.unique(truth.astype(np.uint64) * 65536 + guess, return_counts=True)
        shared = {divmod(int(pair), 65536): int(count) for pair, count in zip(*pixels, strict=True)}
        found, hits = set(), set()
        for (code, other), count in shared.items():
            if code // 256 == other // 256 != 255 and code % 256 != CROWD:
                iou = count / (areas[code] + guess_areas[other] - count - shared.get((VOID, other), 0))
                if iou > 0.5:
                    counts[:2, code // 256] += iou, 1
                    found.add(code)
                    hits.add(other)
        for other, area in guess_areas.items():
            crowd = other // 256 * 256 + CROWD
            excused = shared.get((VOID, other), 0) + shared.get((crowd, other), 0)
            if other != VOID and other not in hits:
                counts[2, other // 256] += excused / area <= 0.5
        for code in areas:
            counts[3, code // 256 % 255] += code != VOID and code % 256 != CROWD and code not in found
    return counts


def by_ours(pairs: list[Pair], classes: int) -> np.ndarray:
    quality = PanopticQuality([True] * classes)
    for pair in pairs:
        quality.update(*pair)
    return np.stack(quality.counts)


def by_ids(pairs: list[Pair], classes: int) -> np.ndarray:
    """The form of `dejavu score panoptic`: 32-bit ids and lists of segments, which are not timed."""
    quality = PanopticQuality([True] * classes)
    for truth, guess in pairs:
        quality.update_ids(truth, guess, *(LISTS[id(codes)] for codes in (truth, guess)))
    return np.stack(quality.counts)


LISTS: dict[int, dict[int, Segment]] = {}
FORMS: dict[str, Form] = {
    "ours, of codes": by_ours,
    "ours, of ids as COCO has them": by_ids,
    "`np.unique` of all pixels": by_unique,
    "one mask a segment (loop)": by_loop,
}


def interleaved(pairs: list[Pair], classes: int, repeat: int) -> dict[str, float]:
    """Seconds of the fastest pass of each form. Raises AssertionError where two forms disagree."""
    wide = [(truth.astype(np.int32), guess.astype(np.int32)) for truth, guess in pairs]
    for codes in (codes for pair in wide for codes in pair):
        present = np.unique(codes[codes != VOID])
        described = zip(classes_of(present).tolist(), is_crowd(present).tolist(), strict=True)
        LISTS[id(codes)] = dict(zip(present.tolist(), (Segment(*each) for each in described), strict=True))
    best = dict.fromkeys(FORMS, float("inf"))
    results = {}
    for _ in range(repeat):
        for name, form in FORMS.items():
            given = wide if form is by_ids else pairs
            began = time.perf_counter()
            results[name] = form(given, classes)
            best[name] = min(best[name], time.perf_counter() - began)
    for name, found in results.items():
        np.testing.assert_array_equal(found[1:], results["one mask a segment (loop)"][1:], name)
        np.testing.assert_allclose(found[0], results["one mask a segment (loop)"][0], 1e-12, err_msg=name)
    return best


if __name__ == "__main__":
    main()
