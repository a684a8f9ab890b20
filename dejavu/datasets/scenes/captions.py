"""Captions of synthetic scenes in COCO's format, five of each as COCO has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...system.files import write_text

_FORM = re.compile(r"A street on (.+) with (.+)\.")
"""the renderer's own sentence (render.py)"""
_INFO = '{"info": {"description": "rendered scenes"}'


def described(caption: str) -> list[str]:
    """Return five sentences of the renderer's one; like COCO's, one ends in a line end, one in a blank.

    >>> described("A street on a sunny day with 2 cars, wall.")[1]
    'There is a street with 2 cars, wall.'
    """
    match = _FORM.fullmatch(caption)
    assert match is not None, caption
    light, holds = match.groups()
    return [
        caption,
        f"There is a street with {holds}.",
        f"A view along a street on {light}.\n",
        f"{holds[0].upper()}{holds[1:]} on {light}. ",
        f"The camera of a car sees {holds}.",
    ]


def write(path: Path, texts: Mapping[int, Sequence[str]]) -> None:
    """Write a captions file: the sentences of each image by its id."""
    pairs = [(image, caption) for image, its in texts.items() for caption in its]
    items = [
        {"caption": caption, "id": id_, "image_id": image} for id_, (image, caption) in enumerate(pairs, 1)
    ]
    write_text(path, f'{_INFO}, "annotations": {json.dumps(items)}}}\n')


def is_rendered(path: Path) -> bool:
    """Return whether a captions file begins as ours do."""
    with path.open("rb") as file:
        return file.read(len(_INFO)) == _INFO.encode()
