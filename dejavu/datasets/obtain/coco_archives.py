"""COCO's official archives: where they come from, and what is unpacked of each.

Captions are optional. They come with the annotations where these are fetched; a folder that the user, or a
mirror, has unpacked stays as it is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

from ...errors import DejavuError
from . import mirror
from .archive import unpack
from .fetch import fetch


class Archive(NamedTuple):
    """One of the official archives."""

    path: str
    """below the server's address"""
    sha256: str
    """as TensorFlow Datasets has it (url_checksums/coco.txt): the authors publish none, and serve the
    archives without encryption"""
    folder: str
    """the folder in the archive"""
    largest: int
    """bytes that it may unpack to"""


IMAGES = (
    Archive(
        "zips/train2017.zip",
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        "train2017",
        25_000_000_000,  # it is 19.3 GB, all of it JPEG files
    ),
    Archive(
        "zips/val2017.zip",
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        "val2017",
        2_000_000_000,  # 816 MB
    ),
)
PANOPTIC = Archive(
    "annotations/panoptic_annotations_trainval2017.zip",
    "c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
    "annotations",
    4_000_000_000,  # 861 MB: two JSON files, and an archive of PNGs for each split
)
TEXTS = Archive(
    "annotations/annotations_trainval2017.zip",
    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    "annotations",
    800_000_000,  # whole; the captions, which alone are unpacked, are 96 MB
)
CAPTIONS = ("captions_train2017.json", "captions_val2017.json")
"""its files that are read"""


def obtain(raw: Path, folder: Path | None, url: str | None) -> None:
    """Bring all folders of COCO into `raw`.

    They are links to those of the mirror's `folder`, or unpacked from its archives, or from those of `url`.
    Raises DejavuError for a folder that cannot be obtained.
    """
    for archive in (*IMAGES, PANOPTIC):
        _obtain(archive, raw, folder, url)
    annotations = raw / PANOPTIC.folder
    if annotations.is_symlink():
        return
    _unpack_pngs(annotations)
    texts = [place / Path(TEXTS.path).name for place in (folder, raw) if place is not None]
    # Annotations without an archive of their own were unpacked by hand.
    if (raw / Path(PANOPTIC.path).name).exists() or any(map(Path.is_file, texts)):
        _fetch(TEXTS, raw, folder, url)


def _obtain(archive: Archive, raw: Path, folder: Path | None, url: str | None) -> None:
    """Link or unpack an archive's folder into `raw`; `folder` is the mirror's."""
    name, target = Path(archive.path).name, raw / archive.folder
    if folder is not None and (folder / archive.folder).is_dir():
        mirror.link(folder / archive.folder, target)
        return
    mirrored = folder is not None and (folder / name).is_file()
    if not mirrored and target.is_dir() and not (raw / name).exists():
        return  # unpacked by hand, or linked before
    _fetch(archive, raw, folder, url)


def _fetch(archive: Archive, raw: Path, folder: Path | None, url: str | None) -> None:
    """Unpack the mirror's archive, or the one below `url`."""
    name = Path(archive.path).name
    if folder is not None and (folder / name).is_file():
        _unpack(folder / name, raw, archive)
        return
    if not url:
        raise DejavuError(
            f"datasets.coco_panoptic.url is not set: unpack {name} into {raw.resolve()}, so that it holds "
            f"{archive.folder}/, or set DEJAVU_MIRROR to a folder whose coco_panoptic/ does"
        )
    fetch(
        urljoin(url, archive.path),
        raw / name,
        archive.sha256,
        description=f"download {name}",
        largest=archive.largest,
    )
    _unpack(raw / name, raw, archive)


def _unpack(path: Path, raw: Path, archive: Archive) -> None:
    if (raw / archive.folder).is_symlink():  # a link to an earlier mirror, which must not change
        (raw / archive.folder).unlink()
    unpack(path, raw, partial(_wanted, archive), archive.largest)


def _wanted(archive: Archive, name: str) -> str | None:
    """Return the path below `raw` of a file in an archive, None for one that is not needed.

    >>> _wanted(TEXTS, "annotations/captions_val2017.json")
    'annotations/captions_val2017.json'
    >>> _wanted(TEXTS, "annotations/instances_val2017.json")
    """
    names = [f"{TEXTS.folder}/{one}" for one in CAPTIONS]
    needed = name in names if archive.path == TEXTS.path else name.startswith(f"{archive.folder}/")
    return name if needed else None


def _unpack_pngs(annotations: Path) -> None:
    """Unpack the archives of PNGs that the annotations' archive holds."""
    for folder in ("panoptic_train2017", "panoptic_val2017"):
        archive = annotations / f"{folder}.zip"
        if archive.is_file():
            unpack(archive, annotations, partial(_png_of, folder), PANOPTIC.largest)


def _png_of(folder: str, name: str) -> str | None:
    """Return the path below `annotations` of a file in an archive of PNGs, None for anything else.

    The archives were packed on a Mac, and hold more than PNGs.

    >>> _png_of("panoptic_val2017", "panoptic_val2017/000000000139.png")
    'panoptic_val2017/000000000139.png'
    >>> _png_of("panoptic_val2017", "__MACOSX/panoptic_val2017/._000000000139.png")
    """
    return name if name.startswith(f"{folder}/") and name.endswith(".png") else None
