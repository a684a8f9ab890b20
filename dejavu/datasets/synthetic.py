"""Synthetic scenes, written in the raw layout of the dataset that they stand in for.

What a scene looks like is `scenes/`'s affair; `render` here is its entry point. Scene numbers of the
splits never meet: training takes the even ones, validation the odd ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DejavuError
from ..progress import track
from .scenes.render import Scene, render

__all__ = ["Scene", "cityscapes_instances", "render", "remove", "scene_index", "write_cityscapes"]

_FOLDERS = ("leftImg8bit", "gtFine")
_CITY = "rendered"
"""by which the scenes are known from the real Cityscapes"""
_OFFSET = {"train": 0, "val": 1}


def scene_index(split: str, number: int) -> int:
    """The scene that is item `number` of `split`.

    >>> [scene_index("train", n) for n in range(3)], [scene_index("val", n) for n in range(3)]
    ([0, 2, 4], [1, 3, 5])
    """
    return 2 * number + _OFFSET[split]


def cityscapes_instances(scene: Scene) -> np.ndarray:
    """Cityscapes' instance ids, uint16 (H, W): label id x 1000 + k for things, the label id for stuff."""
    ids = scene.semantic.astype(np.uint16)
    for label in np.unique(scene.semantic[scene.instance > 0]):
        of_label = (scene.semantic == label) & (scene.instance > 0)
        for k, thing in enumerate(np.unique(scene.instance[of_label])):
            ids[of_label & (scene.instance == thing)] = int(label) * 1000 + k
    return ids


def write_cityscapes(
    raw: Path, seed: int | None, size: tuple[int, int], counts: dict[str, int | None]
) -> list[str]:
    """Render `counts[split]` scenes of `size` (H, W) into `raw` in Cityscapes' layout.

    Returns the paths of the files below `raw`, sorted. Raises DejavuError rather than write into a
    folder that holds the real Cityscapes.
    """
    for split, count in counts.items():
        if not count:
            raise DejavuError(
                f"synthetic data needs a number of {split} scenes: set `{split}` beside its size"
            )
    if seed is None:
        raise DejavuError("synthetic data needs a seed: set datasets.synthetic.seed in params.yaml")
    remove(raw)
    for name in _FOLDERS:
        if (raw / name).exists() or (raw / name).is_symlink():
            raise DejavuError(f"{raw / name} was not rendered: move it away before scenes are written there")
    items = [(split, scene_index(split, n)) for split, count in counts.items() for n in range(count or 0)]
    files = []
    for split, index in track(items, total=len(items), description="render"):
        files += _write_scene(raw, split, index, render(seed, index, size))
    return sorted(files)


def remove(raw: Path) -> None:
    """Delete the scenes that `write_cityscapes` made in `raw`; anything else stays."""
    for folder in [raw / name / split for name in _FOLDERS for split in _OFFSET]:
        if not folder.parent.is_symlink() and (folder / _CITY).is_dir():
            shutil.rmtree(folder / _CITY)
            for empty in (folder, folder.parent):
                if not any(empty.iterdir()):
                    empty.rmdir()


def _write_scene(raw: Path, split: str, index: int, scene: Scene) -> list[str]:
    stem = f"{split}/{_CITY}/{_CITY}_{index:06d}_000019"
    files = {
        f"leftImg8bit/{stem}_leftImg8bit.png": scene.image,
        f"gtFine/{stem}_gtFine_labelIds.png": scene.semantic,
        f"gtFine/{stem}_gtFine_instanceIds.png": cityscapes_instances(scene),
    }
    for name, array in files.items():  # plainly: the manifest, written last, says that all are whole
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(raw / name, compress_level=3)
    return list(files)
