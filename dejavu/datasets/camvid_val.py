"""CamVid to choose settings on: learnt from its training images, and measured on its validation images.

The test images, which the final comparison is measured on, are never read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from . import camvid

DATASET = replace(
    camvid.DATASET,
    title="CamVid (validation)",
    splits={split: camvid.SPLITS[split] for split in ("train", "val")},
    evaluate="val",
    candidates=partial(camvid.candidates, splits=("train", "val")),
)
