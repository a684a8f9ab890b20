"""NYU Depth v2 as MTAN's authors released it: arrays of 288x384, which most multi-task papers train on.

Layout: `{train,val}/{image,label,depth,normal}/N.npy`, N = 0..794 and 0..653. Images (H, W, 3) in [0, 1],
labels (H, W) of -1..12 with -1 = none, depth (H, W, 1) in metres with 0 = none, normals (H, W, 3) whose sum
is 0 where there is none. The 13 classes are numbered as ours: its authors took them from nyuv2-meta-data
(github.com/lorenmt/mtan, issue 11). They cut the white border off before they shrank the frames (issue 10),
and the code is lost, so that it is not known which frame is which, nor how the normals' axes lie: that is
determined by comparison with the depth.

Images become 8 bits, as all are stored here: that moves a value by 1/510 at most.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.folders import Listing, files_below
from ..dataset import IGNORE, Pair
from ..formats.arrays import load, read_depth
from ..formats.normals import Camera, from_depth
from ..obtain import mirror
from .official import CAMERA, QUANTUM

REMARKS: tuple[str, ...] = ("Depth, normals and labels are those of MTAN's preprocessed release.",)
IN_WORDS = "MTAN's release, train/ and val/ with image/, label/, depth/ and normal/"
FOLDERS = {"train": "train", "test": "val"}
KINDS = ("image", "label", "depth", "normal")
COUNTS = {"train": 795, "test": 654}
CLASSES = 13

CUT = (45, 471, 41, 601)
"""rows and columns of 480x640 without the border, as usually cut; only `axes` depends on it"""
COMPARED = 16
"""frames that `axes` looks at"""
AGREEMENT = 0.75
"""the least mean cosine between the stored normals and those of the depth, some 40 degrees"""


def held(raw: Path) -> bool:
    """Return whether a folder has this form of the data."""
    return any((raw / folder / "image").is_dir() for folder in FOLDERS.values())


def bring(folder: Path, raw: Path) -> list[str]:
    """Make links in `raw` to the mirror's folders; real ones that are there already stay."""
    for name in FOLDERS.values():
        mirror.link(folder / name, raw / name)
    return files(raw)


def files(raw: Path) -> list[str]:
    """Return the paths below `raw` of all its files."""
    result = [path for split in FOLDERS for pair in find_pairs(raw, split) for path in pair[1:5]]
    return sorted(path.relative_to(raw).as_posix() for path in result if path is not None)


def find_pairs(raw: Path, split: str) -> list[Pair]:
    """Return the images of a split in the order of their numbers.

    Raises DejavuError where a file is missing, or the normals do not fit the depth however they are turned.
    """
    inside, result = [Listing(raw / FOLDERS[split] / kind) for kind in KINDS], []
    for n in range(COUNTS[split]):
        files = []
        for folder in inside:
            path = folder.get(f"{n}.npy")
            if path is None:
                missing = f"{folder.folder / f'{n}.npy'} is missing{folder.hint(f'{n}.npy')}"
                raise DejavuError(f"{missing}: MTAN's release has {COUNTS[split]} of them")
            files.append(path)
        result.append(Pair(f"{n:04d}", *files))
    axes(raw / FOLDERS["train"])
    return result


def candidates(raw: Path) -> list[Path]:
    """Return the files in the folders of both splits."""
    return [path for split in FOLDERS.values() for kind in KINDS for path in files_below(raw / split / kind)]


def decode_image(path: Path) -> Image.Image:
    """Read an image, RGB in 8 bits."""
    values = load(path, 3)
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    if not (values.min() >= -1e-3 and values.max() <= 1.001):  # NaN, too
        raise DejavuError(
            f"{path} holds values from {values.min():g} to {values.max():g}, and an image is in [0, 1]"
        )
    return Image.fromarray(np.rint(255 * values.clip(0, 1)).astype(np.uint8))


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..12, uint8 (H, W); -1 becomes 255."""
    values = load(path, 1)
    known = np.isin(values, range(-1, CLASSES))
    if not known.all():
        raise DejavuError(f"{path} has label value {values[~known][0]}, and labels are -1..{CLASSES - 1}")
    return np.where(values < 0, IGNORE, values).astype(np.uint8)


def decode_depth(path: Path) -> np.ndarray:
    """Read depth in metres, float32 (H, W), 0 = none."""
    return read_depth(path)


def decode_normals(pair: Pair, depth: np.ndarray) -> np.ndarray:
    """Unit normals, float32 (H, W, 3), 0-vector = none, their axes turned to the project's convention."""
    assert pair.normals is not None
    order, signs = axes(pair.normals.parents[2] / FOLDERS["train"])
    return _stored_normals(pair.normals)[..., order] * np.array(signs, np.float32)


@cache
def axes(folder: Path) -> tuple[list[int], list[int]]:
    """Return which channels of the stored normals are x, y and z, and with which signs.

    Of the 48 possible axes those are taken with which the stored normals of some frames agree best with those
    of their depth. Raises DejavuError where even these do not.
    """
    moments, known = np.zeros((3, 3)), 0  # stored channel by derived axis
    depths, normals = (Listing(folder / kind) for kind in ("depth", "normal"))
    for n in np.unique(np.linspace(0, COUNTS["train"] - 1, COMPARED).astype(int)).tolist():
        files = [inside.get(f"{n}.npy") or inside.folder / f"{n}.npy" for inside in (depths, normals)]
        depth, stored = decode_depth(files[0]), _stored_normals(files[1])
        if stored.shape[:2] != depth.shape:
            raise DejavuError(f"{files[1]} and its depth differ in size")
        derived = from_depth(depth, _camera(*depth.shape), QUANTUM * depth * depth)
        both = stored.any(-1) & derived.any(-1)
        moments += stored[both].T.astype(np.float64) @ derived[both]
        known += int(both.sum())
    best = max(permutations(range(3)), key=lambda order: sum(abs(moments[c, k]) for k, c in enumerate(order)))
    agreement = sum(abs(moments[c, k]) for k, c in enumerate(best)) / max(known, 1)
    if agreement < AGREEMENT:
        raise DejavuError(
            f"{folder / 'normal'} does not fit the depth beside it: however the axes are turned, the mean "
            f"cosine is {agreement:.2f}, and it should be {AGREEMENT} or more"
        )
    return list(best), [1 if moments[c, k] > 0 else -1 for k, c in enumerate(best)]


def _camera(height: int, width: int) -> Camera:
    """Return the camera of images that show `CUT` at this size."""
    top, bottom, left, right = CUT
    across, down = width / (right - left), height / (bottom - top)
    return Camera(CAMERA.fx * across, CAMERA.fy * down, (CAMERA.cx - left) * across, (CAMERA.cy - top) * down)


def _stored_normals(path: Path) -> np.ndarray:
    """Read unit vectors, float32 (H, W, 3), with the file's axes; 0-vector = none."""
    vectors = load(path, 3).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise DejavuError(f"{path} holds vectors that are no numbers")
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    known = (vectors.sum(-1, keepdims=True) != 0) & (length > 0)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=known)
