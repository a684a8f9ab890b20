"""The DejaVu loss, and the schedule of its weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import DejavuError, nearest
from .redaction import remove

DISTANCES = {"l1": F.l1_loss, "mse": F.mse_loss}


def removed_pixels(images: Tensor, mask: Tensor) -> Tensor:
    """The images (N, C, H, W) under a spatial mask (N, 1, H, W), 0 elsewhere."""
    return remove(images, ~mask)


def dejavu_loss(
    regenerated: Sequence[Tensor],
    image: Tensor,
    kind: str = "l1",
    mask: Tensor | None = None,
    part: Callable[[Tensor, Tensor], Tensor] = removed_pixels,
    share: Tensor | None = None,
) -> Tensor:
    """How far the regenerated images are from the image: the mean over steps, pixels and channels.

    Args:
        regenerated: every step's image, each (N, C, H, W); CRM-F has one step.
        image: what was to be regenerated, (N, C, H, W).
        kind: "l1" or "mse".
        mask: what was removed, 1 is removed: compare that only. None compares everything.
        part: (images, mask) -> what the mask takes from images, linearly: pixels (N, 1, H, W), or the
            `part` of a spectral redaction, whose mask is one of frequencies.
        share: of the pixels that were removed: the mean is taken over these. None is the mask's own where
            it is one of pixels, and all where it is one of frequencies, whose error lies in every pixel.

    Raises:
        DejavuError: an unknown kind, or no step.

    >>> image = torch.zeros(1, 3, 2, 2)
    >>> dejavu_loss([image + 1, image + 3], image)
    tensor(2.)
    """
    if kind not in DISTANCES:
        raise DejavuError(f"loss: unknown kind {kind!r}, {nearest(kind, DISTANCES)}")
    if not regenerated:
        raise DejavuError("the DejaVu loss needs at least one regenerated image")
    distance = DISTANCES[kind]
    if mask is None:
        return torch.stack([distance(step, image) for step in regenerated]).mean()
    # A part is linear, so the parts' difference is the difference's part.
    parts = [part(step - image, mask) for step in regenerated]
    if share is None and part is removed_pixels:
        share = mask.float().mean()
    mean = torch.stack([distance(value, torch.zeros_like(value)) for value in parts]).mean()
    return mean if share is None else mean / share.clamp(min=1 / image[:, :1].numel())


def gamma_at(step: float, total_steps: float, gamma: float, warmup: float = 0.0) -> float:
    """The DejaVu loss' weight at a step: a linear rise from 0 over the first `warmup` of the training.

    >>> [gamma_at(step, 100, gamma=0.3, warmup=0.2) for step in (0, 10, 20, 99)]
    [0.0, 0.15, 0.3, 0.3]
    """
    ramp = warmup * total_steps
    return gamma if step >= ramp else gamma * step / ramp
