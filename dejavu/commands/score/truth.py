"""The ground truth that a command scores against: how much of it counts, and remarks where that is odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common import print_remark


@dataclass
class Truth:
    """Counts of pixels and images of a ground truth, fed one image at a time."""

    images: int = 0
    empty: int = 0
    """images without a pixel that counts"""
    pixels: int = 0
    counted: int = 0

    def add(self, counted: int, pixels: int) -> None:
        """Add an image, of whose pixels `counted` count."""
        self.images += 1
        self.empty += not counted
        self.pixels += pixels
        self.counted += counted

    @property
    def ignored_percent(self) -> float:
        """The share of pixels that do not count, in percent."""
        return 100 * (self.pixels - self.counted) / max(self.pixels, 1)

    def remark(self, ignored: str, absent: Sequence[str] = (), classes: int = 0, more: str = "") -> None:
        """Print a remark on stderr if the ground truth is odd, or if there is `more`, a sentence.

        `ignored` ends '51 % of the ground truth's pixels ...'; `absent` names those of `classes` classes of
        which it has no pixel.
        """
        from ...datasets.prepared.checks import ODD, listed

        sentences = []
        if absent:
            verb = "has" if len(absent) == 1 else "have"
            sentences.append(
                f"{len(absent)} of {classes} classes {verb} no pixel in the ground truth: {listed(absent)}."
            )
        if self.ignored_percent > (0 if absent else 100 * ODD):
            sentences.append(f"{self.ignored_percent:.3g} % of the ground truth's pixels {ignored}.")
        if self.empty:
            sentences.append(f"In {self.empty:,} of {self.images:,} images of it no pixel counts.")
        if more:
            sentences.append(more)
        if sentences:
            print_remark(" ".join(sentences))
