"""COCO's captions: a JSON file with the descriptions of images, five of each or more.

`annotations` are {id, image_id, caption}. Blanks around a caption, and line ends in it, are taken out, and
captions that are empty then are left out.
Format: https://cocodataset.org/#format-data (5. Image Captioning).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...errors import DejavuError
from ...system.files import read_json


def read_captions(
    path: Path, images: Collection[int | str], listing: str
) -> dict[int | str, tuple[str, ...]]:
    """Read the captions of `images`, the ids that `listing` names; by id, in the file's order.

    Raises DejavuError with the file, and the annotation or image, for what is not in this format, a caption
    of another image, and an image without a caption.
    """
    content = read_json(path)
    items = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise DejavuError(f"{path} holds no captions in COCO's format: it has no list 'annotations'")
    texts: dict[int | str, list[str]] = {image: [] for image in images}
    empty = set()
    for number, item in enumerate(items):
        where = f"{path}, annotation {number}"
        image, caption = (
            item.get(key) if isinstance(item, dict) else None for key in ("image_id", "caption")
        )
        if not isinstance(caption, str):
            raise DejavuError(f"{where} has {caption!r} as 'caption', which must be a text")
        if isinstance(image, bool) or not isinstance(image, int | str):
            raise DejavuError(f"{where} has {image!r} as 'image_id', which must be a whole number or a text")
        if image not in texts:
            raise DejavuError(f"{where} describes image {image}, which {listing} does not have")
        if plain := " ".join(caption.split()):
            texts[image].append(plain)
        else:
            empty.add(image)
    for image, its in texts.items():
        if not its:
            fault = "only empty captions" if image in empty else "no caption"
            raise DejavuError(f"{path} has {fault} of image {image}, which {listing} has")
    return {image: tuple(its) for image, its in texts.items()}
