"""Base of all redactions: a mask, and the projection onto what it removes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from ...compute.processes import rank
from ...compute.random import rows
from ...errors import DejavuError

MANY = 2**14  # number of choices above which drawing with replacement is faster than sorting


class Redacted(NamedTuple):
    """A redacted batch."""

    images: Tensor  # (N, C, H, W), of the input's dtype
    mask: Tensor  # bool, True is removed: (N, 1, H, W) over pixels, or (N or 1, 1, H, W) over frequencies


class Redaction(ABC):
    """Base of all redactions."""

    @abstractmethod
    def mask(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a mask (N or 1, 1, H, W) for images (N, C, H, W), bool, on their device."""

    @abstractmethod
    def part(self, images: Tensor, mask: Tensor) -> Tensor:
        """Keep what the mask removes of images (N, C, H, W): a linear, self-adjoint projection.

        The images need not be those that the mask was drawn for. For a redacted image the result is 0.
        """

    @abstractmethod
    def rest(self, images: Tensor, mask: Tensor) -> Tensor:
        """Keep what the mask leaves of images (N, C, H, W): images - part, up to rounding."""

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Redacted:
        """Redact images (N, C, H, W) of a floating dtype.

        Raises DejavuError for anything else.
        """
        check_images(images)
        check_generator(generator)
        mask = self.mask(images, generator)
        return Redacted(self.rest(images, mask), mask)


def check_images(images: Tensor) -> None:
    """Raise DejavuError unless images are a floating tensor, (N, C, H, W), that is not empty."""
    if not isinstance(images, Tensor):
        raise DejavuError(f"images must be a tensor, not {type(images).__name__}")
    if images.ndim != 4:
        raise DejavuError(f"images must be (N, C, H, W), not of shape {tuple(images.shape)}")
    if 0 in images.shape:
        raise DejavuError(
            f"images must hold at least one image and pixel, not be of shape {tuple(images.shape)}: leave an "
            "empty batch out"
        )
    if not images.is_floating_point():
        raise DejavuError(f"images must be normalised to floating point, not {images.dtype}")


def check_generator(generator: object) -> None:
    """Raise DejavuError unless a generator is torch's or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise DejavuError(f"generator must be a torch.Generator, not {type(generator).__name__}")


def check_mask(images: Tensor, mask: Tensor) -> None:
    """Raise DejavuError unless images are a batch and the mask is a bool tensor (N or 1, 1, H, W) for it."""
    check_images(images)
    n, _, height, width = images.shape
    fits = isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape[1:] == (1, height, width)
    if not fits or len(mask) not in (1, n):
        given = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
        raise DejavuError(f"mask must be bool, ({n} or 1, 1, {height}, {width}), not {given}")


def uniform(n: int, count: int, generator: torch.Generator | None) -> Tensor:
    """Draw (n, count) numbers in [0, 1), a row an image, on the generator's device."""
    return rows(n, count, generator=generator)


def choose(n: int, count: int, chosen: int, generator: torch.Generator | None) -> Tensor:
    """Draw (n, count) bool on the generator's device: exactly `chosen` in each row, all equally likely."""
    if count > MANY:
        here = rank()  # each process draws the whole batch's, as in `rows`
        drawn = [_choose_many(count, chosen, generator) for _ in range(n * here.world_size)]
        return torch.cat(drawn[here.share(n)])
    scores = uniform(n, count, generator)
    indices = scores.topk(chosen, sorted=False).indices  # exact, ties or not
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, indices, True)


def _choose_many(count: int, chosen: int, generator: torch.Generator | None) -> Tensor:
    """Draw (1, count) with replacement until enough differ: all equally likely, faster than sorting."""
    few = min(chosen, count - chosen)
    device = generator.device if generator else torch.device("cpu")
    taken = torch.zeros(count, dtype=torch.bool, device=device)
    missing = few
    while missing:  # as many as are missing: never too many, whatever repeats
        taken[torch.randint(count, (missing,), generator=generator, device=device)] = True
        missing = few - int(taken.count_nonzero())
    return (taken if few == chosen else ~taken)[None]


def check_redacted(redacted: object, images: Tensor) -> Redacted:
    """Check what a redaction returned, which may be a user's own. Raises DejavuError unless it fits.

    Masks are bool: of pixels (N, 1, H, W), or in the form that the redaction's own `part` takes.
    """
    pair = redacted if isinstance(redacted, tuple | list) and len(redacted) == 2 else None
    if pair is None or not all(isinstance(one, Tensor) for one in pair):
        raise DejavuError(
            f"a redaction must return (images, mask), two tensors, not {type(redacted).__name__}"
        )
    kept, mask = pair
    if kept.shape != images.shape:
        raise DejavuError(
            f"a redaction must keep the images' shape {tuple(images.shape)}, not return {tuple(kept.shape)}"
        )
    if mask.dtype != torch.bool or mask.ndim != 4:
        raise DejavuError(
            f"a redaction's mask must be bool (N, 1, H, W), True is removed, not {mask.dtype} "
            f"{tuple(mask.shape)}"
        )
    return Redacted(kept, mask)
