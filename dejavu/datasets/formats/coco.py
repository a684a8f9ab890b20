"""COCO's panoptic format: a JSON file and, for each image, a PNG of segment ids.

In a PNG (8-bit RGB) a pixel's id is R + 256 G + 65536 B; 0 is void. The JSON's `annotations` have for each
image its PNG and its segments: `id`, `category_id`, and `iscrowd` where things are not separated. Ground
truth has `categories` and `images` too; a prediction's file needs neither.
Format: https://cocodataset.org/#format-data (4. Panoptic Segmentation).

One rule for ground truth and predictions: every id in a PNG is 0 or in the JSON, and every segment in the
JSON has a pixel, one at least. The official evaluation refuses predictions that break it, and does not look
at whether ground truth does: a segment without pixels would count as missed, and pixels without a segment as
neither right nor void. An image without segments is valid: it is all void.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...errors import DejavuError
from ...system.files import atomic, read_json, write_text
from ...tasks.segments import MOST, Segment
from .images import RGB, check_png, read_image

LARGEST = 2**24 - 1
"""the largest id that three bytes hold"""


class Category(NamedTuple):
    """A category of segments."""

    id: int
    """the number that files give it, which need not be consecutive"""
    name: str
    thing: bool
    """True if it can be counted; the others are stuff"""
    colour: tuple[int, int, int] = (0, 0, 0)
    """RGB; black where a file has none"""


class Entry(NamedTuple):
    """An image's annotation."""

    image_id: int | str
    file_name: str
    """the PNG's name in the folder that belongs to the JSON"""
    segments: dict[int, Segment]
    """by id; a segment's category is its index in `Panoptic.categories`"""


class Panoptic(NamedTuple):
    """A JSON file's content."""

    categories: tuple[Category, ...]
    entries: dict[int | str, Entry]
    """by the image's id, in the file's order"""
    images: dict[int | str, str]
    """the images' file names by id; may be empty"""


class Extent(NamedTuple):
    """The area and the box of a segment."""

    area: int
    """pixels"""
    box: tuple[int, int, int, int]
    """left, top, width, height"""


def read_panoptic(path: Path, categories: Sequence[Category] | None = None) -> Panoptic:
    """Read a JSON file; with `categories` (a prediction's come from the ground truth) its own do not matter.

    Raises DejavuError with the file, and the annotation or segment, for what is no JSON or lacks a key, ids
    that are there twice or out of range, and an unknown category_id. No PNG is looked at.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DejavuError(f"{path} is not in COCO's panoptic format: it is no JSON object")
    if categories is None:
        categories = _categories(path, _list(path, content, "categories"))
    indices = {category.id: index for index, category in enumerate(categories)}
    entries: dict[int | str, Entry] = {}
    pngs: set[str] = set()
    for number, item in enumerate(_list(path, content, "annotations")):
        entry = _entry(f"{path}, annotation {number}", item, indices)
        if entry.image_id in entries:
            raise DejavuError(f"{path} has two annotations of image {entry.image_id}")
        if entry.file_name in pngs:
            raise DejavuError(f"{path} has two annotations with the file_name '{entry.file_name}'")
        entries[entry.image_id] = entry
        pngs.add(entry.file_name)
    return Panoptic(tuple(categories), entries, _images(path, content))


def _list(path: Path, content: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(content.get(key), list):
        raise DejavuError(f"{path} is not in COCO's panoptic format: it has no list '{key}'")
    result: list[Any] = content[key]
    return result


def _get(where: str, item: Any, key: str, kind: type | tuple[type, ...], what: str) -> Any:
    """Return `item[key]`, which must be of `kind`; `where` and `what` are for the sentence if it is not."""
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        problem = "has no" if value is None else f"has {value!r} as"
        raise DejavuError(f"{where} {problem} '{key}', which must be {what}")
    return value


def _flag(where: str, item: dict[str, Any], key: str, default: int | None = None) -> bool:
    value = item.get(key, default)
    if value not in (0, 1):
        raise DejavuError(f"{where} has {value!r} as '{key}', which must be 0 or 1")
    return bool(value)


def _plain_name(where: str, item: Any) -> str:
    name: str = _get(where, item, "file_name", str, "a file's name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise DejavuError(f"{where} has the file_name '{name}', which leads out of its folder")
    return name


def _categories(path: Path, items: list[Any]) -> tuple[Category, ...]:
    result: dict[int, Category] = {}
    for number, item in enumerate(items):
        where = f"{path}, category {number}"
        id_ = _get(where, item, "id", int, "a whole number")
        name = _get(where, item, "name", str, "a text")
        if id_ in result:
            raise DejavuError(f"{path} has two categories with the id {id_}")
        result[id_] = Category(id_, name, _flag(where, item, "isthing"), _colour(where, item))
    if not 0 < len(result) <= MOST:
        raise DejavuError(f"{path} has {len(result)} categories, and 1 to {MOST} are needed")
    return tuple(result.values())


def _colour(where: str, item: dict[str, Any]) -> tuple[int, int, int]:
    value = item.get("color", [0, 0, 0])
    whole = isinstance(value, list) and all(type(byte) is int and 0 <= byte <= 255 for byte in value)
    if not whole or len(value) != 3:
        raise DejavuError(f"{where} has {value!r} as 'color', which must be three numbers from 0 to 255")
    return value[0], value[1], value[2]


def _entry(where: str, item: Any, indices: Mapping[int, int]) -> Entry:
    image_id = _get(where, item, "image_id", (int, str), "a whole number or a text")
    name = _plain_name(where, item)
    segments: dict[int, Segment] = {}
    for segment in _get(where, item, "segments_info", list, "a list"):
        id_ = _get(f"{where}, a segment,", segment, "id", int, f"1 to {LARGEST}")
        inside = f"{where} (image {image_id}), segment {id_}"
        if not 1 <= id_ <= LARGEST:
            raise DejavuError(f"{inside} has an id that is not one of 1 to {LARGEST}")
        if id_ in segments:
            raise DejavuError(f"{inside} is there twice")
        category = _get(inside, segment, "category_id", int, "a whole number")
        if category not in indices:
            raise DejavuError(f"{inside} has the category_id {category}, not one of the {len(indices)} known")
        segments[id_] = Segment(indices[category], _flag(inside, segment, "iscrowd", 0))
    return Entry(image_id, name, segments)


def _images(path: Path, content: dict[str, Any]) -> dict[int | str, str]:
    result: dict[int | str, str] = {}
    for number, item in enumerate(_list(path, content, "images") if "images" in content else []):
        where = f"{path}, image {number}"
        id_ = _get(where, item, "id", (int, str), "a whole number or a text")
        if id_ in result:
            raise DejavuError(f"{path} has two images with the id {id_}")
        result[id_] = _plain_name(where, item)
    return result


def read_ids(path: Path) -> np.ndarray:
    """A PNG's segment ids, int32 (H, W). Raises DejavuError for what is no 8-bit RGB PNG, or not whole."""
    check_png(path, 8, RGB)
    pixels = np.asarray(read_image(path, "an 8-bit RGB PNG"), np.int32)
    return pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]


