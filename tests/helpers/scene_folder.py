"""A folder of a user's own: rendered scenes with labels, depth and normals, in files of common formats."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from dejavu.datasets.nyudv2_forms import codes
from dejavu.datasets.scenes import raw_files

CLASSES = [name for name, _, _ in raw_files.STREET_13]


def write_scene_folder(folder: Path, count: int = 12, size: tuple[int, int] = (32, 48)) -> Path:
    """Write photos/, masks/ (255 = ignored), depth/ (16-bit, millimetres), metres/ and normals/ (.npy)."""
    raw = folder / "raw"
    raw_files.write_nyudv2(raw, 2303, size, {"train": count, "test": 1})
    names = (raw / "train.txt").read_text().split()
    for kind in ("photos", "masks", "depth", "metres", "normals"):
        (folder / kind).mkdir()
    for name in names:
        shutil.copy(raw / "train" / "rgb" / f"{name}.png", folder / "photos" / f"{name}.png")
        label = codes.decode_label(raw / "train" / "label40" / f"{name}.png")
        depth = codes.decode_depth(raw / "train" / "depth" / f"{name}.png")
        Image.fromarray(label).save(folder / "masks" / f"{name}.png")
        Image.fromarray(np.round(1000 * depth).astype(np.uint16)).save(folder / "depth" / f"{name}.png")
        np.save(folder / "metres" / f"{name}.npy", depth)
        normals = codes.read_normals(raw / "train" / "normals" / f"{name}.png")
        np.save(folder / "normals" / f"{name}.npy", normals)
    return folder
