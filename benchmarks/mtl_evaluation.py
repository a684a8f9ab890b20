"""How fast three tasks are measured over NYUD-v2's 654 test frames, against per-image metric loops.

    OMP_NUM_THREADS=1 python benchmarks/mtl_evaluation.py [--size 288 384] [--frames 654] [--repeat 3]

Random predictions of 13 classes, depth and normals. The yardstick is the plainest correct loop: image by
image in torch, a loop over the classes for the confusion matrix, masked depth errors, acos and numpy's
median for normals (as in MTAN's im2im_pred/utils.py), pooled over the set. It measures what MTPSL reports;
so does the same loop with the confusion matrix out of one `bincount`, as MTAN's newer code has it. Ours is
measured twice: for the same metrics, and for all that `dejavu evaluate` reports, which adds accuracies,
boundary mIoU and seven of depth. The forms take turns in blocks of frames; of each the fastest pass counts,
in processor seconds, which other jobs on the machine change least. The forms must agree, or the script
stops.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from dejavu.metrics import collect
from dejavu.metrics.boundary import BoundaryIoU
from dejavu.metrics.depth import DepthMetrics
from dejavu.metrics.normals import NormalMetrics
from dejavu.metrics.semantic import ConfusionMatrix

CLASSES = 13
DISTINCT = 12
"""frames that are made; they come again and again"""
BLOCK = 6 * DISTINCT
Frame = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
TENSOR = {"semantic": torch.int64, "depth": torch.float32, "normals": torch.float32}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(288, 384), metavar=("H", "W"))
    parser.add_argument("--frames", type=int, default=654)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = [make_frame(tuple(arguments.size), seed) for seed in range(DISTINCT)]
    best = {name: float("inf") for name in FORMS}
    for _ in range(arguments.repeat):
        for name, seconds in one_pass(frames, arguments.frames).items():
            best[name] = min(best[name], seconds)
    height, width = arguments.size
    print(f"{arguments.frames} frames of {height}x{width}, {CLASSES} classes")
    print(f"numpy {np.__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}\n")
    print("| form | ms a frame | seconds a set | yardstick / form |\n|---|---|---|---|")
    for name, seconds in best.items():
        each, times = 1000 * seconds / arguments.frames, best[YARDSTICK] / seconds
        print(f"| {name} | {each:.2f} | {seconds:.2f} | {times:.2f} |")


def make_frame(size: tuple[int, int], seed: int) -> Frame:
    """Ground truth as it is stored, with a border and some holes; predictions as a network's."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((CLASSES, *size)), (0, size[0] / 24, size[0] / 24))
    hole = rng.random(size) < 0.02
    hole[:5] = hole[-5:] = True
    labels = smooth.argmax(0).astype(np.uint8)
    guess = np.where(rng.random(size) < 0.2, rng.integers(0, CLASSES, size), np.roll(labels, 4, axis=1))
    depth = (5 + 4 * np.tanh(3 * smooth[0])).astype(np.float32)
    guessed_depth = (depth * rng.uniform(0.7, 1.4, size)).astype(np.float32)
    normals = unit(smooth[:3])
    guessed_normals = unit(normals + 0.4 * rng.standard_normal(normals.shape)).astype(np.float32)
    truth = {
        "semantic": np.where(hole, 255, labels).astype(np.uint8),
        "depth": np.where(hole, np.float32(0), depth),
        "normals": np.moveaxis(np.where(hole, 0, normals), 0, -1).astype(np.float16),
    }
    return truth, {
        "semantic": guess.astype(np.int64),
        "depth": guessed_depth,
        "normals": np.moveaxis(guessed_normals, 0, -1),  # a view, as of a network's output (3, H, W)
    }


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=0)


