"""The codes in the PNG files of NYU Depth v2 in the mirror's form: decoded, and encoded for rendered scenes.

See png.py for the layout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DejavuError
from ..dataset import IGNORE
from ..formats.images import GREY, RGB, check_png, read_image, read_indices, relabel
from .classes import TO_13 as TO_13

VOID = (254, 255)
STEP = 9.99547 / 255
"""metres between two codes of depth: the labelled set's largest depth is 9.99547 m"""

_TRAIN_IDS = dict(enumerate(TO_13)) | dict.fromkeys(VOID, IGNORE)


def decode_label(path: Path) -> np.ndarray:
    """Decode train ids 0..12, uint8 (H, W), from an image of 40 classes; unlabelled pixels become 255."""
    values = read_indices(path)
    for value in np.unique(values).tolist():
        if value not in _TRAIN_IDS:
            raise DejavuError(f"{path} has label value {value}, which is neither of 0..39 nor 254 or 255")
    return relabel(path, values, _TRAIN_IDS)


def decode_depth(path: Path) -> np.ndarray:
    """Decode depth in metres, float32 (H, W), 0 = none: the middle of each code's interval."""
    check_png(path, 8, GREY)
    codes = read_indices(path)
    if not codes.any():
        raise DejavuError(f"{path} has no depth at all: every code is 0")
    return np.where(codes > 0, (codes + np.float32(0.5)) * np.float32(STEP), 0).astype(np.float32)


def read_normals(path: Path) -> np.ndarray:
    """Read a map of unit normals, float32 (H, W, 3), 0-vector = none. Raises DejavuError where it is none."""
    check_png(path, 8, RGB)
    stored = np.asarray(read_image(path))
    vectors = stored.astype(np.float32) / np.float32(127.5) - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    known = stored.any(axis=-1, keepdims=True)
    worst = float(np.abs(length - 1)[known].max(initial=0))
    if worst > 0.1:
        raise DejavuError(
            f"{path} holds vectors whose length is off 1 by {worst:.2f}: it is no map of normals"
        )
    return np.where(known, vectors / np.maximum(length, np.float32(0.1)), 0).astype(np.float32)


# The other direction, for scenes that are rendered in this layout.


def encode_label(train_ids: np.ndarray) -> np.ndarray:
    """Encode train ids (H, W) as uint8: the first of the 40 classes that `decode_label` reads as each."""
    table = np.full(256, VOID[1], np.uint8)
    table[: max(TO_13) + 1] = [TO_13.index(number) for number in range(max(TO_13) + 1)]
    return table[train_ids]


def encode_depth(metres: np.ndarray) -> np.ndarray:
    """Encode depth, uint8 (H, W); 0 for no depth, and for 9.99547 m or more."""
    codes = np.floor(metres / STEP)
    return np.where((metres > 0) & (codes < 255), np.maximum(codes, 1), 0).astype(np.uint8)


def encode_normals(normals: np.ndarray) -> np.ndarray:
    """Encode a map of normals, uint8 (H, W, 3); black where there is none."""
    stored = np.clip(np.rint((normals + 1) * 127.5), 0, 255)
    return np.where(normals.any(axis=-1, keepdims=True), stored, 0).astype(np.uint8)
