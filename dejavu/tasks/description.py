"""The facts of a task, which are known before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MetricRow = tuple[str, str, bool, int]
"""A metric: its name in print, its unit, whether higher is better, and the decimals worth printing."""


@dataclass(frozen=True)
class Description:
    """The facts of a task. Its file writes them as literals, so that they are read without running it."""

    name: str
    """as in params.yaml, and the name of its file"""
    title: str
    """what figures call it"""
    array: str
    """the array of a prepared dataset that it learns from"""
    dtype: str
    """numpy's type of that array"""
    metrics: Mapping[str, MetricRow]
    """its numbers in a results file, by key; the first is the main one"""
    item: tuple[int, ...] = ()
    """what follows (N, H, W) in the array's shape"""
    unknown: int | None = 0
    """the value of pixels without ground truth; None is the dataset's `ignore_index`"""
    channels: int | None = None
    """the channels of its prediction; None is one a class"""
    keys: tuple[str, ...] = ()
    """the names under which a network may return its prediction; the first one that it uses counts"""
    queries: bool = False
    """whether queries predict it (MaskFormer's family), in networks made for it, without other tasks"""

    @property
    def has_classes(self) -> bool:
        """True if the task predicts the dataset's classes."""
        return self.channels is None

    def target_shape(self, count: int, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of a batch of its targets in training.

        >>> Description("flow", "flow", "flow", "float32", {}, item=(2,)).target_shape(8, (4, 6))
        (8, 2, 4, 6)
        """
        return (count, *self.item, *size)
