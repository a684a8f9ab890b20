"""Synthetic scenes, written in the raw layout of the dataset that they stand in for.

The package `scenes/` defines the content of a scene; `render` here is its entry point. Scene numbers of the
splits never meet: training takes the even ones, validation (or test) the odd ones, and images without labels
even ones far behind those of training. COCO's panoptic layout is
raw_coco.py's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.progress import track
from ..dataset import UNLABELLED
from ..nyudv2_forms.codes import encode_depth, encode_label, encode_normals
from .crowds import crowded
from .objects import LABELS
from .render import Scene, render

if TYPE_CHECKING:
    from ..prepared.sizes import Size

__all__ = [
    "ADE20K_VALUES", "MARK", "STREET_13", "Scene", "check", "cityscapes_instances", "drop_empty",
    "refuse_what_is_real", "remove", "remove_ade20k", "remove_nyudv2", "render", "render_all", "scene_index",
    "scene_size", "street_13", "write_ade20k", "write_cityscapes", "write_nyudv2",
]  # fmt: skip

_FOLDERS = ("leftImg8bit", "gtFine")
MARK = "rendered"
"""the name that distinguishes scenes from the real Cityscapes, and their files from NYU Depth v2's"""
_QUALITY: dict[str, dict[str, Any]] = {
    ".png": {"compress_level": 3},
    ".jpg": {"quality": 95, "subsampling": 0},
}
_OFFSET = {"train": 0, "val": 1, "test": 1, UNLABELLED: 800_000}

MODEL_SCALE = 0.1
"""Rooms end at 10 m and streets do not: in NYU Depth v2's layout a street is a model of itself at 1:10, which
looks the same and has the same normals. What is farther than that reaches has no depth, like the sky."""

STREET_13: tuple[tuple[str, tuple[int, int, int], tuple[int, ...]], ...] = (
    ("road", (128, 64, 128), (7,)),
    ("sidewalk", (244, 35, 232), (8,)),
    ("building", (70, 70, 70), (11,)),
    ("wall or fence", (102, 102, 156), (12, 13)),
    ("pole, light or sign", (220, 220, 0), (17, 19, 20)),
    ("vegetation", (107, 142, 35), (21,)),
    ("terrain", (152, 251, 152), (22,)),
    ("sky", (70, 130, 180), (23,)),
    ("person", (220, 20, 60), (24,)),
    ("rider", (255, 0, 0), (25,)),
    ("car", (0, 0, 142), (26,)),
    ("bus", (0, 60, 100), (28,)),
    ("bicycle", (119, 11, 32), (33,)),
)
"""The classes of streets that stand in for NYU Depth v2's 13: name, colour, label ids of scenes. The numbers
mean nothing indoors, so reports and figures give these names. Other ids are ignored."""

ADE20K_VALUES = {
    "static": 139, "road": 7, "sidewalk": 12, "building": 2, "wall": 1, "fence": 33, "pole": 94,
    "traffic light": 137, "traffic sign": 44, "vegetation": 5, "terrain": 10, "sky": 3, "person": 13,
    "rider": 13, "car": 21, "bus": 81, "bicycle": 128,
}  # fmt: skip
"""The scenes' labels in ADE20K's label files, 1 to 150: what is 'static' are litter bins ('ashcan'),
traffic signs 'signboard', lawns 'grass'. The camera's own car is unlabelled, 0."""

SHAPES = ((3, 4), (2, 3), (4, 3), (1, 1), (9, 16), (3, 2))
"""Height to width of scenes where each has its own size; half of them are wider than high"""

Files = Callable[[str, str, Scene], dict[str, np.ndarray]]
"""(split, number as text, scene) -> the images that are stored of it, by path"""


def scene_index(split: str, number: int) -> int:
    """Return the scene of item `number` of `split`.

    >>> [scene_index("train", n) for n in range(3)], [scene_index("val", n) for n in range(3)]
    ([0, 2, 4], [1, 3, 5])
    """
    return 2 * number + _OFFSET[split]


