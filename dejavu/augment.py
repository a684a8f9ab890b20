"""Scale, crop and flip, on the batch: one resampling for all three, on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# ImageNet's, which every backbone here was published with. Zero is the mean pixel after normalisation.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W), zero mean and unit variance, channels-last in memory."""
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)  # the permuted view is channels-last: no copy


def denormalise(images: Tensor) -> Tensor:
    """The inverse of `normalise`: float (N, 3, H, W) -> uint8 (N, H, W, 3)."""
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return (images.float().permute(0, 2, 3, 1) * std + mean).round().clamp(0, 255).to(torch.uint8)


def augment(
    images: Tensor,
    target: Tensor,
    *,
    task: str = "semantic",
    crop: tuple[int, int],
    scale_range: tuple[float, float],
    flip: bool,
    ignore_index: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Random scale, random crop and random horizontal flip, drawn for each image.

    images (N, 3, H, W) float and the task's target: labels (N, H, W) integer, depth (N, H, W) or normals
    (N, 3, H, W) -> the same at the size of `crop`. What lies outside the image is 0 (the mean pixel) and
    `ignore_index` or 0 (unknown). An image that is magnified shows things nearer: depth is divided by the
    scale. Flipped normals point the other way in x. Random numbers come from a CPU `generator`, so that they
    are the same on every device.
    """
    size = (images.shape[-2], images.shape[-1])
    theta, scale = _windows(len(images), size, crop, scale_range, flip, generator)  # (N, 2, 3), (N,)
    theta, scale = theta.to(images.device), scale.to(images.device)
    grid = F.affine_grid(theta, [len(images), 1, *crop], align_corners=False)  # (N, h, w, 2)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if task == "semantic":
        # grid_sample pads with 0: shift the labels so that 0 means ignored.
        shifted = target.unsqueeze(1).float() - ignore_index
        return sampled, (_nearest(shifted, grid).squeeze(1) + ignore_index).long()
    if task == "depth":
        return sampled, _nearest(target.unsqueeze(1), grid).squeeze(1) / scale[:, None, None]
    normals = _nearest(target, grid)
    mirrored = theta[:, 0, 0].sign()  # -1 where the image was flipped
    return sampled, torch.cat([normals[:, :1] * mirrored[:, None, None, None], normals[:, 1:]], 1)


def _nearest(maps: Tensor, grid: Tensor) -> Tensor:
    """Targets are never blended: between two depths or classes there is nothing."""
    return F.grid_sample(maps, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _windows(
    count: int,
    size: tuple[int, int],
    crop: tuple[int, int],
    scale_range: tuple[float, float],
    flip: bool,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Affine maps (N, 2, 3) from the crop's coordinates to the image's, both in [-1, 1], and scales (N,)."""
    draw = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    low, high = scale_range
    scale = low + (high - low) * draw[:, 0]
    theta = torch.zeros(count, 2, 3, dtype=torch.float64)
    for axis, place in ((1, draw[:, 1]), (0, draw[:, 2])):  # rows, then columns
        extent = crop[1 - axis] if axis == 0 else crop[0]
        full = size[1 - axis] if axis == 0 else size[0]
        share = extent / (scale * full)  # the window's share of the image; above 1 there is padding
        start = place * (1 - share)  # from 0 to 1 - share, and from 1 - share to 0 where that is negative
        theta[:, axis, axis] = share
        theta[:, axis, 2] = share + 2 * start - 1
    if flip:
        theta[:, 0, 0] *= torch.where(draw[:, 3] < 0.5, -1.0, 1.0)
    return theta.float(), scale.float()
