"""Image files of every wrong kind."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

SIZE = (32, 24)
"""width and height of the right ones"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, interlaced: bool = False) -> bytes:
    """A PNG that says what it is told to, whatever its rows hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(mode: str, size: tuple[int, int] = SIZE, form: str = "PNG", value: int = 0) -> bytes:
    """An image of one value; of a palette, with as many colours as there can be."""
    image = Image.new(mode, size, value if mode in ("L", "P", "1", "I;16") else (value,) * len(mode))
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    content = io.BytesIO()
    image.save(content, form)
    return content.getvalue()


def interlaced(values: np.ndarray) -> bytes:
    """The rows of 8-bit values (H, W) or (H, W, C) in Adam7's order: each pass is a grid of the image."""
    grids = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = b""
    for top, down, left, right in grids:
        grid = values[top::down, left::right]
        if grid.size:
            rows += b"".join(b"\0" + row.tobytes() for row in grid)
    return rows


def turned(orientation: int, form: str = "JPEG", mode: str = "RGB") -> bytes:
    """An image that viewers show as its EXIF tag 'orientation' says: 1 is as stored."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = io.BytesIO()
    picture(mode=mode).save(content, form, exif=exif)
    return content.getvalue()


def moving(form: str, mode: str = "RGB", frames: int = 2) -> bytes:
    """An image of some frames, which differ; of greys, labels of two classes."""
    content = io.BytesIO()
    several = [picture(seed, mode) for seed in range(frames)]
    if mode == "L":
        several = [frame.point(lambda value: value % 2) for frame in several]
    several[0].save(content, form, save_all=True, append_images=several[1:])
    return content.getvalue()


def transparent(mode: str, pixels: int = 10) -> bytes:
    """A PNG of any mode that has transparency, with so many transparent pixels."""
    content, colour = io.BytesIO(), picture(1, "P" if mode == "P" else mode.removesuffix("A"))
    if mode in ("RGBA", "LA"):
        alpha = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
        alpha.flat[:pixels] = 100
        colour.putalpha(Image.fromarray(alpha))
        colour.save(content, "PNG")
        return content.getvalue()
    values = np.array(colour)
    values[(values == 7) if values.ndim == 2 else (values == 7).all(-1)] = 8  # the colour that is transparent
    values.reshape(SIZE[0] * SIZE[1], -1)[:pixels] = 7
    image = Image.fromarray(values) if mode != "P" else Image.frombytes("P", SIZE, values.tobytes())
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(content, "PNG", transparency=(7, 7, 7) if mode == "RGB" else 7)
    return content.getvalue()


def flipped(content: bytes) -> bytes:
    """With one bit changed in what is compressed."""
    place = content.index(b"IDAT") + 8 if b"IDAT" in content else len(content) // 2
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "no bytes": lambda _: b"",
    "a few bytes": lambda right: right[:7],
    "half": lambda right: right[: len(right) // 2],
    "no end": lambda right: right[:-14],
    "a flipped bit": flipped,
    "zeros": lambda right: bytes(len(right)),
    "zeros behind": lambda right: right[:40] + bytes(len(right) - 40),
    "text": lambda _: b"not an image\n",
    "a page": lambda _: b"<!doctype html><title>404</title>",
    "a pointer of LFS": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "SVG": lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a zip archive": lambda _: b"PK\x05\x06" + bytes(18),
    "a pickle": lambda _: b"\x80\x04cos\nsystem\n(X\x0c\x00\x00\x00touch hackedtR.",
    "a bomb by its header": lambda _: png(60_000, 60_000, 8, 0, b""),
    "a bomb of the largest size": lambda _: png(2**31 - 1, 2**31 - 1, 8, 2, b""),
    "a bomb of zeros": lambda _: png(12_000, 12_000, 8, 0, bytes(12_001 * 120)),
    "no width": lambda _: png(0, 24, 8, 0, b""),
    "an unknown kind": lambda _: png(*SIZE, 8, 5, bytes(33 * 24)),
    "rows that are missing": lambda _: png(*SIZE, 8, 0, bytes(33 * 4)),
    "a first pass": lambda _: png(*SIZE, 8, 0, interlaced(np.zeros(SIZE[::-1], np.uint8))[:15], True),
    "a last row that is missing": lambda _: png(
        *SIZE, 8, 0, interlaced(np.zeros(SIZE[::-1], np.uint8))[:-33], True
    ),
}
"""What a right file's bytes become."""


def no_plain_file(path: Path, how: str) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how == "a pipe":
        os.mkfifo(path)
    elif how == "a link to nowhere":
        path.symlink_to("nowhere")
    elif how == "a link to itself":
        path.symlink_to(path.name)
    elif how == "a device":
        path.symlink_to("/dev/zero")


PLACES = ("a folder", "a pipe", "a link to nowhere", "a link to itself", "a device")


def picture(seed: int = 0, mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values).convert(mode)
