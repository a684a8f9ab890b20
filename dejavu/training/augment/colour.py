"""Photometric distortion: brightness, contrast, saturation and hue, drawn for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from ...compute.random import rows

if TYPE_CHECKING:
    from ...config import Photometric


@overload
def distort(images: Tensor, amounts: Photometric, generator: torch.Generator) -> Tensor: ...
@overload
def distort(images: Sequence[Tensor], amounts: Photometric, generator: torch.Generator) -> list[Tensor]: ...
def distort(
    images: Tensor | Sequence[Tensor], amounts: Photometric, generator: torch.Generator
) -> Tensor | list[Tensor]:
    """Images (N, H, W, 3), or N of (H, W, 3), from 0 to 255 -> float32 of the same shapes, 0 to 255.

    Each of the four changes is made with the same probability. Contrast comes second or last, with equal
    chances, as in mmseg's PhotoMetricDistortion; unlike there, nothing is rounded in between. Random numbers
    come from a CPU `generator`: nine for each image.
    """
    draws = rows(len(images), 9, generator=generator, dtype=torch.float64)
    changed = [_distort(image, amounts, draw.tolist()) for image, draw in zip(images, draws, strict=True)]
    return torch.stack(changed) if isinstance(images, Tensor) else changed


def _distort(image: Tensor, amounts: Photometric, draw: list[float]) -> Tensor:
    """One image (H, W, 3); draws: four coins, four amounts, and one coin for contrast last."""
    pixels = image.permute(2, 0, 1).float() / 255  # (3, H, W)
    order = ["brightness", "contrast", "saturation", "hue"]
    coins = dict(zip(order, draw[:4], strict=True))
    draws = dict(zip(order, draw[4:8], strict=True))
    if draw[8] < 0.5:
        order.append(order.pop(1))
    for name in order:
        amount = (2 * draws[name] - 1) * getattr(amounts, name)
        if amount != 0 and coins[name] < amounts.probability:
            pixels = CHANGES[name](pixels, amount).clamp(0, 1)
    return (pixels * 255).permute(1, 2, 0)


def _brightness(pixels: Tensor, amount: float) -> Tensor:
    return pixels + amount


def _contrast(pixels: Tensor, amount: float) -> Tensor:
    """Scale the values around black, not around the mean."""
    return pixels * (1 + amount)


def _saturation(pixels: Tensor, amount: float) -> Tensor:
    """Multiply the S of HSV, at most up to 1. (torchvision blends with grey of the same luminance.)"""
    value = pixels.amax(0)  # (H, W), the V of HSV, which stays
    chroma = value - pixels.amin(0)
    largest = (value / chroma).nan_to_num(nan=0.0)  # black has no chroma to be multiplied
    return value - largest.clamp(max=1 + amount) * (value - pixels)


def _hue(pixels: Tensor, amount: float) -> Tensor:
    from torchvision.transforms.functional import adjust_hue

    turned: Tensor = adjust_hue(pixels, (amount + 0.5) % 1 - 0.5)
    return turned


CHANGES = {"brightness": _brightness, "contrast": _contrast, "saturation": _saturation, "hue": _hue}
