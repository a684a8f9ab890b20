"""`dejavu score normals`: 8-bit RGB PNGs of surface normals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DejavuError
from . import pngs

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "8-bit RGB PNGs: mean and median angle, shares within 11.25, 22.5 and 30 degrees"
TEXT = (
    "Scores PNGs of normals, n = v / 127.5 - 1, paired by their path below the two folders. Black and "
    "grey (127 or 128 in all channels) are no normal. Prints JSON; all is pooled over the set's pixels."
)
LONGEST = 1.2
"""A true normal's length in 8 bits is at most 1.03; beyond this a file holds something else."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add two folders."""
    pngs.add_folders(parser)


def arguments_for(truth: Path, predictions: Path, classes: int) -> str:
    """Return the command that scores files of `dejavu predict`."""
    return pngs.folder_arguments(truth, predictions)


def scores(args: argparse.Namespace) -> dict[str, object]:
    """Score the two folders. Raises DejavuError that names the file at fault."""
    from ...metrics.normals import NormalMetrics

    metrics = NormalMetrics()
    truth = pngs.update(
        metrics, args, read_normals, lambda vectors: (int(vectors.any(-1).sum()), vectors[..., 0].size)
    )
    numbers = metrics.compute()
    truth.remark("have no normal")
    return {"images": truth.images, "ignored_percent": truth.ignored_percent, **numbers}


def read_normals(path: Path, predicted: bool) -> np.ndarray:
    """Vectors (H, W, 3) of an 8-bit RGB PNG. Black and grey: 0-vectors in a ground truth, NaN if predicted.

    Raises DejavuError where a ground truth holds what is no unit vector.
    """
    import numpy as np

    from ...datasets.formats.images import RGB, check_png, read_image

    check_png(path, 8, RGB)
    values = np.asarray(read_image(path))
    none = (values == 0).all(-1) | ((values == 127) | (values == 128)).all(-1)
    normals = values / 127.5 - 1
    normals[none] = np.nan if predicted else 0
    if not predicted and (wrong := int((np.linalg.norm(normals, axis=-1) > LONGEST).sum())):
        raise DejavuError(
            f"{path} holds {wrong} vectors longer than {LONGEST}, and unit vectors are needed, "
            "coded as n = v / 127.5 - 1"
        )
    return normals
