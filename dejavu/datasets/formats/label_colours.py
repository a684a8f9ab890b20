"""The colours that label PNGs give their class indices: within one dataset an index has one colour.

Labels are read by index, so files with other palettes would be learnt as other classes without a word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...errors import DejavuError
from .images import PNG, read_indices

_GREYS = bytes(value for index in range(256) for value in (index, index, index))
"""the palette of writers that have no colours"""


def contradiction(paths: Iterable[Path]) -> str | None:
    """Describe an index that two of these label files show in other colours; None where there is none.

    Colours of indices without a pixel do not count, nor does a palette of all greys in their order. Files
    that cannot be read are left to their readers.
    """
    groups: dict[bytes, list[Path]] = {}
    for path in paths:
        palette = _palette(path)
        if palette is not None:
            groups.setdefault(palette, []).append(path)
    disputed = _disputed(groups)
    known: dict[int, tuple[bytes, Path]] = {}
    for palette, files in groups.items() if disputed else ():
        left = {index for index in disputed if index < len(palette) // 3}
        for path in files:
            for index in sorted(left & _indices(path)):
                left.remove(index)
                colour = palette[3 * index : 3 * index + 3]
                other, where = known.setdefault(index, (colour, path))
                if other != colour:
                    return (
                        f"{where} shows the index {index} in the colour {tuple(other)}, and {path} in "
                        f"{tuple(colour)}"
                    )
    return None


def _disputed(palettes: Iterable[bytes]) -> set[int]:
    """Return the indices that have more than one colour."""
    colours: dict[int, bytes] = {}
    result = set()
    for palette in palettes:
        for index in range(len(palette) // 3):
            colour = palette[3 * index : 3 * index + 3]
            if colours.setdefault(index, colour) != colour:
                result.add(index)
    return result


def _indices(path: Path) -> set[int]:
    try:
        return set(np.unique(read_indices(path)).tolist())
    except DejavuError:
        return set()


def _palette(path: Path) -> bytes | None:
    """Return the colours of a PNG's palette, RGB after RGB; None where it has none, or is no PNG."""
    try:
        if not path.is_file():  # a pipe would keep its reader waiting
            return None
        with path.open("rb") as file:
            head = file.read(33)  # the signature and the first chunk, the header
            while head.startswith(PNG) and len(chunk := file.read(8)) == 8:
                length, kind = struct.unpack(">I4s", chunk)
                if head[25] != 3 or kind == b"IDAT":
                    return None
                if kind == b"PLTE":
                    palette = file.read(min(length, len(_GREYS)))
                    return palette if len(palette) < 9 or not _GREYS.startswith(palette) else None
                file.seek(length + 4, 1)
    except OSError:
        pass
    return None
