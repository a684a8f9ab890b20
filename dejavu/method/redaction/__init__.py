"""Redaction: destroy an image's structure and keep its context.

The removed structure can only be regenerated from the prediction, and that trains the network. A redaction is
a plain callable: `redaction(images, generator) -> Redacted(images, mask)`. Its method
`redaction.part(images, mask)` gives what the mask removes of any images: a linear projection.

Spatial redactions (spatial.py) remove pixels, spectral ones (spectral.py) frequencies; the masks of the
latter lie over frequencies.

**Mask polarity, here and everywhere: 0 is keep, 1 is remove.** Removed values become 0. For pixels that is
the dataset's mean after normalisation; kept pixels stay as they are, to the bit.

Random numbers are drawn on the generator's device (by default the CPU), so that a seed makes the same masks
for images on any device.
"""

from __future__ import annotations

from ...registry import Registry
from .base import Redacted, Redaction, check_generator, check_images, check_redacted
from .spatial import Checkerboard, RandomBlocks, RandomPixels, SpatialRedaction, block_side, remove
from .spectral import BandPass, Bands, BandStop, FixedBands, HighPass, LowPass, RandomBands, SpectralRedaction

REGISTRY: Registry[Redaction] = Registry(
    "redaction",
    {
        "random_blocks": RandomBlocks,
        "random_pixels": RandomPixels,
        "checkerboard": Checkerboard,
        "low_pass": LowPass,
        "high_pass": HighPass,
        "band_pass": BandPass,
        "band_stop": BandStop,
        "bands": Bands,
        "random_bands": RandomBands,
    },
)
names, build = REGISTRY.names, REGISTRY.build

__all__ = [
    "REGISTRY",
    "names",
    "build",
    "Redacted",
    "Redaction",
    "SpatialRedaction",
    "RandomBlocks",
    "RandomPixels",
    "Checkerboard",
    "SpectralRedaction",
    "FixedBands",
    "LowPass",
    "HighPass",
    "BandPass",
    "BandStop",
    "Bands",
    "RandomBands",
    "remove",
    "block_side",
    "check_generator",
    "check_images",
    "check_redacted",
]