def scene_size(seed: int, index: int, size: Size) -> tuple[int, int]:
    """Return the height and width of a rendered scene.

    Where images keep their aspect ratio, each has a shape and a size of its own: its short side is
    `size.short` or up to a quarter more. They depend on (seed, index) and on `size.short` alone.

    >>> scene_size(7, 0, (64, 128))
    (64, 128)
    """
    if isinstance(size, tuple | list):
        return size[0], size[1]
    rng = np.random.default_rng([seed, index, 1])
    tall, wide = SHAPES[int(rng.integers(len(SHAPES)))]
    short = int(rng.integers(size.short, size.short * 5 // 4 + 1))
    height, width = (short * side // min(tall, wide) for side in (tall, wide))
    return height, width


def cityscapes_instances(scene: Scene) -> np.ndarray:
    """Cityscapes' instance ids, uint16 (H, W): label id x 1000 + k for things, the label id for the rest.

    The rest is stuff, and people in a crowd (crowds.py).
    """
    ids = scene.semantic.astype(np.uint16)
    one_by_one = (scene.instance > 0) & ~crowded(scene)
    for label in np.unique(scene.semantic[one_by_one]):
        of_label = (scene.semantic == label) & one_by_one
        for k, thing in enumerate(np.unique(scene.instance[of_label])):
            ids[of_label & (scene.instance == thing)] = int(label) * 1000 + k
    return ids


def street_13(semantic: np.ndarray) -> np.ndarray:
    """Return numbers of `STREET_13`, uint8 (H, W), 255 = none, of a scene's label ids (H, W)."""
    table = np.full(256, 255, np.uint8)
    for number, (_, _, labels) in enumerate(STREET_13):
        table[list(labels)] = number
    return table[semantic]


def write_cityscapes(raw: Path, seed: int | None, size: Size, counts: Mapping[str, int | None]) -> list[str]:
    """Render `counts[split]` scenes of `size` (see `scene_size`) into `raw` in Cityscapes' layout.

    Returns the paths of the files below `raw`, sorted. Raises DejavuError rather than write into a
    folder that holds the real Cityscapes.
    """
    check(seed, counts)
    remove(raw)
    refuse_what_is_real(raw, _FOLDERS)
    return render_all(raw, seed, size, counts, _cityscapes_files)


def write_nyudv2(raw: Path, seed: int | None, size: Size, counts: Mapping[str, int | None]) -> list[str]:
    """Render `counts[split]` scenes of `size` (see `scene_size`) into `raw` in NYU Depth v2's layout.

    Depth is that of a model at `MODEL_SCALE`, normals are the renderer's own. Returns the paths of the files
    below `raw`, sorted. Raises DejavuError rather than write into a folder that holds the real data.
    """
    check(seed, counts)
    remove_nyudv2(raw)
    refuse_what_is_real(raw, [name for split in counts for name in (split, f"{split}.txt")])
    files = render_all(raw, seed, size, counts, _nyudv2_files)
    for split, count in counts.items():
        names = [f"{MARK}_{scene_index(split, n):06d}\n" for n in range(count or 0)]
        (raw / f"{split}.txt").write_text("".join(names), encoding="utf-8")
        files.append(f"{split}.txt")
    return sorted(files)


def write_ade20k(raw: Path, seed: int | None, size: Size, counts: Mapping[str, int | None]) -> list[str]:
    """Render `counts[split]` scenes of `size` (see `scene_size`) into `raw` in ADE20K's layout.

    Returns the paths of the files below `raw`, sorted. Raises DejavuError rather than write into a folder
    that holds the real data.
    """
    check(seed, counts)
    remove_ade20k(raw)
    refuse_what_is_real(raw, ("images", "annotations"))
    return render_all(raw, seed, size, counts, _ade20k_files)


def write_unlabelled(raw: Path, seed: int | None, size: Size, counts: Mapping[str, int | None]) -> list[str]:
    """Render images alone into `raw`/unlabelled. Returns the paths of the files below `raw`, sorted.

    Raises DejavuError rather than write into a folder that holds other images.
    """
    check(seed, counts)
    remove_unlabelled(raw / UNLABELLED)
    refuse_what_is_real(raw, (UNLABELLED,))
    return render_all(raw, seed, size, counts, _image_alone)


def remove_unlabelled(folder: Path) -> None:
    """Delete the scenes that `write_unlabelled` made in `folder`; anything else stays."""
    if not folder.is_symlink():
        for path in [*folder.glob(f"{MARK}_*.png")]:
            path.unlink()
        drop_empty(folder)


def remove(raw: Path) -> None:
    """Delete the scenes that `write_cityscapes` made in `raw`; anything else stays."""
    for folder in [raw / name / split for name in _FOLDERS for split in ("train", "val")]:
        if not folder.parent.is_symlink() and (folder / MARK).is_dir():
            shutil.rmtree(folder / MARK)
            drop_empty(folder, folder.parent)


def remove_nyudv2(raw: Path) -> None:
    """Delete the scenes that `write_nyudv2` made in `raw`; anything else stays."""
    for split in ("train", "test"):
        for path in [*raw.glob(f"{split}/*/{MARK}_*.png")]:
            path.unlink()
        drop_empty(*(raw / split).glob("*/"), raw / split)
        listing = raw / f"{split}.txt"
        if listing.is_file() and listing.read_bytes().startswith(MARK.encode()):
            listing.unlink()


def remove_ade20k(raw: Path) -> None:
    """Delete the scenes that `write_ade20k` made in `raw`; anything else stays."""
    for kind in (raw / "images", raw / "annotations"):
        if not kind.is_symlink():
            for path in [*kind.glob(f"*/{MARK}_*")]:
                path.unlink()
            drop_empty(*kind.glob("*/"), kind)


def drop_empty(*folders: Path) -> None:
    """Delete the folders that are empty."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def check(seed: int | None, counts: Mapping[str, int | None]) -> None:
    """Raise DejavuError with the key of params.yaml that scenes need and do not have."""
    for split, count in counts.items():
        if not count:
            key = "train" if split == "train" else "val"
            raise DejavuError(f"synthetic data needs a number of {split} scenes: set `{key}` beside its size")
    if seed is None:
        raise DejavuError("synthetic data needs a seed: set datasets.synthetic.seed in params.yaml")


def refuse_what_is_real(raw: Path, names: Sequence[str]) -> None:
    """Raise DejavuError when `raw` has one of `names`, after rendered scenes were removed."""
    for name in names:
        if (raw / name).exists() or (raw / name).is_symlink():
            raise DejavuError(f"{raw / name} was not rendered: move it away before scenes are written there")


def render_all(
    raw: Path, seed: int | None, size: Size, counts: Mapping[str, int | None], files: Files
) -> list[str]:
    """Render and store all scenes; returns the paths of their files below `raw`, sorted."""
    assert seed is not None
    items = [(split, scene_index(split, n)) for split, count in counts.items() for n in range(count or 0)]
    written: list[str] = []
    for split, index in track(items, total=len(items), description="render"):
        scene = render(seed, index, scene_size(seed, index, size))
        stored = files(split, f"{MARK}_{index:06d}", scene)
        for name, array in stored.items():  # plainly: the manifest, written last, says that all are whole
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(raw / name, **_QUALITY[Path(name).suffix])
        written += stored
    return sorted(written)


def _cityscapes_files(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
    stem = f"{split}/{MARK}/{name}_000019"
    return {
        f"leftImg8bit/{stem}_leftImg8bit.png": scene.image,
        f"gtFine/{stem}_gtFine_labelIds.png": scene.semantic,
        f"gtFine/{stem}_gtFine_instanceIds.png": cityscapes_instances(scene),
    }


def _image_alone(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
    return {f"{split}/{name}.png": scene.image}


def _nyudv2_files(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
    return {
        f"{split}/rgb/{name}.png": scene.image,
        f"{split}/label40/{name}.png": encode_label(street_13(scene.semantic)),
        f"{split}/depth/{name}.png": encode_depth(scene.depth * MODEL_SCALE),
        f"{split}/normals/{name}.png": encode_normals(scene.normals),
    }


def _ade20k_files(split: str, name: str, scene: Scene) -> dict[str, np.ndarray]:
    table = np.zeros(256, np.uint8)
    for label, value in ADE20K_VALUES.items():
        table[LABELS[label]] = value
    folder = {"train": "training", "val": "validation"}[split]
    return {
        f"images/{folder}/{name}.jpg": scene.image,
        f"annotations/{folder}/{name}.png": table[scene.semantic],
    }
