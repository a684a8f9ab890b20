"""Normalisation of images: zero mean and unit variance by ImageNet's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

# ImageNet's, which every backbone here was published with. Zero is the mean pixel after normalisation.
MEAN = (0.485, 0.456, 0.406)


STD = (0.229, 0.224, 0.225)


@overload
def normalise(images: Tensor) -> Tensor: ...


@overload
def normalise(images: Sequence[Tensor]) -> list[Tensor]: ...


def normalise(images: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """0 to 255, (N, H, W, 3) -> float32 (N, 3, H, W), zero mean and unit variance, channels-last in memory.

    A list of images (H, W, 3) of different sizes becomes a list of (3, H, W).
    """
    if not isinstance(images, Tensor):
        return [normalise(image[None])[0] for image in images]
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)  # the permuted view is channels-last: no copy


def denormalise(images: Tensor) -> Tensor:
    """Invert `normalise`: float (N, 3, H, W) -> uint8 (N, H, W, 3)."""
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return (images.float().permute(0, 2, 3, 1) * std + mean).round().clamp(0, 255).to(torch.uint8)
