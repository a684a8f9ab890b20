"""Reading of image files that may be broken: every error names the file."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ...errors import DejavuError

LARGEST = 100_000_000
"""pixels; a file that claims more is refused before it is decoded"""

PNG = b"\x89PNG\r\n\x1a\n"
"""the first bytes of every PNG"""
GREY, RGB = 0, 2
COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}
"""PNG's kinds of pixels by their number in its header"""

_CHUNK = 1 << 20
_CHANNELS = {2: 3, 4: 2, 6: 4}
"""channels of a PNG's colour types that have more than one"""
_PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""the passes of an interlaced PNG (Adam7): first row, step of rows, first column, step of columns"""
_DEEP = re.compile(r"\b(RGB|RGBA|RGBX|LA?|CMYK);16")
"""raw modes such as "RGB;16B": Pillow would cut such colours to 8 bits"""
_TURNED = range(2, 9)
"""the EXIF orientations that have an image shown turned or mirrored"""
_MODES = {
    "1": "black and white", "L": "8-bit grey", "LA": "grey with transparency", "P": "a palette",
    "PA": "a palette with transparency", "RGB": "colours", "RGBA": "colours with transparency",
    "CMYK": "four inks", "I;16": "16-bit grey", "I": "32-bit grey", "F": "floating point",
}  # fmt: skip
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def _open(path: Path, modes: tuple[str, ...], what: str, upright: bool = True) -> Image.Image:
    """Open and decode; `modes` are PIL's names of the pixel formats that are allowed."""
    if path.exists() and not path.is_file():  # a pipe would keep its reader waiting
        raise DejavuError(f"{path} is no plain file, and an image is needed")
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()  # the checksums, which decoding alone does not look at
                _check_rows(path)
            # Images that phones add after a photograph (MPO) are not displayed by viewers.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                raise DejavuError(f"{path} is animated or has several pages, and a single image is needed")
        with Image.open(path) as image:
            if image.width * image.height > LARGEST:
                raise DejavuError(f"{path} claims {image.width}x{image.height} pixels, more than {LARGEST}")
            deep = any(_DEEP.search(str(tile.args)) for tile in image.tile)
            image.load()
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing") from None
    except _BOMBS as error:
        raise DejavuError(f"{path} claims more pixels than can be right ({error})") from None
    except _BROKEN as error:
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise DejavuError(f"{path} cannot be read ({reason})") from None
    if image.mode not in modes:
        kind = f" ({_MODES[image.mode]})" if image.mode in _MODES else ""
        raise DejavuError(f"{path} is of mode {image.mode}{kind}, and {what} is needed")
    if deep and not image.mode.startswith("I"):
        raise DejavuError(f"{path} has 16-bit colours, and {what} is needed")
    if upright and (orientation := _orientation(image)) in _TURNED:
        raise DejavuError(
            f"{path} has EXIF orientation {orientation}: viewers show it turned or mirrored, and labels "
            "may be drawn on either; store it as it is meant (`exiftran -ai` does), or remove the tag"
        )
    return image


def _orientation(image: Image.Image) -> object:
    """Return the EXIF orientation, which viewers follow; None where there is none or it is damaged."""
    if image.format == "TIFF":  # Pillow has turned it
        return None
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except _BROKEN:
        return None


