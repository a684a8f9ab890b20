"""MS-COCO's panoptic segmentation of 2017: 118287 / 5000 images of many sizes, 80 things, 53 kinds of stuff.

Layout: `{train,val}2017/*.jpg`, and in `annotations/` for each split `panoptic_<split>2017.json` with the
PNGs in `panoptic_<split>2017/` (formats/coco.py), and beside it, where there are captions,
`captions_<split>2017.json` (formats/coco_captions.py). Ids, names and colours are those of the official list
(github.com/cocodataset/panopticapi, panoptic_coco_categories.json), in its order.
Lin et al.: Microsoft COCO, ECCV 2014; Kirillov et al.: Panoptic segmentation, CVPR 2019.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DejavuError
from ..system.folders import Listing, alike, files_below
from ..tasks import segments
from .dataset import Classes, Dataset, Pair, labels_of
from .formats.coco import Category, Entry, Panoptic, check_ids, read_ids, read_panoptic
from .formats.coco_captions import read_captions
from .obtain import coco_archives, mirror
from .obtain.coco_archives import CAPTIONS
from .scenes import raw_coco

# id, name, colour
_THINGS = (
    (1, "person", 0xDC143C), (2, "bicycle", 0x770B20), (3, "car", 0x00008E), (4, "motorcycle", 0x0000E6),
    (5, "airplane", 0x6A00E4), (6, "bus", 0x003C64), (7, "train", 0x005064), (8, "truck", 0x000046),
    (9, "boat", 0x0000C0), (10, "traffic light", 0xFAAA1E), (11, "fire hydrant", 0x64AA1E),
    (13, "stop sign", 0xDCDC00), (14, "parking meter", 0xAF74AF), (15, "bench", 0xFA001E),
    (16, "bird", 0xA52A2A), (17, "cat", 0xFF4DFF), (18, "dog", 0x00E2FC), (19, "horse", 0xB6B6FF),
    (20, "sheep", 0x005200), (21, "cow", 0x78A69D), (22, "elephant", 0x6E4C00), (23, "bear", 0xAE39FF),
    (24, "zebra", 0xC76400), (25, "giraffe", 0x480076), (27, "backpack", 0xFFB3F0),
    (28, "umbrella", 0x007D5C), (31, "handbag", 0xD10097), (32, "tie", 0xBCD0B6),
    (33, "suitcase", 0x00DCB0), (34, "frisbee", 0xFF63A4), (35, "skis", 0x5C0049),
    (36, "snowboard", 0x8581FF), (37, "sports ball", 0x4EB4FF), (38, "kite", 0x00E400),
    (39, "baseball bat", 0xAEFFF3), (40, "baseball glove", 0x2D59FF), (41, "skateboard", 0x868667),
    (42, "surfboard", 0x9194AE), (43, "tennis racket", 0xFFD0BA), (44, "bottle", 0xC5E2FF),
    (46, "wine glass", 0xAB8601), (47, "cup", 0x6D3F36), (48, "fork", 0xCF8AFF), (49, "knife", 0x97005F),
    (50, "spoon", 0x09503D), (51, "bowl", 0x546933), (52, "banana", 0x4A4169), (53, "apple", 0xA6C466),
    (54, "sandwich", 0xD0C3D2), (55, "orange", 0xFF6D41), (56, "broccoli", 0x008F95),
    (57, "carrot", 0xB300C2), (58, "hot dog", 0xD1636A), (59, "pizza", 0x057900), (60, "donut", 0xE3FFCD),
    (61, "cake", 0x93BAD0), (62, "chair", 0x994501), (63, "couch", 0x035FA1),
    (64, "potted plant", 0xA3FF00), (65, "bed", 0x7700AA), (67, "dining table", 0x00B6C7),
    (70, "toilet", 0x00A578), (72, "tv", 0xB78258), (73, "laptop", 0x5F2000), (74, "mouse", 0x827287),
    (75, "remote", 0x6E8185), (76, "keyboard", 0xA64A76), (77, "cell phone", 0xDB8EB9),
    (78, "microwave", 0x4FD272), (79, "oven", 0xB25A3E), (80, "toaster", 0x41460F), (81, "sink", 0x7FA773),
    (82, "refrigerator", 0x3B696A), (84, "book", 0x8E6C2D), (85, "clock", 0xC4AC00), (86, "vase", 0x5F3650),
    (87, "scissors", 0x804CFF), (88, "teddy bear", 0xC93901), (89, "hair drier", 0xF6007A),
    (90, "toothbrush", 0xBFA2D0),
)  # fmt: skip
_STUFF = (
    (92, "banner", 0xFFFF80), (93, "blanket", 0x93D3CB), (95, "bridge", 0x966464),
    (100, "cardboard", 0xA8ABAC), (107, "counter", 0x9270C6), (109, "curtain", 0xD2AA64),
    (112, "door-stuff", 0x5C8859), (118, "floor-wood", 0xDA58B8), (119, "flower", 0xF18100),
    (122, "fruit", 0xD911FF), (125, "gravel", 0x7C4AB5), (128, "house", 0x464646), (130, "light", 0xFFE4FF),
    (133, "mirror-stuff", 0x9AD000), (138, "net", 0xC1005C), (141, "pillow", 0x4C5B71),
    (144, "platform", 0xFFB4C3), (145, "playingfield", 0x6A9AB0), (147, "railroad", 0xE6968C),
    (148, "river", 0x3C8FFF), (149, "road", 0x804080), (151, "roof", 0x5C5237), (154, "sand", 0xFED47C),
    (155, "sea", 0x494DAE), (156, "shelf", 0xFFA062), (159, "snow", 0xFFFFFF), (161, "stairs", 0x68546D),
    (166, "tent", 0xA9A483), (168, "towel", 0xE1C7FF), (171, "wall-brick", 0x89364A),
    (175, "wall-stone", 0x879EDF), (176, "wall-tile", 0x07F6E7), (177, "wall-wood", 0x6BFFC8),
    (178, "water-other", 0x3A2995), (180, "window-blind", 0xB7798E), (181, "window-other", 0xFF4961),
    (184, "tree-merged", 0x6B8E23), (185, "fence-merged", 0xBE9999), (186, "ceiling-merged", 0x928B8D),
    (187, "sky-other-merged", 0x4682B4), (188, "cabinet-merged", 0x86C79C), (189, "table-merged", 0xD1E28C),
    (190, "floor-other-merged", 0x60246C), (191, "pavement-merged", 0x606060),
    (192, "mountain-merged", 0x40AA40), (193, "grass-merged", 0x98FB98), (194, "dirt-merged", 0xD0E5E4),
    (195, "paper-merged", 0xCEBAAB), (196, "food-other-merged", 0x98A140),
    (197, "building-other-merged", 0x747000), (198, "rock-merged", 0x00728F),
    (199, "wall-other-merged", 0x66669C), (200, "rug-merged", 0xFA8DFF),
)  # fmt: skip


def _category(row: tuple[int, str, int], thing: bool) -> Category:
    id_, name, colour = row
    return Category(id_, name, thing, (colour >> 16, colour >> 8 & 255, colour & 255))


TABLE = tuple([_category(row, True) for row in _THINGS] + [_category(row, False) for row in _STUFF])
"""The categories in the order of train ids"""
CLASSES = Classes(
    names=tuple(category.name for category in TABLE),
    palette=tuple(category.colour for category in TABLE),
    things=tuple(category.thing for category in TABLE),
    ids=tuple(category.id for category in TABLE),
)
SPLITS = {"train": 118287, "val": 5000}


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Render scenes where the source is synthetic; else obtain each folder of the real data.

    Sources are tried in this order: `$DEJAVU_MIRROR/coco_panoptic` (its folders, to which links are made, or
    the archives), what the user has unpacked in `raw`, and the archives below the address `source.url`, whose
    checksums are verified. Captions are optional: a mirror or folder need not have them.
    """
    if requested.source == "synthetic":
        counts = {"train": requested.train, "val": requested.val}
        return raw_coco.write(raw, source.seed, requested.size, counts, TABLE)
    raw_coco.remove(raw)  # rendered scenes must not be mistaken for the real ones
    coco_archives.obtain(raw, mirror.find("coco_panoptic"), source.url)
    files = [f"annotations/panoptic_{split}2017.json" for split in SPLITS]
    files += [f"annotations/{name}" for name in CAPTIONS if (raw / "annotations" / name).is_file()]
    for split in SPLITS:
        for pair in pairs(raw, split):
            files += [path.relative_to(raw).as_posix() for path in (pair.image, pair.label)]
    return sorted(files)


