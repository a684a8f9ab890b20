"""Reading of ground truth from .npy files: every error names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DejavuError

OFF = 0.1
"""the largest difference of a normal's length from 1"""


def read_depth(path: Path, scale: float = 1.0) -> np.ndarray:
    """Read depth in metres, float32 (H, W), 0 = none; the file has (H, W) or (H, W, 1) of `scale` metres."""
    depth = load(path, 1).astype(np.float32) * np.float32(scale)
    if not np.isfinite(depth).all() or depth.min() < 0:
        raise DejavuError(f"{path} holds depths that are no metres: negative, or not finite; 0 = none")
    return depth


def read_normals(path: Path) -> np.ndarray:
    """Read unit normals, float32 (H, W, 3), 0-vector = none. Raises DejavuError for other vectors."""
    vectors = load(path, 3).astype(np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    known = length > 0
    worst = float(np.abs(length - 1)[known].max(initial=0)) if np.isfinite(length).all() else np.inf
    if worst > OFF:
        raise DejavuError(
            f"{path} holds vectors whose length is off 1 by {worst:.2f}: it is no map of normals; "
            "(0, 0, 0) = none"
        )
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=known)


def load(path: Path, channels: int) -> np.ndarray:
    """Load an array: of one channel (H, W), also from (H, W, 1); else (H, W, channels)."""
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing") from None
    except (ValueError, EOFError, OSError) as error:
        raise DejavuError(f"{path} is not a whole array ({str(error).splitlines()[0]})") from None
    if array.ndim == 3 and array.shape[-1] == channels == 1:
        array = array[..., 0]
    wanted = "(H, W)" if channels == 1 else f"(H, W, {channels})"
    right = array.shape[2:] == (() if channels == 1 else (channels,)) and array.ndim >= 2 and array.size
    if not right or array.dtype.kind not in "iuf":
        raise DejavuError(f"{path} is {array.dtype} {list(array.shape)}, and numbers {wanted} are needed")
    return array


def shape_of(path: Path) -> tuple[int, int]:
    """Return height and width of an array (H, W, ...) in a file. Raises DejavuError where it has none."""
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (ValueError, EOFError, OSError) as error:
        raise DejavuError(f"{path} is not a whole array ({str(error).splitlines()[0]})") from None
    if len(shape) < 2:
        raise DejavuError(f"{path} is an array {list(shape)}, and one of (H, W) or (H, W, 3) is needed")
    return shape[0], shape[1]
