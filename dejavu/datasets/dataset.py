"""The description of a dataset: its classes, its splits, and the functions that read its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DejavuError
from ..system.folders import name_fault, shown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

IGNORE = 255
"""The train id of pixels that are neither trained on nor evaluated."""


UNLABELLED = "unlabelled"
"""The split of images without labels, where there are some; a dataset's own splits have other names."""


class Pair(NamedTuple):
    """The files of an image, of its label and of its other targets. `name` is unique in its split."""

    name: str
    image: Path
    label: Path
    depth: Path | None = None
    normals: Path | None = None
    panoptic: Path | None = None


@dataclass(frozen=True)
class Classes:
    """Classes in the order of their train ids 0, 1, ...; each field has one entry a class, or is None.

    >>> len(Classes(["road", "car"], [(128, 64, 128), (0, 0, 142)], categories=["flat", "vehicle"]))
    2
    """

    names: Sequence[str] = ()
    palette: Sequence[Sequence[int]] = ()
    """colours, RGB"""
    categories: Sequence[str] | None = None
    """each class's group, by Cityscapes' names"""
    things: Sequence[bool] | None = None
    """for panoptic datasets: True for classes that can be counted; the others are stuff"""
    ids: Sequence[int] | None = None
    """ids in the dataset's own files, which `dejavu predict` writes; None: 1, 2, ... For panoptic datasets"""

    def __len__(self) -> int:
        return len(self.names)


def _read_image(path: Path) -> Image:
    from .formats.images import read_image

    return read_image(path, upright=False)  # labels were drawn on the files as they are


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset, which its file in this package defines as `DATASET = Dataset(...)`.

    In all functions `raw` is the folder of the dataset's raw files. Without classes `decode_label` returns
    ignored pixels alone.
    """

    title: str
    """its name in tables"""
    splits: Mapping[str, int | None]
    """split -> how many images its authors published, None where that is not one number"""
    evaluate: str
    """the split that tables report"""
    validate: str = "val"
    """the split that learning curves are drawn on; no checkpoint is chosen by it"""
    task: str = "semantic"
    """the task that the dataset was made for"""
    classes: Classes = Classes()
    scene_classes: Classes | None = None
    """the classes of the train ids in rendered scenes, where these cannot have the dataset's own"""

    download: Callable[[Path, Any, Any], list[str]]
    """(raw, requested, source): obtain the verified raw files; return their paths below `raw`, sorted.

    `requested` is the scale's entry of params.yaml (source, size, train, val), `source` the entry of
    `datasets` that it names. Raises DejavuError with the necessary steps if the files cannot be obtained.
    """
    pairs: Callable[[Path, str], list[Pair]]
    """(raw, split): the images of a split with their labels, in a fixed order.

    Raises DejavuError that names the file when one of a pair, or the whole split, is missing.
    """
    candidates: Callable[[Path], Sequence[Path]] = lambda raw: ()
    """(raw): the files among which `pairs` looks; `dejavu prepare` names those that no pair has."""
    decode_label: Callable[[Path], np.ndarray]
    """A label file as train ids, uint8 (H, W), 255 = ignored.

    Raises DejavuError with the file and the value when a value is not of this dataset.
    """
    decode_image: Callable[[Path], Image] = _read_image
    """An image, RGB in 8 bits."""
    decode_depth: Callable[[Path], np.ndarray] | None = None
    """A depth file in metres along z, float32 (H, W), 0 = none. Raises DejavuError with the file."""
    decode_normals: Callable[[Pair, np.ndarray], np.ndarray] | None = None
    """A pair's normals, float32 (H, W, 3), 0-vector = none, in the convention of formats/normals.py.

    They are read where the pair has a file of them, and else derived from the second argument, its depth
    (H, W), which is 0 where the dataset has none.
    """
    decode_panoptic: Callable[[Pair], np.ndarray] | None = None
    """A pair's panoptic codes (tasks/segments.py), uint16 (H, W); `labels_of` makes labels of them.

    Raises DejavuError with the file and the segment when they do not fit each other.
    """
    decode_more: Mapping[str, Callable[[Pair], np.ndarray]] = field(default_factory=dict)
    """The arrays of further tasks, by their names (`array` in tasks/<task>.py): (H, W, *item) of a pair."""
    captions: Callable[[Path, str], Mapping[str, Sequence[str]] | None] | None = None
    """(raw, split): one description or more of each pair, by its name; None where the files have none.

    Raises DejavuError with the file for captions that do not fit the split's images.
    """
    settings: str = ""
    """the section of params.yaml that says how its label files are read; '' where this package says it"""
    doubt: Callable[[Sequence[int], Sequence[Path]], str | None] | None = None
    """(train ids of which there are pixels, label files): what is wrong with files in which most classes have
    no pixel, and what would help; None where nothing need be wrong."""
    remarks: Callable[[Path], Sequence[str]] | None = None
    """Sentences on the raw files in `raw` that a reader of a table must know."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The arrays other than images for which there is a function."""
        functions = {
            "depth": self.decode_depth,
            "normals": self.decode_normals,
            "panoptic": self.decode_panoptic,
        }
        present = (kind for kind, function in functions.items() if function is not None)
        return ("labels", *present, *self.decode_more)

    def checked_pairs(self, raw: Path, split: str) -> list[Pair]:
        """Return `pairs`. Raises DejavuError for a name that is there twice, or that no list can hold."""
        pairs, known = self.pairs(raw, split), dict[str, Pair]()
        for pair in pairs:
            if fault := name_fault(pair.name):
                raise DejavuError(f"{shown(pair.image)} {fault}")
            if known.setdefault(pair.name, pair) is not pair:
                both = f"{known[pair.name].image} and {pair.image}"
                raise DejavuError(f"{both} are both '{pair.name}' of the split {split}: names have to differ")
        return pairs

    def left_out(self, raw: Path, pairs: Sequence[Pair]) -> list[str]:
        """Return the paths below `raw` of the candidates that no pair of any split has."""
        used = {path for pair in pairs for path in pair[1:]}
        return [path.relative_to(raw).as_posix() for path in self.candidates(raw) if path not in used]

    def classes_of(self, source: str) -> Classes:
        """Return the classes of `source` in this dataset's layout: the dataset itself, or "synthetic"."""
        return self.scene_classes if source == "synthetic" and self.scene_classes else self.classes


def labels_of(codes: np.ndarray) -> np.ndarray:
    """Return train ids, uint8 (H, W), of a panoptic map's codes (H, W): 255 where it is void or a crowd.

    >>> import numpy as np
    >>> labels_of(np.array([[512, 513, 767, 65535]], np.uint16)).tolist()
    [[2, 2, 255, 255]]
    """
    from ..tasks.segments import classes_of, is_crowd

    labels = classes_of(codes)
    labels[is_crowd(codes)] = IGNORE
    return labels
