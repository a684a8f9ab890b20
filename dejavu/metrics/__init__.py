"""Metrics, on numpy arrays: one file a task, used by `dejavu evaluate` and by `dejavu score` alike.

`METRICS` says of every number that a table may show what it is called, in which unit it is, and
which way is better. This package imports numpy only, and that late.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A number of a results file: its name in print, unit, direction, and the decimals worth printing."""

    name: str
    unit: str
    higher_is_better: bool
    digits: int = 2

    @property
    def arrow(self) -> str:
        """The direction as tables print it.

        >>> METRICS["miou"].arrow
        '↑'
        """
        return "↑" if self.higher_is_better else "↓"


METRICS: dict[str, Metric] = {
    "miou": Metric("mIoU", "%", True),
    "boundary_miou": Metric("boundary mIoU", "%", True),
    "pixel_accuracy": Metric("pixel accuracy", "%", True),
    "mean_accuracy": Metric("mean class accuracy", "%", True),
}
"""Keys are those of `metrics` in a results file and of `tables.<table>.metrics` in params.yaml."""
