"""The target size of an image: one for all, or one that keeps its aspect ratio."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ...config import KeepAspect

    Size = tuple[int, int] | KeepAspect


def is_fixed(size: Size) -> bool:
    """Return whether all images become one size, [height, width]."""
    return isinstance(size, tuple | list)


def as_plain(size: Size) -> list[int] | dict[str, int]:
    """Return the size in the form of params.yaml, for JSON.

    >>> as_plain((96, 192))
    [96, 192]
    """
    if isinstance(size, tuple | list):
        return list(size)
    return {"short": size.short, "long": size.long}


def in_words(size: Any) -> str:
    """Describe a size, or its plain form, in words.

    >>> in_words([96, 192]), in_words({"short": 512, "long": 2048})
    ('96x192', 'short side 512, long side at most 2048')
    """
    if isinstance(size, tuple | list):
        return f"{size[0]}x{size[1]}"
    short, long = (size["short"], size["long"]) if isinstance(size, dict) else (size.short, size.long)
    return f"short side {short}, long side at most {long}"


def fitted(raw: tuple[int, int], size: Size) -> tuple[int, int]:
    """Return the height and width to which an image of `raw` (H, W) is resized.

    Where the aspect ratio is kept, the factor is the largest one (above 1, too) at which the short side is at
    most `size.short` and the long side at most `size.long`; sides are rounded, halves up. That is what
    mmsegmentation's Resize((long, short), keep_ratio=True) makes.
    """
    if isinstance(size, tuple | list):
        return size[0], size[1]
    above, below = size.short, min(raw)  # the factor, as a fraction: no rounding before the last one
    if size.long * below < above * max(raw):
        above, below = size.long, max(raw)
    height, width = (max(1, (2 * side * above + below) // (2 * below)) for side in raw)
    return height, width


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize `array` (H, W, ...) to `size`: every pixel takes the value nearest to its centre, as in PIL.

    >>> import numpy as np
    >>> nearest(np.array([[1, 2], [3, 4]]), (2, 4)).tolist()
    [[1, 1, 2, 2], [3, 3, 4, 4]]
    """
    import numpy as np

    rows, columns = (_indices(old, new) for old, new in zip(array.shape[:2], size, strict=True))
    return np.asarray(array)[rows[:, None], columns]


@cache
def _indices(old: int, new: int) -> np.ndarray:
    """Return the index that PIL takes, of `old` pixels in a row, for each of `new`."""
    import numpy as np
    from PIL import Image

    row = Image.fromarray(np.arange(old, dtype=np.int32)[None])
    return np.asarray(row.resize((new, 1), Image.Resampling.NEAREST))[0]
