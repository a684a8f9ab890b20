"""Monocular depth: the distance along the camera's axis of every pixel.

Targets are metres (N, H, W), 0 is unknown; predictions are metres (N, 1, h, w), or (N, h, w).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..compute.processes import across
from .resampling import Crop, enlarge, nearest
from .task import Prediction, Task

PNG_SCALE = 256
"""of 16-bit depth PNGs: metres = value / 256"""
TINY = 1e-12


class Depth(Task):
    """Mean absolute error in metres; the condition is scaled so that `depth_range` becomes 0 to 1."""

    def read(self, output: Any) -> Prediction:
        prediction = super().read(output)
        assert isinstance(prediction, Tensor)
        return prediction[:, None] if prediction.ndim == 3 else prediction  # transformers has (N, h, w)

    def crop(self, target: Tensor, crop: Crop, ignore_index: int) -> Tensor:
        """Divide depth by the scale: things in a magnified image are nearer."""
        scale = crop.scale.float().to(crop.grid.device)
        return nearest(target.unsqueeze(1), crop).squeeze(1) / scale[:, None, None]

    def compare(self, maps: Tensor, target: Tensor, ignore_index: int, weight: Tensor | None) -> Tensor:
        return depth_loss(maps, target)

    def random_target(
        self, classes: int, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        return 1 + torch.rand(count, *size, generator=generator)

    def condition(self, prediction: Prediction, plain: bool, depth_range: tuple[float, float]) -> Tensor:
        assert isinstance(prediction, Tensor)
        low, high = depth_range
        # Not clamped: there is a gradient beyond the range, too.
        return prediction if plain else (prediction - low) / (high - low)

    def consistency_prediction(self, prediction: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return depth as a share of each image's largest depth.

        >>> TASK.consistency_prediction(torch.tensor([1.0, 4.0]).view(1, 1, 1, 2)).flatten()
        tensor([0.2500, 1.0000])
        """
        return _share_of_largest(prediction.float())

    def consistency_target(self, target: Tensor, channels: int) -> Tensor:
        """Return depth as a share of each image's largest depth; unknown stays 0."""
        return _share_of_largest(target[:, None].float())

    def to_png(self, array: np.ndarray, predicted: bool) -> np.ndarray:
        """16 bits, `PNG_SCALE` a metre. 0 means no depth, which a prediction never is."""
        return np.rint(array * PNG_SCALE).clip(1 if predicted else 0, 65535).astype(np.uint16)


TASK = Depth(
    name="depth",
    title="depth",
    array="depth",
    dtype="float32",
    channels=1,
    keys=("out", "predicted_depth", "depth", "logits"),
    metrics={
        "depth_aerr": ("depth error", "m", False, 4),
        "abs_rel": ("depth abs rel", "", False, 3),
        "sq_rel": ("depth sq rel", "m", False, 3),
        "rmse": ("depth RMSE", "m", False, 3),
        "rmse_log": ("depth RMSE log", "", False, 3),
        "log10": ("depth log10", "", False, 3),
        "delta1": ("delta 1", "", True, 3),
        "delta2": ("delta 2", "", True, 3),
        "delta3": ("delta 3", "", True, 3),
    },
)


def depth_loss(prediction: Tensor, depth: Tensor) -> Tensor:
    """Mean absolute error in metres over the pixels of known depth, as in MTAN's protocol.

    prediction (N, 1, h, w), upsampled bilinearly; depth (N, H, W), 0 is unknown.
    """
    full = enlarge(prediction, depth)[:, 0]
    valid = depth > 0
    return ((full - depth).abs() * valid).sum() / across(valid.sum())


def _share_of_largest(depth: Tensor) -> Tensor:
    """Depth (N, 1, H, W) as a share of each image's largest."""
    return depth / (depth.amax((1, 2, 3), keepdim=True) + TINY)
