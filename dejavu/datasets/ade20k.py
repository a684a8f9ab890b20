"""ADE20K, the scene parsing challenge of 2016: 20210 / 2000 images of many sizes, 150 classes.

Layout: `images/{training,validation}/NAME.jpg` and `annotations/{training,validation}/NAME.png`, with the
values 1..150 = classes and 0 = something else, which is neither trained on nor evaluated. Class names are the
first ones of the data's objectInfo150.txt. The colours are our own (formats/palette.py), not the challenge's.
Zhou et al.: Scene parsing through ADE20K dataset, CVPR 2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DejavuError
from ..system.folders import files_below
from .dataset import IGNORE, Classes, Dataset, Pair
from .formats.images import read_indices, relabel
from .formats.palette import distinct
from .formats.patterns import check_images, check_labels, find
from .obtain import mirror
from .obtain.archive import unpack
from .obtain.fetch import fetch
from .scenes import raw_files

NAMES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence",
    "desk", "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand",
    "path", "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge",
    "bookcase", "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove",
    "palm", "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television",
    "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle",
    "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything",
    "swimming pool", "stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven",
    "ball", "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake",
    "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray",
    "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator",
    "glass", "clock", "flag",
)  # fmt: skip
SPLITS = {"train": 20210, "val": 2000}
FOLDERS = {"train": "training", "val": "validation"}
KINDS, ENDINGS = ("images", "annotations"), (".jpg", ".png")

ARCHIVE = "ADEChallengeData2016.zip"
SHA1 = "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7"
"""The archive's, as public tools have it (GluonCV among them): its authors publish none, and serve the
archive without encryption. `datasets.ade20k.sha256` in params.yaml takes precedence."""
LARGEST = 4_000_000_000
"""bytes that the archive may be and unpack to; it is 923 MB, mostly JPEG files"""


def download(raw: Path, requested: Any, source: Any) -> list[str]:
    """Render scenes where the source is synthetic; else obtain the real data.

    Sources are tried in this order: `$DEJAVU_MIRROR/ade20k` (its two folders, to which links are made, or the
    archive), what the user has unpacked in `raw`, and the archive at `source.url`, whose checksum is
    verified.
    """
    if requested.source == "synthetic":
        counts = {"train": requested.train, "val": requested.val}
        return raw_files.write_ade20k(raw, source.seed, requested.size, counts)
    raw_files.remove_ade20k(raw)  # rendered scenes must not be mistaken for the real ones
    folder = mirror.find("ade20k")
    if folder is not None and all((folder / kind).is_dir() for kind in KINDS):
        for kind in KINDS:
            mirror.link(folder / kind, raw / kind)
    elif folder is not None and (folder / ARCHIVE).is_file():
        _unpack(folder / ARCHIVE, raw)
    elif (raw / ARCHIVE).exists() or not all((raw / kind).is_dir() for kind in KINDS):
        if not source.url:
            raise DejavuError(
                f"datasets.ade20k.url is not set: unpack {ARCHIVE} into {raw.resolve()}, so that it holds "
                "images/ and annotations/, or set DEJAVU_MIRROR to a folder whose ade20k/ does"
            )
        algorithm, digest = ("sha256", source.sha256) if source.sha256 else ("sha1", SHA1)
        fetch(
            source.url,
            raw / ARCHIVE,
            digest,
            algorithm=algorithm,
            description="download",
            largest=LARGEST,
        )
        _unpack(raw / ARCHIVE, raw)
    return sorted(
        path.relative_to(raw).as_posix()
        for split in SPLITS
        for pair in pairs(raw, split)
        for path in (pair.image, pair.label)
    )


def _unpack(archive: Path, raw: Path) -> None:
    for kind in KINDS:
        if (raw / kind).is_symlink():  # a link to an earlier mirror, which must not change
            (raw / kind).unlink()
    unpack(archive, raw, _target, LARGEST)


def _target(name: str) -> str | None:
    """Return the path below `raw` of a file of the archive, None where it is not needed.

    >>> _target("ADEChallengeData2016/images/training/ADE_train_00000001.jpg")
    'images/training/ADE_train_00000001.jpg'
    >>> _target("ADEChallengeData2016/sceneCategories.txt")
    """
    _, _, path = name.partition("/")
    return path if path.split("/")[0] in KINDS else None


def pairs(raw: Path, split: str) -> list[Pair]:
    """Return the pairs of `split`, sorted by name."""
    forms = [f"{kind}/{FOLDERS[split]}/{{name}}{end}" for kind, end in zip(KINDS, ENDINGS, strict=True)]
    images, labels = (find(raw, form, str(raw / form)) for form in forms)
    if not images:
        raise DejavuError(f"{raw / KINDS[0] / FOLDERS[split]} has no *.jpg: unpack {ARCHIVE} there")
    check_labels(images, images, labels, str(raw / forms[1]))
    check_images(images, labels, str(raw / forms[0]))
    ordered = sorted(images.items(), key=lambda item: item[1])
    return [Pair(name, image, labels[name]) for name, image in ordered]


def candidates(raw: Path) -> list[Path]:
    """Return the files in the folders of images and of labels."""
    return [
        path for kind in KINDS for folder in FOLDERS.values() for path in files_below(raw / kind / folder)
    ]


_TRAIN_IDS = {0: IGNORE, **{number + 1: number for number in range(len(NAMES))}}


def decode_label(path: Path) -> np.ndarray:
    """Read train ids 0..149, uint8 (H, W): the stored values less one, and 255 for 0."""
    remedy = ": 0 is void and 1 the first class in the challenge's files, from which nothing was subtracted"
    return relabel(path, read_indices(path), _TRAIN_IDS, remedy)


DATASET = Dataset(
    title="ADE20K",
    classes=Classes(NAMES, distinct(len(NAMES))),
    splits=SPLITS,
    evaluate="val",
    download=download,
    pairs=pairs,
    candidates=candidates,
    decode_label=decode_label,
)
