"""Images without labels beside those of training: the losses of DejaVu learn from them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from ..datasets.prepared.store import Array


class Joined(Sequence[np.ndarray]):
    """An array of the training images, and behind it that of images without labels.

    Args:
        first: images or targets of the training images.
        images: the images without labels, (H, W, 3) each.
        blank: whether the items behind `first` are empty targets, of the images' sizes, instead of `images`.
    """

    def __init__(self, first: Array, images: Array, blank: bool) -> None:
        self.first, self.images, self.blank = first, images, blank
        self.one_size = isinstance(first, np.ndarray) and isinstance(images, np.ndarray)

    def __len__(self) -> int:
        return len(self.first) + len(self.images)

    def __getitem__(self, index: Any) -> Any:
        """Return item `index` (H, W, ...)."""
        if index < len(self.first):
            return self.first[index]
        image = self.images[index - len(self.first)]
        if not self.blank:
            return image
        like = self.first[0]
        return np.zeros((*image.shape[:2], *like.shape[2:]), like.dtype)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))


def of_images(value: Any, chosen: Tensor) -> Any:
    """Return the output of a network, or the targets, of some images of a batch.

    value: tensors (N, ...), in mappings, lists and tuples of any depth; other values stay as they are.
    chosen: (n,), the images' numbers.
    """
    if isinstance(value, Tensor):
        return value[chosen] if value.ndim else value
    if isinstance(value, Mapping):
        return {key: of_images(one, chosen) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(of_images(one, chosen) for one in value))
    if isinstance(value, list | tuple):
        return type(value)(of_images(one, chosen) for one in value)
    return value
