"""Images, targets and predictions at other sizes."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Crop(NamedTuple):
    """How the crops of a batch are taken out of its images: scaled, moved and mirrored."""

    grid: Tensor
    """(N, h, w, 2), the point of the image that each pixel of the crop shows, in [-1, 1]"""
    scale: Tensor
    """(N,), how much each image is magnified"""
    mirror: Tensor
    """(N,), -1 where the image is flipped, else 1"""


def nearest(maps: Tensor, crop: Crop) -> Tensor:
    """Crops (N, C, h, w) of maps (N, C, H, W), 0 outside: no value is blended with its neighbour's."""
    return F.grid_sample(maps, crop.grid, mode="nearest", padding_mode="zeros", align_corners=False)


def nearest_labels(labels: Tensor, crop: Crop, outside: int) -> Tensor:
    """Crops (N, h, w) int64 of labels (N, H, W), with the value `outside` beyond the image."""
    shifted = labels.unsqueeze(1).float() - outside  # grid_sample pads with 0: let that mean outside
    return (nearest(shifted, crop).squeeze(1) + outside).long()


def enlarge(maps: Tensor, like: Tensor, align_corners: bool = False) -> Tensor:
    """Maps (N, C, h, w) at the size of `like` (..., H, W), bilinearly: (N, C, H, W)."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=align_corners)