def _check_rows(path: Path) -> None:
    """Raise ValueError where a PNG's data end before its last row: Pillow would see zeros there."""
    content = path.read_bytes()
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if width * height > LARGEST:
        return
    bits = depth * _CHANNELS.get(colour, 1)
    expected = sum(
        rows * (1 + (columns * bits + 7) // 8) for rows, columns in _grids(width, height, bool(interlaced))
    )
    present, position, unpacked = 0, 8, zlib.decompressobj()
    while position + 8 <= len(content) and present < expected:
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"IDAT":
            data = content[position + 8 : position + 8 + length]
            while data and present < expected:
                present += len(unpacked.decompress(data, _CHUNK))
                data = unpacked.unconsumed_tail
        position += 12 + length
    if present < expected:
        raise ValueError(f"{present} of {expected} bytes of its rows are there")


def _grids(width: int, height: int, interlaced: bool) -> list[tuple[int, int]]:
    """Return height and width of the image whose rows a PNG stores, or of each of its passes.

    >>> _grids(5, 3, True)
    [(1, 1), (1, 1), (1, 1), (1, 3), (2, 2), (1, 5)]
    """
    if not interlaced:
        return [(height, width)]
    grids = [
        (len(range(top, height, down)), len(range(left, width, right))) for top, down, left, right in _PASSES
    ]
    return [(rows, columns) for rows, columns in grids if rows and columns]


def read_image(path: Path, what: str = "8-bit colour or grey", upright: bool = True) -> Image.Image:
    """Read a colour image, in RGB. Raises DejavuError with the file's name and its required form.

    One with transparent pixels is none: they hold colours that nobody sees. With `upright`, neither is one
    that viewers turn by its EXIF tag.
    """
    image = _open(path, ("RGB", "RGBA", "L", "LA", "P"), what, upright)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        hidden = int((np.asarray(image)[..., 3] < 255).sum())
        if hidden:
            raise DejavuError(
                f"{path} is transparent at {hidden} of its {image.width * image.height} pixels, and {what} "
                "without transparency is needed: store it as viewers show it"
            )
    return image.convert("RGB")


def check_png(path: Path, depth: int, colour: int) -> None:
    """Refuse what is no PNG of this pixel format (bits, number of `COLOURS`), which Pillow would convert.

    Raises DejavuError that names the file's kind and the required one.
    """
    if not path.exists():
        raise DejavuError(f"{path} is missing")
    if not path.is_file():
        raise DejavuError(f"{path} is no plain file, and a PNG is needed")
    with path.open("rb") as file:
        header = file.read(26)
    wanted = f"{depth}-bit {COLOURS[colour]}"
    if len(header) < 26 or not header.startswith(PNG):
        raise DejavuError(f"{path} cannot be read (not a PNG{_other_format(path)}), and {wanted} is needed")
    if (header[24], header[25]) != (depth, colour):
        kind = f"{header[24]}-bit {COLOURS.get(header[25], 'of an unknown kind')}"
        raise DejavuError(f"{path} is {kind}, and {wanted} is needed")


def _other_format(path: Path) -> str:
    try:
        with Image.open(path) as image:
            return f" but a {image.format} file"
    except (*_BROKEN, *_BOMBS):
        return ""


def read_size(path: Path) -> tuple[int, int]:
    """Return an image file's height and width, from its header. Raises DejavuError where it is no image."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (*_BROKEN, *_BOMBS):
        raise DejavuError(f"{path} cannot be read (not an image)") from None


def read_indices(path: Path, depths: tuple[int, ...] = (8,)) -> np.ndarray:
    """Read a label PNG's class indices (H, W), as stored: grey of one of `depths` bits, or palette indices.

    Raises DejavuError with the file's name when it cannot be read whole, or holds no class indices:
    colours, transparency, or 2- and 4-bit grey, whose values Pillow stretches to 0..255.
    """
    wanted = f"class indices: {' or '.join(map(str, depths))}-bit grey, or a palette"
    image = _open(path, ("L", "P", "I;16", "I"), wanted)
    if image.format != "PNG":
        raise DejavuError(
            f"{path} is a {image.format} file, and a PNG is needed: it keeps class indices exact"
        )
    with path.open("rb") as file:
        depth, colour = file.read(26)[24:]  # of the header, which every PNG starts with
    if colour != 3 and (colour != 0 or depth not in depths):
        raise DejavuError(f"{path} is {depth}-bit, and {wanted} is needed")
    return np.asarray(image)


def stored_values(paths: Sequence[Path], most: int = 64) -> list[int]:
    """Return the values that occur in label PNGs of 8 bits, sorted; of many files `most` are read."""
    step = max(1, len(paths) // most)
    present = np.zeros(256, bool)
    for path in paths[::step]:
        present |= np.bincount(read_indices(path).ravel(), minlength=256) > 0
    return np.flatnonzero(present).tolist()


def relabel(path: Path, values: np.ndarray, table: dict[int, int], remedy: str = "") -> np.ndarray:
    """Map `values` by `table`; raises DejavuError with the file and the first value not in it."""
    lookup = np.full(256, -1, np.int16)
    for value, train_id in table.items():
        lookup[value] = train_id
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    unknown = [int(value) for value in present if lookup[value] < 0]
    if unknown:
        raise DejavuError(
            f"{path} has label value {unknown[0]}, which is outside the class list ({_spans(table)}){remedy}"
        )
    return lookup.astype(np.uint8)[values]


def _spans(values: Iterable[int]) -> str:
    """Write whole numbers as spans: '0..10, 255'."""
    spans: list[list[int]] = []
    for value in sorted(values):
        if spans and value == spans[-1][1] + 1:
            spans[-1][1] = value
        else:
            spans.append([value, value])
    return ", ".join(f"{low}..{high}" if low < high else str(low) for low, high in spans)
