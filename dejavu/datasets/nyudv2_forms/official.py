"""NYU Depth v2's official file, nyu_depth_v2_labeled.mat: 1449 frames of 640x480 in full precision.

It is MATLAB 7.3, which is HDF5 with the axes turned round: `images` uint8 (1449, 3, 640, 480), `depths`
float32 (1449, 640, 480) in metres, filled in by the authors, `labels` uint16 (1449, 640, 480) of 894 classes,
0 = unlabelled. An array inside the file is addressed as if the file were a folder: FILE/depths/00003.

There are no normals in it: they are derived from depth. The sensor measured disparity in whole steps, and
depth is 351.3 / (1092.5 - disparity) metres (camera_params.m of the authors' toolbox), so that around each
inverse depth an interval of 1 / 351.3 is left open, 2.6 cm at 3 m.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.extras import extra
from ..dataset import Pair
from ..formats.normals import Camera, from_depth
from ..obtain import mirror
from .classes import FRAMES, LABELS, frames, to_13

FILE = "nyu_depth_v2_labeled.mat"
IN_WORDS = f"the official {FILE}"
REMARKS: tuple[str, ...] = (
    "Normals are derived from depth (the official file has none), those that are learnt and those that are "
    "measured.",
    "Each frame's border of 8 of 640 pixels, which has no image and depth that was filled in, counts.",
)
SIZE = (480, 640)
CAMERA = Camera(518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
"""the camera of the colour images, onto which depth was projected: the authors' calibration"""
QUANTUM = 1 / 351.3
"""1/m: the inverse depths that one step of disparity covers"""

_FRAME = SIZE[::-1]
_KEYS: dict[str, tuple[tuple[int, ...], str]] = {
    "images": ((FRAMES, 3, *_FRAME), "uint8"),
    "depths": ((FRAMES, *_FRAME), "float32"),
    "labels": ((FRAMES, *_FRAME), "uint16"),
}


def held(raw: Path) -> bool:
    """Return whether a folder has this form of the data."""
    return (raw / FILE).is_file()


def bring(folder: Path, raw: Path) -> list[str]:
    """Make a link in `raw` to the mirror's file; a file that is there already stays."""
    target = raw / FILE
    if not target.is_file() or target.is_symlink():
        mirror.link(folder / FILE, target)
    return files(raw)


def files(raw: Path) -> list[str]:
    """Return the paths below `raw` of all its files."""
    return [FILE]


def find_pairs(raw: Path, split: str) -> list[Pair]:
    """Return the frames of the official split, in order. Raises DejavuError for an array of another form."""
    path = raw / FILE
    with _opened(path) as file:
        for key, (shape, dtype) in _KEYS.items():
            _check(path, file, key, shape, dtype)
    names = [f"{number:05d}" for number in frames(split)]
    return [Pair(name, *(path / key / name for key in ("images", "labels", "depths"))) for name in names]


def decode_image(path: Path) -> Image.Image:
    """Read an image, RGB."""
    return Image.fromarray(np.ascontiguousarray(_read(path).T))


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..12, uint8 (H, W); unlabelled pixels become 255."""
    labels = _read(path).T
    if labels.max(initial=0) > LABELS:
        raise DejavuError(f"{path} has label value {labels.max()}, and its labels are 0..{LABELS}")
    return to_13()[labels]


def decode_depth(path: Path) -> np.ndarray:
    """Read depth in metres, float32 (H, W), 0 = none."""
    depth = np.ascontiguousarray(_read(path).T, np.float32)
    if not np.isfinite(depth).all() or depth.min() < 0:
        raise DejavuError(f"{path} holds depths that are no metres: negative, or not finite; 0 = none")
    if not depth.any():
        raise DejavuError(f"{path} has no depth at all: every value is 0")
    return depth


def decode_normals(pair: Pair, depth: np.ndarray) -> np.ndarray:
    """Compute unit normals, float32 (H, W, 3), of a depth map (480, 640)."""
    return from_depth(depth, CAMERA, QUANTUM * depth * depth, finer=2)


def candidates(raw: Path) -> list[Path]:
    """Return none: all frames are in one file."""
    return []


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with extra("pipeline", str(path)):
        import h5py
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing") from None
    except OSError as error:
        raise DejavuError(f"{path} is no whole MATLAB 7.3 file ({error})") from None
    with file:
        yield file


def _check(path: Path, file: Any, key: str, shape: tuple[int, ...], dtype: str) -> None:
    import h5py

    array = file.get(key)
    if not isinstance(array, h5py.Dataset):
        raise DejavuError(f"{path} has no array '{key}', which the official file has")
    if array.shape != shape or array.dtype != dtype:
        raise DejavuError(
            f"{path} has '{key}' of {array.dtype} {list(array.shape)}, and in the official file it is "
            f"{dtype} {list(shape)}"
        )


def _read(path: Path) -> np.ndarray:
    """Read the array at FILE/KEY/NUMBER, with the file's axes."""
    with _opened(path.parents[1]) as file:
        try:
            return np.asarray(file[path.parent.name][int(path.name) - 1])
        except (OSError, KeyError) as error:
            raise DejavuError(f"{path} cannot be read ({error})") from None
