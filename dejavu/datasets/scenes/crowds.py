"""Crowds in synthetic scenes: people who would not be annotated one by one."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .objects import LABELS
from .render import Scene

FOLK = ("person", "rider")
FAR = 6
"""People below this share of the image's height who touch one another there are a crowd."""
TOUCH = np.ones((3, 3))
"""pixels that touch, also at corners"""


def crowded(scene: Scene) -> np.ndarray:
    """Return the pixels of people in a crowd, bool (H, W): all pixels of each person who touches others."""
    folk = np.where(np.isin(scene.semantic, [LABELS[name] for name in FOLK]), scene.instance, 0)
    far = np.zeros(folk.shape, bool)
    for someone in np.unique(folk[folk > 0]):
        mask = folk == someone
        rows = np.flatnonzero(mask.any(axis=1))
        if (rows[-1] + 1 - rows[0]) * FAR < len(mask):
            far |= mask
    regions, count = ndimage.label(far, TOUCH)
    groups = [np.unique(folk[regions == number]) for number in range(1, count + 1)]
    return np.isin(folk, [someone for group in groups if len(group) > 1 for someone in group])
