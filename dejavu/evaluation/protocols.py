"""Evaluation protocols: the scales of the input image, and how the outputs are combined.

Probabilities are averaged over scales and the mirrored image, after a resize to the image's size, as in
mmseg's `aug_test` and `SegTTAModel`. Logits are averaged over windows (sliding.py), or the scores that they
are logarithms of. HRNet's own code differs: it averages the logits of an image and its mirror image and sums
their exponentials over scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..config import Protocol
from ..datasets.prepared.sizes import fitted
from ..errors import DejavuError
from .sliding import Forward, Size, interpolate, slide


def check(protocol: Protocol, task: str | Sequence[str], crop: Size | None) -> None:
    """Raise DejavuError if a protocol cannot evaluate a task, or if a sliding protocol has no window size."""
    foreign = protocol.foreign_to(task)
    if foreign:
        raise DejavuError(
            f"protocol: '{foreign[0]}' is for semantic segmentation only, and the task is "
            f"{task if isinstance(task, str) else ' and '.join(task)}, which is "
            "evaluated on the whole image: write 'protocol: whole'"
        )
    if protocol.slide is not None and crop is None:
        raise DejavuError("protocol: 'slide' needs the size of its window: give the recipe's crop")


def show(
    forward: Forward,
    images: Tensor,
    protocol: Protocol,
    crop: Size | None = None,
    align_corners: bool = False,
    batch_size: int = 8,
) -> Tensor:
    """Map images (N, 3, H, W) to logits (N, K, h, w), or to mean probabilities (N, K, H, W).

    N must be 1 for a sliding window. Images are resized without `align_corners`, as in image libraries.
    """

    def predict(images: Tensor) -> Tensor:
        if protocol.slide is None:
            return forward(images)
        assert crop is not None
        scores = protocol.average == "scores"
        return slide(forward, images, crop, protocol.slide, align_corners, batch_size, scores)

    size = (images.shape[2], images.shape[3])
    mirrors = (False, True) if protocol.flip else (False,)
    views = [(scale, mirrored) for scale in protocol.scales for mirrored in mirrors]
    base = fitted_size(size, protocol)
    if views == [(1.0, False)]:
        return predict(interpolate(images, sides(base, 1.0, protocol.multiple)))
    total: Tensor | None = None
    for scale, mirrored in views:
        view = interpolate(images, sides(base, scale, protocol.multiple))
        logits = predict(view.flip(-1)).flip(-1) if mirrored else predict(view)
        logits = interpolate(logits, (view.shape[2], view.shape[3]), align_corners)
        probabilities = interpolate(logits, size, align_corners).softmax(1)
        total = probabilities if total is None else total.add_(probabilities)
    assert total is not None
    return total / len(views)


def fitted_size(size: Size, protocol: Protocol) -> Size:
    """Return height and width of the input image at scale 1."""
    return size if protocol.fit is None else fitted(size, protocol.fit)


def sides(size: Size, scale: float, multiple: int | None) -> Size:
    """Return height and width at a scale, in whole pixels, or rounded up to multiples of `multiple`.

    >>> sides((512, 683), 1.0, None), sides((512, 683), 0.5, None), sides((512, 683), 1.0, 32)
    ((512, 683), (256, 342), (512, 704))
    """
    if multiple is None:
        height, width = (max(1, math.floor(side * scale + 0.5)) for side in size)
    else:
        height, width = (math.ceil(side * scale / multiple) * multiple for side in size)
    return height, width
