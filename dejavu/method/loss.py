"""The DejaVu loss, and the warm-up of its weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import DejavuError, is_number, nearest
from .redaction import remove

DISTANCES = {"l1": F.l1_loss, "mse": F.mse_loss}


def removed_pixels(images: Tensor, mask: Tensor) -> Tensor:
    """Keep what a spatial mask (N, 1, H, W) removes of images (N, C, H, W); all else becomes 0."""
    return remove(images, ~mask)


def dejavu_loss(
    regenerated: Sequence[Tensor],
    image: Tensor,
    kind: str = "l1",
    mask: Tensor | None = None,
    part: Callable[[Tensor, Tensor], Tensor] = removed_pixels,
    share: Tensor | None = None,
) -> Tensor:
    """Compare regenerated images with the original: the mean distance over steps, pixels and channels.

    Args:
        regenerated: every step's image, each (N, C, H, W); CRM-F has one step.
        image: the original, (N, C, H, W).
        kind: "l1" or "mse".
        mask: 1 is removed: only removed pixels are compared. None compares everything.
        part: (images, mask) -> what the mask removes of the images, a linear function: for pixels the
            default, for frequencies the `part` of the spectral redaction.
        share: share of the pixels that were removed: the mean is taken over these. None takes the mask's
            own share of pixels, and all pixels for a mask of frequencies, whose error lies in every pixel.

    Raises:
        DejavuError: an unknown kind, no step, or one of another shape.

    >>> image = torch.zeros(1, 3, 2, 2)
    >>> dejavu_loss([image + 1, image + 3], image)
    tensor(2.)
    """
    if not isinstance(kind, str) or kind not in DISTANCES:
        raise DejavuError(f"loss: unknown kind {kind!r}, {nearest(str(kind), DISTANCES)}")
    if not regenerated:
        raise DejavuError("the DejaVu loss needs at least one regenerated image")
    for step in regenerated:
        if step.shape != image.shape:
            raise DejavuError(
                f"regenerated images must have the image's shape {tuple(image.shape)}, "
                f"not {tuple(step.shape)}"
            )
    distance = DISTANCES[kind]
    if mask is None:
        return torch.stack([distance(step, image) for step in regenerated]).mean()
    # `part` is linear: the difference of what is removed is what is removed of the difference.
    errors = [part(step - image, mask) for step in regenerated]
    if share is None and part is removed_pixels:
        share = mask.float().mean()
    mean = torch.stack([distance(value, torch.zeros_like(value)) for value in errors]).mean()
    return mean if share is None else mean / share.clamp(min=1 / image[:, :1].numel())


def ramp(progress: float, warmup: float = 0.0) -> float:
    """The warm-up of the weight: a linear rise from 0 to 1 over the first `warmup` of the training.

    Args:
        progress: share of the training that is done, 0 to 1.
        warmup: share of the training that the rise takes.

    >>> [ramp(progress, warmup=0.2) for progress in (0.0, 0.1, 0.2, 0.99)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return 1.0 if progress >= warmup else progress / warmup


def warmup_factor(progress: float | None, warmup: float) -> float:
    """Return the current factor of the warm-up, 0 to 1.

    Raises DejavuError for a progress that is no share, and where a warm-up lacks it.
    """
    if progress is None:
        if warmup:
            raise DejavuError(f"warmup is {warmup}: give regeneration_loss the progress, step / all steps")
        return 1.0
    if isinstance(progress, Tensor) and progress.ndim == 0:
        progress = progress.item()
    if not is_number(progress) or not 0 <= progress <= 1:
        raise DejavuError(
            f"progress must be the share of the training that is done, 0 to 1, not {progress!r}"
        )
    return ramp(progress, warmup)
