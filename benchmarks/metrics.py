"""How fast metrics are counted, against the forms that first come to mind.

    python benchmarks/metrics.py [--size 360 480] [--classes 11] [--images 233] [--repeat 5]

The default is the size of CamVid's test split. The forms take turns, and of each the fastest pass over a few
images is scaled up to the whole set. The slow forms must count the same, or the script stops.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy import ndimage

from dejavu.metrics.boundary import BoundaryIoU, band_width
from dejavu.metrics.semantic import ConfusionMatrix, SemanticMetrics

SAMPLE = 3
Pair = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), metavar=("H", "W"))
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--images", type=int, default=233)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    pairs = [make_pair(tuple(arguments.size), arguments.classes, seed) for seed in range(SAMPLE)]
    forms = make_forms(arguments.classes)
    best = interleaved(forms, pairs, arguments.repeat)
    height, width = arguments.size
    print(f"{arguments.images} images of {height}x{width}, {arguments.classes} classes,", end=" ")
    print(f"a band of {band_width(height, width)} pixels")
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, Python {sys.version.split()[0]}\n")
    print("| form | ms an image | seconds a set |\n|---|---|---|")
    for name, seconds in best.items():
        each = seconds / len(pairs)
        print(f"| {name} | {1000 * each:.2f} | {each * arguments.images:.2f} |")


def make_pair(size: tuple[int, int], classes: int, seed: int) -> Pair:
    """A label of smooth areas with 3 % ignored, and a prediction that misses it by a few pixels."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((classes, *size)), (0, size[0] / 24, size[0] / 24))
    label = noise.argmax(0).astype(np.uint8)
    prediction = np.roll(label, 4, axis=1)
    label[:, : size[1] * 3 // 100] = 255
    return label, prediction


def make_forms(classes: int) -> dict[str, Callable[[list[Pair]], np.ndarray]]:
    """Name -> (pairs -> IoU per class)."""

    def of(kind: type, read: str) -> Callable[[list[Pair]], np.ndarray]:
        def count(pairs: list[Pair]) -> np.ndarray:
            metric = kind(classes)
            for pair in pairs:
                metric.update(*pair)
            values = metric
            for attribute in read.split("."):
                values = getattr(values, attribute)
            return values

        return count

    return {
        "all that `evaluate` reports": of(SemanticMetrics, "regions.iou_per_class"),
        "confusion matrix": of(ConfusionMatrix, "iou_per_class"),
        "confusion matrix, one mask a class": lambda pairs: regions_by_masks(pairs, classes),
        "boundary IoU": of(BoundaryIoU, "iou_per_class"),
        "boundary IoU, scipy erosion of one mask a class": lambda pairs: boundaries_by_erosion(
            pairs, classes
        ),
    }


def regions_by_masks(pairs: list[Pair], classes: int) -> np.ndarray:
    counts = np.zeros((2, classes))
    for label, prediction in pairs:
        known = label != 255
        for c in range(classes):
            truth, guess = label == c, (prediction == c) & known
            counts[:, c] += (truth & guess).sum(), (truth | guess).sum()
    return 100 * counts[0] / counts[1]


def boundaries_by_erosion(pairs: list[Pair], classes: int) -> np.ndarray:
    counts = np.zeros((2, classes))
    for label, prediction in pairs:
        known, width = label != 255, band_width(*label.shape)
        for c in range(classes):
            bands = []
            for values in (label, prediction):
                mask = values == c
                inner = ndimage.binary_erosion(mask | ~known, np.ones((3, 3)), width, border_value=0)
                bands.append(mask & known & ~inner)
            counts[:, c] += (bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()
    return 100 * counts[0] / counts[1]


def interleaved(forms: dict, pairs: list[Pair], repeat: int) -> dict[str, float]:
    """Seconds of the fastest pass of each form. Raises AssertionError where two forms disagree."""
    best = dict.fromkeys(forms, float("inf"))
    results = {}
    for _ in range(repeat):
        for name, form in forms.items():
            began = time.perf_counter()
            results[name] = form(pairs)
            best[name] = min(best[name], time.perf_counter() - began)
    names = list(forms)
    for fast, slow in (names[:2], names[1:3], names[3:5]):
        np.testing.assert_allclose(results[fast], results[slow])
    return best


if __name__ == "__main__":
    main()