def _listing(raw: Path, split: str) -> Path:
    return raw / "annotations" / f"panoptic_{split}2017.json"


def _annotations(path: Path) -> tuple[Panoptic, dict[str, Entry]]:
    """Read a split's JSON and its entries by PNG; a file that has not changed is read once."""
    try:
        state = path.stat()
    except FileNotFoundError:
        name = Path(coco_archives.PANOPTIC.path).name
        raise DejavuError(f"{path} is missing: unpack {name} into {path.parents[1]}") from None
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> tuple[Panoptic, dict[str, Entry]]:
    content = read_panoptic(path, TABLE)
    for entry in content.entries.values():
        if Path(entry.file_name).name != entry.file_name:
            raise DejavuError(
                f"{path} lists '{entry.file_name}', and PNGs have no folders of their own there"
            )
    named = {entry.file_name: entry for entry in content.entries.values()}
    return content, {alike(name): entry for name, entry in named.items()} | named


def pairs(raw: Path, split: str) -> list[Pair]:
    """Return the pairs of `split` that its JSON lists, sorted by name."""
    listing = _listing(raw, split)
    content, _ = _annotations(listing)
    for id_, name in content.images.items():
        if id_ not in content.entries:
            raise DejavuError(f"{listing} has no annotation of its image {id_} ({name})")
    images, pngs = Listing(raw / f"{split}2017"), Listing(listing.with_suffix(""))
    result = []
    for entry in content.entries.values():
        name = content.images.get(entry.image_id, f"{Path(entry.file_name).stem}.jpg")
        image, png = images.get(name), pngs.get(entry.file_name)
        if image is None or png is None:
            folder, name = (images, name) if image is None else (pngs, entry.file_name)
            raise DejavuError(f"{folder.folder / name} is missing{folder.hint(name)}: {listing} lists it")
        result.append(Pair(Path(entry.file_name).stem, image, png, panoptic=png))
    if not result:
        raise DejavuError(f"{listing} has no annotations")
    return sorted(result, key=lambda pair: pair.name)


