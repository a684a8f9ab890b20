"""Files of weights: tensors by name, read without running what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DejavuError
from ..system.extras import extra

FORMATS = (".safetensors", ".pt", ".pth", ".bin")


def is_file_name(source: str) -> bool:
    """Return True if a name of weights is that of a file, by its suffix."""
    return Path(source).suffix in FORMATS


def version(source: str, key: str) -> tuple[int, int]:
    """Return a file's time and size, which distinguish it from a later one of the same name.

    Raises DejavuError when it is missing.
    """
    if not Path(source).is_file():
        raise DejavuError(f"{key}: {source} is missing, name a {', '.join(FORMATS)} file")
    status = Path(source).stat()
    return status.st_mtime_ns, status.st_size


def read_weights(source: str, key: str) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors, .pt, .pth or .bin file by name, without running what is in it.

    Raises DejavuError when it is missing, cannot be read, or holds anything but tensors.
    """
    version(source, key)
    safe = Path(source).suffix == ".safetensors"
    if safe:
        with extra("networks", f"{key}: {source}"):
            from safetensors.torch import load_file
    try:
        if safe:
            weights: Any = load_file(source)
        else:
            weights = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has errors of its own
        raise DejavuError(f"{key}: {source} cannot be read as weights ({type(error).__name__})") from error
    if isinstance(weights, Mapping) and isinstance(weights.get("state_dict"), Mapping):
        weights = weights["state_dict"]  # a training checkpoint
    if not isinstance(weights, Mapping) or not weights or not all(map(torch.is_tensor, weights.values())):
        raise DejavuError(f"{key}: {source} holds no weights, which are tensors by name")
    return dict(weights)