class Loop:
    """The yardstick: one frame after the other, in torch."""

    def __init__(self) -> None:
        self.matrix = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
        self.absolute = self.relative = self.pixels = 0.0
        self.angles: list[np.ndarray] = []

    def update(self, truth: dict[str, Tensor], guess: dict[str, Tensor]) -> None:
        self.update_matrix(truth["semantic"], guess["semantic"])
        mask = truth["depth"] != 0
        expected, estimate = truth["depth"].masked_select(mask), guess["depth"].masked_select(mask)
        error = torch.abs(expected - estimate)
        self.absolute += error.sum().item()
        self.relative += (error / expected).mean().item()
        self.pixels += mask.sum().item()
        mask = truth["normals"].sum(0) != 0
        cosine = (truth["normals"] * guess["normals"]).sum(0).masked_select(mask)
        self.angles.append(np.degrees(torch.acos(torch.clamp(cosine, -1, 1)).numpy()))

    def update_matrix(self, label: Tensor, predicted: Tensor) -> None:
        for i in range(CLASSES):
            true = label == i
            for j in range(CLASSES):
                self.matrix[i, j] += (true & (predicted == j)).sum()

    def compute(self) -> dict[str, float]:
        pooled, hits = np.concatenate(self.angles), self.matrix.diagonal()
        within = {f"normal_within_{int(limit)}": 100 * np.mean(pooled < limit) for limit in (11.25, 22.5, 30)}
        return within | {
            "miou": 100 * (hits / (self.matrix.sum(0) + self.matrix.sum(1) - hits)).mean().item(),
            "depth_aerr": self.absolute / self.pixels,
            "abs_rel": self.relative / len(self.angles),
            "normal_merr": pooled.mean(dtype=np.float64),
            "normal_median": np.median(pooled),
        }


class LoopWithBincount(Loop):
    """The same, but for the confusion matrix."""

    def update_matrix(self, label: Tensor, predicted: Tensor) -> None:
        known = label < CLASSES
        pairs = CLASSES * label[known] + predicted[known]
        self.matrix += torch.bincount(pairs, minlength=CLASSES**2).reshape(self.matrix.shape)


class Same:
    """Ours, for the metrics of the yardstick (those of depth come together)."""

    def __init__(self) -> None:
        self.regions, self.depth, self.normals = ConfusionMatrix(CLASSES), DepthMetrics(), NormalMetrics()

    def update(self, truth: dict[str, np.ndarray], guess: dict[str, np.ndarray]) -> None:
        self.regions.update(truth["semantic"], guess["semantic"])
        self.depth.update(truth["depth"], guess["depth"])
        self.normals.update(truth["normals"], guess["normals"])

    def compute(self) -> dict[str, float]:
        return {"miou": self.regions.mIoU} | self.depth.compute() | self.normals.compute()


class Part:
    """One metric of ours alone, to see its share."""

    def __init__(self, task: str, metric: Any) -> None:
        self.task, self.metric = task, metric

    def update(self, truth: dict[str, np.ndarray], guess: dict[str, np.ndarray]) -> None:
        self.metric.update(truth[self.task], guess[self.task])

    def compute(self) -> dict[str, float]:
        return self.metric.compute() if hasattr(self.metric, "compute") else {"": self.metric.mIoU}


YARDSTICK = "per-image loop (yardstick)"
FORMS: dict[str, Callable[[], Any]] = {
    YARDSTICK: Loop,
    "the same loop with one `bincount`": LoopWithBincount,
    "ours, the same metrics": Same,
    "ours, all that `evaluate` reports": lambda: collect(TENSOR, [str(n) for n in range(CLASSES)]),
    "- of that the confusion matrix": lambda: Part("semantic", ConfusionMatrix(CLASSES)),
    "- boundary IoU": lambda: Part("semantic", BoundaryIoU(CLASSES)),
    "- depth": lambda: Part("depth", DepthMetrics()),
    "- normals": lambda: Part("normals", NormalMetrics()),
}


def one_pass(frames: list[Frame], count: int) -> dict[str, float]:
    """Seconds of each form for `count` frames. Raises AssertionError where two forms disagree."""
    tensors = [tuple(as_tensors(side) for side in frame) for frame in frames]
    seconds = dict.fromkeys(FORMS, 0.0)
    metrics = {name: make() for name, make in FORMS.items()}
    for start in range(0, count, BLOCK):
        for name, metric in metrics.items():
            given = tensors if isinstance(metric, Loop) else frames
            began = time.process_time()
            for number in range(start, min(start + BLOCK, count)):
                metric.update(*given[number % len(given)])
            seconds[name] += time.process_time() - began
    found = {}
    for name, metric in metrics.items():
        began = time.process_time()
        found[name] = metric.compute()
        seconds[name] += time.process_time() - began
    expected, *others = found.values()
    for other in others[:3]:
        for key, value in expected.items():
            # acos in single precision and normals of 11 bits: neither is exact
            np.testing.assert_allclose(other[key], value, rtol=1e-3, err_msg=key)
    return seconds


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """What MTAN's loop is given: normals (3, H, W)."""
    found = {task: torch.from_numpy(array).to(TENSOR[task]) for task, array in arrays.items()}
    return found | {"normals": found["normals"].movedim(-1, 0).contiguous()}


if __name__ == "__main__":
    main()
