"""NYU Depth v2, the labelled set: 795 / 654 indoor images with 13 classes, depth and surface normals.

It comes in one of three forms, known by the files of its folder; all end in the same prepared arrays:
- nyudv2_forms/official.py: the official nyu_depth_v2_labeled.mat, 640x480, in full precision,
- nyudv2_forms/mtan.py: the arrays of 288x384 that MTAN's authors released, with official normals,
- nyudv2_forms/png.py: PNGs of 320x240 with depth in 8 bits, the form of the mirror and of rendered scenes.

Every frame of the real set has a border (8 pixels at 640x480; cut off in MTAN's release) with neither image
nor label, and with depth that its authors filled in. Silberman et al., ECCV 2012; the 40 classes are Gupta et
al.'s (CVPR 2013), the 13 Couprie et al.'s (ICLR 2013), with the numbers and colours of SceneNet RGB-D
(McCormac et al., ICCV 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DejavuError
from .dataset import Classes, Dataset, Pair
from .nyudv2_forms import mtan, official, png
from .obtain import mirror
from .scenes import raw_files

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

CLASSES = Classes(
    names=(
        "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv",
        "wall", "window",
    ),
    palette=(
        (0, 0, 255), (232, 88, 47), (0, 217, 0), (148, 0, 240), (222, 241, 23), (255, 205, 205),
        (0, 223, 228), (106, 135, 204), (116, 28, 41), (240, 35, 235), (0, 166, 156), (249, 139, 0),
        (225, 228, 194),
    ),
)  # fmt: skip
SPLITS = {"train": 795, "test": 654}


class Form(Protocol):
    """The functions of a form's module; `find_pairs` and the functions that decode are as those below."""

    IN_WORDS: str
    REMARKS: tuple[str, ...]

    def held(self, raw: Path) -> bool:
        """Return whether a folder has files of this form."""

    def bring(self, folder: Path, raw: Path) -> list[str]:
        """Copy or link the files of the mirror's `folder` to `raw`; returns what `files` does."""

    def files(self, raw: Path) -> list[str]:
        """Return the paths below `raw` of all its files, sorted."""

    def find_pairs(self, raw: Path, split: str) -> list[Pair]: ...

    def candidates(self, raw: Path) -> list[Path]: ...

    def decode_image(self, path: Path) -> Image.Image: ...

    def decode_label(self, path: Path) -> np.ndarray: ...

    def decode_depth(self, path: Path) -> np.ndarray: ...

    def decode_normals(self, pair: Pair, depth: np.ndarray) -> np.ndarray: ...


FORMS: tuple[Form, ...] = (official, mtan, png)


def form(folder: Path) -> Form:
    """Return the form of a folder's data; raises DejavuError where it has none, or more than one."""
    present = [one for one in FORMS if one.held(folder)]
    if len(present) > 1:
        names = " and ".join(one.IN_WORDS for one in present)
        raise DejavuError(f"{folder} has NYU Depth v2 in several forms, {names}: leave one of them there")
    if not present:
        known = "; ".join(one.IN_WORDS for one in FORMS)
        raise DejavuError(f"{folder} has NYU Depth v2 in no form that is read, which are: {known}")
    return present[0]


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Render scenes where the source is synthetic; else use `$DEJAVU_MIRROR/nyudv2` or the files in `raw`.

    PNG files are copied with their checksums; of the other forms, which are large, links are made.
    """
    if requested.source == "synthetic":
        counts = {"train": requested.train, "test": requested.val}
        return raw_files.write_nyudv2(raw, source.seed, requested.size, counts)
    raw_files.remove_nyudv2(raw)  # rendered scenes must not be mistaken for the real ones
    folder, held = mirror.find("nyudv2"), [one for one in FORMS if one.held(raw)]
    if folder is None and not held:
        how = f" ({source.manual})" if source.manual else ""
        raise DejavuError(
            "NYU Depth v2 is not fetched from the internet: set DEJAVU_MIRROR to a folder whose nyudv2/ has "
            f"it, or put it into {raw.resolve()}{how}"
        )
    if folder is None:
        return form(raw).files(raw)
    brought = form(folder)
    if other := [one for one in held if one is not brought]:
        raise DejavuError(
            f"{raw} has {other[0].IN_WORDS}, and {folder} has {brought.IN_WORDS}: remove one of them, or "
            "unset DEJAVU_MIRROR"
        )
    return brought.bring(folder, raw)


def pairs(raw: Path, split: str) -> list[Pair]:
    """The images of `split` in the order of the form, with labels, depth and, where there are, normals."""
    return form(raw).find_pairs(raw, split)


def candidates(raw: Path) -> Sequence[Path]:
    """Return the files among which the form's pairs are."""
    return form(raw).candidates(raw)


def remarks(raw: Path) -> tuple[str, ...]:
    """Return sentences on the data that a reader of a table must know."""
    return form(raw).REMARKS


def _of(path: Path) -> Form:
    """Return the form that a path of a pair belongs to."""
    if path.suffix.lower() == ".npy":
        return mtan
    return official if official.FILE in path.parts else png


def decode_image(path: Path) -> Image.Image:
    """Read an image, RGB in 8 bits."""
    return _of(path).decode_image(path)


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..12, uint8 (H, W), 255 = ignored."""
    return _of(path).decode_label(path)


def decode_depth(path: Path) -> np.ndarray:
    """Read depth in metres, float32 (H, W), 0 = none."""
    return _of(path).decode_depth(path)


def decode_normals(pair: Pair, depth: np.ndarray) -> np.ndarray:
    """Read unit normals, float32 (H, W, 3), 0-vector = none, or derive them from the depth (H, W)."""
    return _of(pair.image).decode_normals(pair, depth)


DATASET = Dataset(
    title="NYUD-v2",
    classes=CLASSES,
    scene_classes=Classes(  # rendered scenes are streets
        names=tuple(name for name, _, _ in raw_files.STREET_13),
        palette=tuple(colour for _, colour, _ in raw_files.STREET_13),
    ),
    splits=SPLITS,
    evaluate="test",
    # There is no third split, and the protocol trains on all 795 images. Nothing is chosen by these curves.
    validate="test",
    download=download,
    pairs=pairs,
    candidates=candidates,
    decode_image=decode_image,
    decode_label=decode_label,
    decode_depth=decode_depth,
    decode_normals=decode_normals,
    remarks=remarks,
)