def check_ids(path: Path, ids: np.ndarray, entry: Entry) -> None:
    """Make sure that the ids (H, W) of the PNG at `path` are void or its entry's, and these all occur.

    Raises DejavuError with the file and the first id that is not.
    """
    row = ids.ravel()
    begins = np.flatnonzero(row[1:] != row[:-1]) + 1  # of runs, of which there are few
    present = {int(row[0]), *np.unique(row[begins]).tolist()} - {0} if row.size else set()
    if strange := sorted(present - entry.segments.keys()):
        raise DejavuError(
            f"{path} has pixels of segment {strange[0]}, which the annotation of image {entry.image_id} lacks"
        )
    if missing := sorted(entry.segments.keys() - present):
        raise DejavuError(
            f"{path} has no pixel of segment {missing[0]}, which the annotation of image {entry.image_id} has"
        )


def extents(ids: np.ndarray) -> dict[int, Extent]:
    """Return area and box of every segment of a map of ids (H, W) without void, in the order of their ids.

    >>> extents(np.array([[0, 7, 7], [0, 7, 0]]))
    {7: Extent(area=3, box=(1, 0, 2, 2))}
    """
    result = {}
    for id_ in np.unique(ids[ids > 0]).tolist():
        rows, columns = np.nonzero(ids == id_)
        left, top = int(columns.min()), int(rows.min())
        box = (left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)
        result[id_] = Extent(len(rows), box)
    return result


def as_colours(ids: np.ndarray) -> np.ndarray:
    """Encode segment ids (H, W) as a PNG's colours, uint8 (H, W, 3).

    >>> as_colours(np.array([[1 + 2 * 256 + 3 * 65536]])).tolist()
    [[[1, 2, 3]]]
    """
    wide = ids.astype(np.uint32)
    return np.stack([wide & 255, wide >> 8 & 255, wide >> 16], axis=-1).astype(np.uint8)


def write_ids(path: Path, ids: np.ndarray) -> None:
    """Write segment ids (H, W), 0 to `LARGEST`, as a PNG. Raises DejavuError for one that does not fit."""
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= LARGEST:
        raise DejavuError(
            f"{path} cannot hold the segment ids {ids.min()} to {ids.max()}: 0 to {LARGEST} fit"
        )
    with atomic(path) as temporary:
        Image.fromarray(as_colours(ids)).save(temporary, format="PNG", compress_level=3)


def write_panoptic(
    path: Path, panoptic: Panoptic, sizes: Mapping[int | str, Mapping[int, Extent]] | None = None
) -> None:
    """Write the JSON file; `sizes` are the segments' extents by image, which ground truth has.

    Files of equal content are equal to the byte.
    """
    content = {
        "images": [{"id": id_, "file_name": name} for id_, name in panoptic.images.items()],
        "annotations": [
            _annotation(entry, panoptic.categories, (sizes or {}).get(entry.image_id, {}))
            for entry in panoptic.entries.values()
        ],
        "categories": [
            {"id": c.id, "name": c.name, "isthing": int(c.thing), "color": list(c.colour)}
            for c in panoptic.categories
        ],
    }
    write_text(path, json.dumps(content, sort_keys=True, allow_nan=False) + "\n")


def _annotation(entry: Entry, categories: Sequence[Category], sizes: Mapping[int, Extent]) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    for id_, segment in entry.segments.items():
        identity = {
            "id": id_,
            "category_id": categories[segment.category].id,
            "iscrowd": int(segment.crowd),
        }
        measured = {"area": sizes[id_].area, "bbox": list(sizes[id_].box)} if id_ in sizes else {}
        segments.append(identity | measured)
    return {"image_id": entry.image_id, "file_name": entry.file_name, "segments_info": segments}
