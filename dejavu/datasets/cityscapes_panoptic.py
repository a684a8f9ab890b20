"""Cityscapes' panoptic segmentation: the same images, 8 classes of things and 11 of stuff. Not in the paper.

It is read from `gtFine/<split>/<city>/*_gtFine_instanceIds.png` (16-bit grey), which the official script
makes its panoptic files of (github.com/mcordts/cityscapesScripts, preparation/createPanopticImgs.py), by that
script's rules: a value below 1000 is a label id, any other label id x 1000 + the thing's number; labels that
are not evaluated are void; and things below 1000 are a group that is not annotated one by one, a crowd.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..errors import DejavuError
from ..tasks import segments
from ..tasks.segments import Segment
from . import cityscapes
from .cityscapes import INSTANCES, LABEL_IDS, TRAIN_IDS
from .dataset import IGNORE, Classes, Dataset, Pair, labels_of
from .formats.images import GREY, check_png, read_indices

_LABEL_IDS = tuple(label for label, train_id in TRAIN_IDS.items() if train_id != IGNORE)
COUNTED = range(24, LABEL_IDS)
"""label ids that have numbers: the things, and caravans (29) and trailers (30), which are not evaluated"""
CLASSES = Classes(
    names=cityscapes.CLASSES.names,
    palette=cityscapes.CLASSES.palette,
    categories=cityscapes.CLASSES.categories,
    things=tuple(label in COUNTED for label in _LABEL_IDS),
    ids=_LABEL_IDS,
)
_SCHEME = (
    f"an instance id is a label id of 0 to {LABEL_IDS - 1}, or one of {COUNTED[0]} to {COUNTED[-1]} x 1000 + "
    "the thing's number: *_gtFine_instanceIds.png as gtFine_trainvaltest.zip has them are needed"
)


def pairs(raw: Path, split: str) -> list[Pair]:
    """Return the pairs of `split`, sorted by city and name."""
    return [pair._replace(panoptic=pair.label) for pair in cityscapes.pairs(raw, split, INSTANCES)]


def decode_panoptic(pair: Pair) -> np.ndarray:
    """A pair's codes (tasks/segments.py), uint16 (H, W). Raises DejavuError with the file and the id."""
    return _codes(pair.label)


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..18, uint8 (H, W), of an instanceIds image; void and crowds become 255."""
    return labels_of(_codes(path))


def _codes(path: Path) -> np.ndarray:
    check_png(path, 16, GREY)
    ids = read_indices(path, (16,)).astype(np.int32)
    try:
        return segments.encode(ids, _segments(np.unique(ids).tolist()), CLASSES.names)
    except DejavuError as error:
        raise DejavuError(f"{path} cannot be read: {error}") from None


def _segments(ids: list[int]) -> dict[int, Segment]:
    """Return the segments of an image's ids; those that are not evaluated have none.

    >>> [(id_, *segment) for id_, segment in _segments([7, 24, 24003, 29000]).items()]
    [(7, 0, False), (24, 11, True), (24003, 11, False)]
    """
    result = {}
    for id_ in ids:
        numbered = id_ >= 1000
        label = id_ // 1000 if numbered else id_
        if label not in (COUNTED if numbered else TRAIN_IDS):
            raise DejavuError(f"it has the value {id_}, and {_SCHEME}")
        if (category := TRAIN_IDS[label]) != IGNORE:
            result[id_] = Segment(category, crowd=label in COUNTED and not numbered)
    return result


DATASET = Dataset(
    title="Cityscapes",
    task="panoptic",
    classes=CLASSES,
    splits=cityscapes.SPLITS,
    evaluate="val",
    download=partial(cityscapes.download, ending=INSTANCES),
    pairs=pairs,
    candidates=partial(cityscapes.candidates, ending=INSTANCES),
    decode_label=decode_label,
    decode_panoptic=decode_panoptic,
)
