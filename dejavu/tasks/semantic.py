"""Semantic segmentation: a class for every pixel.

Targets are class ids (N, H, W), where the dataset's `ignore_index` (255) is unknown; predictions are logits
(N, K, h, w). In the method they may be anything that activation.py knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..compute.processes import across
from .activation import divergence, probabilities, two_classes
from .resampling import Crop, enlarge, nearest_labels
from .task import Prediction, Task

CLASSES_AT_ONCE = 32  # that are enlarged together: 150 classes of a large photograph would take gigabytes


@dataclass(frozen=True)
class Semantic(Task):
    """Cross-entropy; the condition is the classes' probabilities."""

    activation: str = "softmax"
    """of a prediction that the method reads"""

    def crop(self, target: Tensor, crop: Crop, ignore_index: int) -> Tensor:
        return nearest_labels(target, crop, ignore_index)

    def class_ids(self, target: Tensor) -> Tensor:
        return target

    def compare(self, maps: Tensor, target: Tensor, ignore_index: int, weight: Tensor | None) -> Tensor:
        return semantic_loss(maps, target, ignore_index, weight)

    def random_target(
        self, classes: int, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        """Squares of classes, as large as things are."""
        squares = torch.randint(classes, (count, 1, 8, 8), generator=generator).float()
        return F.interpolate(squares, size, mode="nearest")[:, 0].long()

    def condition(self, prediction: Prediction, plain: bool, depth_range: tuple[float, float]) -> Tensor:
        assert isinstance(prediction, Tensor)
        if prediction.shape[1] > 1:
            return prediction if plain else probabilities(prediction, self.activation)
        pair = two_classes(prediction, self.activation)
        return pair if plain else probabilities(pair, self._of_pair)

    def condition_channels(self, channels: int) -> int:
        """One channel predicts the second of two classes."""
        return max(channels, 2)

    def disagreement(self, prediction: Tensor, expected: Tensor) -> Tensor:
        """KL(expected || prediction)."""
        if prediction.shape[1] > 1:
            return divergence(prediction, expected, self.activation)
        pairs = [two_classes(values, self.activation) for values in (prediction, expected)]
        return divergence(pairs[0], pairs[1], self._of_pair)

    @property
    def _of_pair(self) -> str:
        """The activation of the two classes that one channel stands for."""
        return "none" if self.activation == "none" else "softmax"

    def consistency_prediction(self, prediction: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One-hot classes, drawn by their probabilities."""
        return drawn(prediction.float(), generator)

    def consistency_target(self, target: Tensor, channels: int) -> Tensor:
        """One-hot classes; ids that are no class become 0 in all channels."""
        return one_hot(target, channels)

    def finish(self, maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
        return class_maps(maps, size, align_corners)

    def to_png(self, array: np.ndarray, predicted: bool) -> np.ndarray:
        return array.astype(np.uint8)


TASK = Semantic(
    name="semantic",
    title="segmentation",
    array="labels",
    dtype="uint8",
    unknown=None,
    keys=("out", "logits", "semantic"),
    metrics={
        "miou": ("mIoU", "%", True, 2),
        "boundary_miou": ("boundary mIoU", "%", True, 2),
        "pixel_accuracy": ("pixel accuracy", "%", True, 2),
        "mean_accuracy": ("mean class accuracy", "%", True, 2),
    },
)


def semantic_loss(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = 255,
    weight: Tensor | None = None,
    align_corners: bool = False,
) -> Tensor:
    """Cross-entropy at the labels' resolution.

    logits (N, K, h, w) are upsampled bilinearly to the size of labels (N, H, W), as HRNet's recipe does.
    A batch with every pixel ignored costs 0, where torch's mean would be NaN.
    """
    return cross_entropy(enlarge(logits, labels, align_corners), labels, ignore_index, weight)


def cross_entropy(
    logits: Tensor, labels: Tensor, ignore_index: int = 255, weight: Tensor | None = None
) -> Tensor:
    """Mean over the pixels that are not ignored, weighted by their class; 0 where there are none.

    logits (N, K, H, W), labels (N, H, W), weight (K,).
    """
    total = F.cross_entropy(logits, labels, weight=weight, ignore_index=ignore_index, reduction="sum")
    valid = labels != ignore_index
    if weight is None:
        return total / across(valid.sum())
    return total / across((weight[labels.where(valid, 0)] * valid).sum(), torch.finfo(weight.dtype).tiny)


def class_maps(logits: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """logits or probabilities (N, K, h, w) -> the most likely class of every pixel (N, H, W), uint8."""
    best: Tensor | None = None
    for first in range(0, logits.shape[1], CLASSES_AT_ONCE):
        some = logits[:, first : first + CLASSES_AT_ONCE]
        largest, number = F.interpolate(some, size=size, mode="bilinear", align_corners=align_corners).max(1)
        if best is None:
            best, classes = largest, number
        else:  # a tie goes to the first, as in argmax
            classes = torch.where(largest > best, number + first, classes)
            best = torch.maximum(best, largest)
    return classes.to(torch.uint8)


def drawn(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Classes drawn by their probabilities, one-hot; the gradient is that of the Gumbel-softmax at 1.

    Jang et al. 2017, "hard": forward a sample, backward its relaxation. The noise is drawn on the
    generator's device (without one, the CPU), so that the network's device changes nothing.

    logits (N, K, H, W) -> (N, K, H, W).
    """
    device = "cpu" if generator is None else generator.device
    waits = torch.empty(logits.shape, device=device).exponential_(generator=generator)
    noise = -waits.clamp_(min=torch.finfo(waits.dtype).tiny).log_()  # Gumbel(0, 1)
    soft = (logits + noise.to(logits.device)).softmax(1)
    return one_hot(soft.argmax(1), logits.shape[1]) + (soft - soft.detach())


def one_hot(ids: Tensor, count: int) -> Tensor:
    """Class ids (N, H, W) -> (N, count, H, W); ids beyond the classes are 0 everywhere."""
    return (ids[:, None] == torch.arange(count, device=ids.device).view(1, -1, 1, 1)).float()
