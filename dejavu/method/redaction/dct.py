"""Projections of images onto sets of frequencies of their 2-D DCT-II.

With the orthonormal bases A (H, H) and B (W, W) of the DCT, the coefficients of an image X are A X B^T, and
its projection by a mask M is A^T (M * (A X B^T)) B. On a GPU it is computed in this form. On a CPU

- only those rows of A are used in which the mask picks anything, and the projection by the inverse mask is
  computed instead and subtracted from the image, where that needs fewer rows;
- many rows, and the columns, go through scipy.fft, which is faster there than a product. Where scipy is not
  installed they are products after all: the same numbers up to float32's rounding (3e-6 of normalised
  images), in 2 to 6 times the processor time at 512x1024, and in as much at 96x128.

benchmarks/redaction.md has the numbers and what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

CHUNK = 2**20  # values worked on at a time on a CPU, so that what is in between stays in its cache
ROWS = 320  # on a CPU a product with up to so many rows of A is faster than an FFT


def project(images: Tensor, mask: Tensor) -> Tensor:
    """Project images (N, C, H, W) onto the frequencies under a mask (N or 1, 1, H, W), bool.

    Differentiable, any number of times. float16 and bfloat16 are computed in float32 and cast back. A value
    that is not finite spreads over its channel.
    """
    projected: Tensor = _Projection.apply(images, mask)
    return projected


class _Projection(torch.autograd.Function):
    """The projection as a function of autograd. It is its own adjoint: backward needs only the mask."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        wide = images.detach().to(torch.promote_types(images.dtype, torch.float32)).contiguous()
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 products would be far too coarse
            projected = _in_chunks(wide, mask) if images.device.type == "cpu" else _by_products(wide, mask)
        return projected.to(images.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return project(gradients[0], mask), None


def _by_products(images: Tensor, mask: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    rows = _basis(height, images.dtype, images.device)
    columns = _basis(width, images.dtype, images.device)
    return rows.T @ (rows @ images @ columns.T * mask) @ columns


@dataclass(frozen=True)
class _Span:
    """Rows start <= u < stop of the frequencies."""

    start: int
    stop: int
    kept: bool  # True: they contain all that the mask keeps; False: all that it removes

    @property
    def rows(self) -> int:
        return self.stop - self.start


def _in_chunks(images: Tensor, mask: Tensor) -> Tensor:
    projected = torch.empty_like(images)
    n = max(1, CHUNK // max(1, images[:1].numel()))  # images a chunk
    chunks = range(0, len(images), n)
    shared = len(mask) == 1
    spans = [_shorter_span(mask)] * len(chunks) if shared else [_shorter_span(m) for m in mask.split(n)]
    for start, span in zip(chunks, spans, strict=True):
        chunk, out = images[start : start + n], projected[start : start + n]
        picked = mask if shared else mask[start : start + n]
        _project(chunk, ~picked if span.kept else picked, span, out)
        if span.kept:
            torch.sub(chunk, out, out=out)
    return projected


def _project(images: Tensor, mask: Tensor, span: _Span, out: Tensor) -> None:
    """Project images (n, C, H, W) by a mask (n or 1, 1, H, W) within the span of rows, on a CPU."""
    if span.rows == 0:
        out.zero_()
    elif span.rows > ROWS:
        out.copy_(_fft(_pick(_fft(images, -2, keep=True), mask), -2, inverse=True))
    else:
        rows = _basis(images.shape[-2], images.dtype, images.device)[span.start : span.stop]  # (h, H)
        torch.matmul(rows.T, _pick(rows @ images, mask[..., span.start : span.stop, :]), out=out)


def _pick(rows: Tensor, mask: Tensor) -> Tensor:
    """Transform rows (n, C, h, W) along W, mask them by (n or 1, 1, h, W), and transform them back."""
    return _fft(_fft(rows, -1).mul_(mask), -1, inverse=True)


def _fft(values: Tensor, axis: int, inverse: bool = False, keep: bool = False) -> Tensor:
    """Compute the DCT-II, or its inverse, along an axis. Unless `keep`, the values may be overwritten."""
    transforms = _scipy_transforms()
    if transforms is None:
        return _product(values, axis, inverse)
    transform = transforms[inverse]
    return torch.from_numpy(transform(values.numpy(), axis=axis, norm="ortho", overwrite_x=not keep))


@cache
def _scipy_transforms() -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Return scipy's DCT and its inverse; None where scipy is not installed."""
    try:
        import scipy.fft  # half a second, which other redactions need not pay
    except ModuleNotFoundError:
        return None
    return scipy.fft.dct, scipy.fft.idct


def _product(values: Tensor, axis: int, inverse: bool) -> Tensor:
    """Transform along axis -1 or -2 by a product with the basis."""
    basis = _basis(values.shape[axis], values.dtype, values.device)
    basis = basis.T if inverse else basis
    return basis @ values if axis == -2 else values @ basis.T


def _shorter_span(mask: Tensor) -> _Span:
    """Return the rows that masks (n, 1, H, W) remove from, or the rows that they keep from, if fewer."""
    removed, kept = mask.any(-1), ~mask.all(-1)  # (n, 1, H)
    return min(_span(removed, kept=False), _span(kept, kept=True), key=lambda span: span.rows)


def _span(rows: Tensor, kept: bool) -> _Span:
    used = rows.flatten(0, 1).any(0).nonzero()
    return _Span(int(used[0]), int(used[-1]) + 1, kept) if len(used) else _Span(0, 0, kept)


@lru_cache(maxsize=8)  # 16 MiB each for 2048 in float32
def _basis(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the basis of the orthonormal DCT-II, (n, n): a row a frequency.

    >>> _basis(2, torch.float32, torch.device("cpu"))
    tensor([[ 0.7071,  0.7071],
            [ 0.7071, -0.7071]])
    """
    numbers = torch.arange(n)
    angles = (2 * numbers + 1) * numbers[:, None] % (4 * n)  # whole numbers: exact for any n
    basis = torch.cos(angles.double() * (math.pi / (2 * n))) * math.sqrt(2 / n)
    basis[0] = math.sqrt(1 / n)
    return basis.to(device, dtype)