def candidates(raw: Path) -> list[Path]:
    """Return the files in the folders of images and of PNGs."""
    folders = [raw / f"{split}2017" for split in SPLITS]
    folders += [_listing(raw, split).with_suffix("") for split in SPLITS]
    return [path for folder in folders for path in files_below(folder)]


def captions(raw: Path, split: str) -> dict[str, tuple[str, ...]] | None:
    """Return the captions of each pair of `split` by its name, five or more; None where there are no files.

    Raises DejavuError for a split without them beside one that has them, and for what read_captions refuses.
    """
    present = [name for name in CAPTIONS if (raw / "annotations" / name).is_file()]
    if not present:
        return None
    path, listing = raw / "annotations" / f"captions_{split}2017.json", _listing(raw, split)
    if path.name not in present:
        raise DejavuError(f"{path} is missing, and {present[0]} is there: unpack both of them, or none")
    entries = _annotations(listing)[0].entries
    read = read_captions(path, entries.keys(), listing.name)
    return {Path(entry.file_name).stem: read[id_] for id_, entry in entries.items()}


def decode_panoptic(pair: Pair) -> np.ndarray:
    """A pair's codes (tasks/segments.py), uint16 (H, W). Raises DejavuError with the file and the segment."""
    assert pair.panoptic is not None
    return _codes(pair.panoptic)


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..132, uint8 (H, W), of a PNG of segment ids; void and crowds become 255."""
    return labels_of(_codes(path))


def _codes(path: Path) -> np.ndarray:
    listing = path.parent.with_suffix(".json")
    entries = _annotations(listing)[1]
    entry = entries.get(path.name) or entries.get(alike(path.name))
    if entry is None:
        raise DejavuError(f"{path} is not in {listing}")
    ids = read_ids(path)
    check_ids(path, ids, entry)
    try:
        return segments.encode(ids, entry.segments, [category.name for category in TABLE])
    except DejavuError as error:
        raise DejavuError(f"{path} cannot be read: {error}") from None


DATASET = Dataset(
    title="COCO",
    task="panoptic",
    classes=CLASSES,
    splits=SPLITS,
    evaluate="val",
    download=download,
    pairs=pairs,
    candidates=candidates,
    decode_label=decode_label,
    decode_panoptic=decode_panoptic,
    captions=captions,
)
