"""Surface normals: the direction that the surface in every pixel faces.

Targets are unit vectors (N, 3, H, W), the 0-vector is unknown; predictions are vectors (N, 3, h, w) of any
length. Axes: dejavu/datasets/formats/normals.py.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..compute.processes import across
from .resampling import Crop, enlarge, nearest
from .task import Prediction, Task


class Normals(Task):
    """Mean of 1 - cosine; the condition is unit vectors."""

    def from_array(self, stored: Tensor) -> Tensor:
        """(..., H, W, 3) -> (..., 3, H, W), float32."""
        return stored.float().movedim(-1, -3)

    def crop(self, target: Tensor, crop: Crop, ignore_index: int) -> Tensor:
        """Invert x of the normals in flipped images."""
        normals = nearest(target, crop)
        return torch.cat([normals[:, :1] * crop.mirror[:, None, None, None], normals[:, 1:]], 1)

    def compare(self, maps: Tensor, target: Tensor, ignore_index: int, weight: Tensor | None) -> Tensor:
        return normals_loss(maps, target)

    def random_target(
        self, classes: int, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        return F.normalize(torch.randn(count, 3, *size, generator=generator), dim=1)

    def condition(self, prediction: Prediction, plain: bool, depth_range: tuple[float, float]) -> Tensor:
        assert isinstance(prediction, Tensor)
        return prediction if plain else F.normalize(prediction, dim=1, eps=1e-6)

    def disagreement(self, prediction: Tensor, expected: Tensor) -> Tensor:
        """1 - cosine between vectors of any length."""
        return (1 - F.cosine_similarity(prediction, expected, dim=1, eps=1e-6)).mean()

    def consistency_prediction(self, prediction: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Unit vectors, moved from [-1, 1] to [0, 1]."""
        return (F.normalize(prediction.float(), dim=1, eps=1e-6) + 1) / 2

    def consistency_target(self, target: Tensor, channels: int) -> Tensor:
        """Map normals from [-1, 1] to [0, 1]; unknown ones become 0.5."""
        return (target.float() + 1) / 2

    def finish(self, maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
        full = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=align_corners)
        return F.normalize(full, dim=1, eps=1e-6).permute(0, 2, 3, 1)

    def to_png(self, array: np.ndarray, predicted: bool) -> np.ndarray:
        """8-bit RGB, n = v / 127.5 - 1."""
        return np.rint((array.astype(np.float32) + 1) * 127.5).clip(0, 255).astype(np.uint8)


TASK = Normals(
    name="normals",
    title="surface normals",
    array="normals",
    dtype="float16",
    item=(3,),
    channels=3,
    keys=("out", "normals", "logits"),
    metrics={
        "normal_merr": ("normals error", "°", False, 2),
        "normal_median": ("median normals error", "°", False, 2),
        "normal_within_11": ("normals within 11.25°", "%", True, 2),
        "normal_within_22": ("normals within 22.5°", "%", True, 2),
        "normal_within_30": ("normals within 30°", "%", True, 2),
    },
)


def normals_loss(prediction: Tensor, normals: Tensor) -> Tensor:
    """Mean of 1 - cosine over the pixels of known normals, as in MTAN's protocol up to a constant.

    prediction (N, 3, h, w) of any length, upsampled bilinearly; normals (N, 3, H, W), 0 is unknown.
    """
    full = enlarge(prediction, normals)
    valid = normals.square().sum(1) > 0.25  # they are unit vectors or 0
    cosine = (F.normalize(full, dim=1, eps=1e-6) * normals).sum(1)
    return ((1 - cosine) * valid).sum() / across(valid.sum())
