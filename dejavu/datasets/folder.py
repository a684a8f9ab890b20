"""Any folder of images and label PNGs as a dataset: the key `folder` of an entry of params.yaml's datasets.

    datasets:
      mydata:
        licence: "my own"
        folder:
          path: /data/mydata                      # or relative to where commands are run
          images: "images/{split}/{name}.jpg"
          labels: "labels/{split}/{name}.png"
          classes: [background, road, car]        # in the order of the values 0, 1, ... in label files

`{name}` is an image's name, the same in both, and may go through sub-folders; `{split}` is train or val, or
the names in `splits`; `*` is anything within one component of a path. Instead of sub-folders, text files
may list the images of each split: `lists: "{split}.txt"`, with a name or an image's path on each line. Label
files are PNGs of 8-bit grey or of palette indices, 255 = ignored (`ignore` has other values); `values` gives
the value, or the values, of each class where they are not 0, 1, ... A third split, test, is the one that
tables report. Optional, too: `palette`, a colour [R, G, B] for each class, and `categories`, one for each.

Beside or instead of labels there may be `depth` and `normals`, paths likewise. Depth is a 16-bit PNG or a
.npy of numbers (H, W) or (H, W, 1), 0 = none, in units of `depth_scale` metres (PNG 0.001, .npy 1). Normals
are unit vectors in the convention of formats/normals.py: an 8-bit PNG whose R, G, B are (n + 1) x 127.5,
black = none, or a .npy of numbers (H, W, 3), 0-vector = none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError
from ..system.folders import files_below, folder_hint
from .dataset import IGNORE, Classes, Dataset, Pair
from .formats import patterns
from .formats.lists import Lines, listed, read_list
from .obtain import mirror

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

LINK = "folder"
"""name of the link in the raw folder to the user's folder"""
_ORDER = ("train", "val", "test")
_BOTH = {"{name}", "{split}"}
_ENDINGS = {
    "labels": ((".png",), ".png, which keeps class indices exact"),
    "depth": ((".png", ".npy"), ".png or .npy"),
    "normals": ((".png", ".npy"), ".png or .npy"),
}
"""The files of each array that is learnt, by their endings."""
_MILLIMETRE = 0.001


def fault(settings: Any) -> str | None:
    """Describe what is wrong with a folder's settings: "key: what would be right"; None where nothing is."""
    lists = settings.lists
    for key, pattern, braces in (
        ("images", settings.images, _BOTH),
        *((kind, pattern, _BOTH) for kind, pattern in _targets(settings).items()),
        ("lists", lists or "{split}", {"{split}"}),
    ):
        wrong = patterns.fault(pattern, braces)
        if wrong:
            return f"{key}: {wrong}, not '{pattern}'"
    if lists is None and "{split}" not in settings.images:
        return "images: needs {split}, unless `lists` names text files that tell the splits apart"
    if lists is not None and "{split}" not in lists:
        return "lists: needs {split}, or all splits would be the same"
    if not _targets(settings):
        return "labels: is missing, and so are depth and normals: one of them is needed"
    for kind, pattern in _targets(settings).items():
        endings, allowed = _ENDINGS[kind]
        if not pattern.lower().endswith(endings):
            return f"{kind}: must end in {allowed}, not '{pattern}'"
    if (settings.labels is None) != (not settings.classes):
        return "classes: is for labels: give both or neither"
    if settings.depth is None and settings.depth_scale is not None:
        return "depth_scale: is for depth, which is missing"
    if "train" not in settings.splits or len(settings.splits) < 2:
        return f"splits: must have train, and val or test or both, not {', '.join(settings.splits) or 'none'}"
    return _meaning_fault(settings)


def _meaning_fault(settings: Any) -> str | None:
    """Describe a class without its values, or a value with two meanings; None where there is neither."""
    count = len(settings.classes)
    twice = _twice(settings.classes)
    if twice:
        return f"classes: '{twice[0]}' is given twice"
    for key in ("values", "palette", "categories"):
        given = getattr(settings, key)
        if given is not None and len(given) != count:
            return f"{key}: needs one for each of the {count} classes, and has {len(given)}"
    both = _twice([*settings.ignore, *(value for values in _values(settings) for value in values)])
    if both:
        return f"values: {both[0]} has two meanings, among the classes' values and `ignore`"
    return None


def _targets(settings: Any) -> dict[str, str]:
    """Return the patterns of the arrays that are learnt: labels, depth and normals, those that there are."""
    return {kind: pattern for kind in _ENDINGS if (pattern := getattr(settings, kind)) is not None}


def _values(settings: Any) -> list[Sequence[int]]:
    """Return the values in label files of each class."""
    given = settings.values or range(len(settings.classes))
    return [value if isinstance(value, tuple | list) else (value,) for value in given]


def _twice(items: Sequence[Any]) -> list[Any]:
    return [item for item, uses in Counter(items).items() if uses > 1]


def read_folder(name: str, settings: Any) -> Dataset:
    """Make a dataset of a folder: `settings` is `datasets.<name>.folder` of params.yaml.

    Raises DejavuError where the settings do not go together.
    """
    wrong = fault(settings)
    if wrong:
        raise DejavuError(f"datasets.{name}.folder.{wrong}")
    from .formats.palette import distinct

    folder = _Folder(name, settings)
    palette = settings.palette or distinct(len(settings.classes))
    return Dataset(
        title=name,
        task="semantic" if "labels" in folder.targets else next(iter(folder.targets)),
        classes=Classes(tuple(settings.classes), palette, settings.categories),
        splits=dict.fromkeys(folder.splits),
        evaluate=folder.splits[-1],
        validate=folder.splits[1],
        download=folder.download,
        pairs=folder.pairs,
        candidates=folder.candidates,
        decode_image=folder.decode_image,
        decode_label=folder.decode_label,
        decode_depth=folder.decode_depth if "depth" in folder.targets else None,
        decode_normals=folder.decode_normals if "normals" in folder.targets else None,
        settings=folder.where,
        doubt=folder.doubt,
    )


class _Folder:
    """A folder as a dataset: the functions that read it."""

    def __init__(self, name: str, settings: Any) -> None:
        self.name, self.settings, self.where = name, settings, f"datasets.{name}.folder"
        self.targets = _targets(settings)
        self.splits = [split for split in _ORDER if split in settings.splits]
        self.train_ids = dict.fromkeys(settings.ignore, IGNORE) | {
            value: number for number, values in enumerate(_values(settings)) for value in values
        }

    def download(self, raw: Path, requested: Any, source: Any) -> list[str]:
        """Make a link to the folder, and copy nothing; returns the paths of its files and lists below `raw`.

        Raises DejavuError where there is no such folder, or an image is in two splits.
        """
        origin = Path(self.settings.path) if self.settings.path is not None else mirror.find(self.name)
        if origin is None and (raw / LINK).is_dir():  # linked when there was a mirror
            origin = raw / LINK
        if origin is None:
            raise DejavuError(f"{self.where}.path is not set, and DEJAVU_MIRROR has no folder {self.name}")
        if not origin.is_dir():
            raise DejavuError(f"{self.where}.path is {origin}, which is not a folder")
        mirror.link(origin, raw / LINK)
        split_of: dict[Path, str] = {}
        files = set(self._listing(raw / LINK, split) for split in self.splits if self.settings.lists)
        for split in self.splits:
            for pair in self.pairs(raw, split):
                if split_of.setdefault(pair.image, split) != split:
                    raise DejavuError(f"{pair.image} is in two splits, {split_of[pair.image]} and {split}")
                files |= {pair.image, pair.label, *filter(None, (pair.depth, pair.normals))}
        return sorted(path.relative_to(raw).as_posix() for path in files)

    def pairs(self, raw: Path, split: str) -> list[Pair]:
        """The pairs of `split`: in the order of its list, or sorted by name where there are no lists."""
        root, called = raw / LINK, self.settings.splits[split]
        image_pattern = self.settings.images.replace("{split}", called)
        expected = {kind: pattern.replace("{split}", called) for kind, pattern in self.targets.items()}
        files = {
            kind: patterns.find(root, pattern, f"{self.where}.{kind}") for kind, pattern in expected.items()
        }
        images = patterns.find(root, image_pattern, f"{self.where}.images")
        of_targets = {path for named in files.values() for path in named.values()}  # may lie among the images
        images = {name: path for name, path in images.items() if path not in of_targets}
        if not images:
            hint = folder_hint(root, patterns.fixed_folder(image_pattern))
            raise DejavuError(
                f"{root / image_pattern} is no file{hint}: {self.where}.images finds no {split} image"
            )
        first = next(iter(files.values()))
        in_lists = self.settings.lists is not None
        names = self._listed(root, split, images, first) if in_lists else sorted(images)
        for kind, named in files.items():
            called_one = "the label" if kind == "labels" else f"the {kind} file"
            patterns.check_labels(names, images, named, str(root / expected[kind]), called_one)
            if not in_lists:
                patterns.check_images(images, named, str(root / image_pattern))
        more = {kind: named for kind, named in files.items() if kind != "labels"}
        return [
            Pair(name, images[name], first[name], **{kind: named[name] for kind, named in more.items()})
            for name in names
        ]

    def _listing(self, root: Path, split: str) -> Path:
        listing: str = self.settings.lists.replace("{split}", self.settings.splits[split])
        return root / listing

    def _listed(self, root: Path, split: str, images: dict[str, Path], labels: dict[str, Path]) -> list[str]:
        """Return the names of a split, in the order of its list."""
        listing = self._listing(root, split)
        lines = read_list(listing, f"the {split} images ({self.where}.lists)")
        return listed(listing, lines, Lines(images, labels, root), f"that {self.where}.images finds")

    def candidates(self, raw: Path) -> list[Path]:
        """The files below the folders in which all splits' images and labels are, without the lists."""
        root, settings = raw / LINK, self.settings
        folders = {patterns.fixed_folder(pattern) for pattern in (settings.images, *self.targets.values())}
        lists = {root / (settings.lists or "").replace("{split}", name) for name in settings.splits.values()}
        files = {path: None for folder in sorted(folders) for path in files_below(root / folder)}
        return [path for path in files if path not in lists]

    def decode_image(self, path: Path) -> Image:
        """Read an image, RGB. An EXIF tag that turns it is refused: labels may be drawn on either form."""
        from .formats.images import read_image

        return read_image(path)

    def decode_label(self, path: Path) -> np.ndarray:
        """Read train ids, uint8 (H, W): the classes' numbers, 255 = ignored, which all is without labels."""
        from .formats.images import read_indices, relabel

        if "labels" not in self.targets:
            return _ignored(path)
        remedy = f": {self.where}.values takes more values of a class, {self.where}.ignore those of none"
        return relabel(path, read_indices(path), self.train_ids, remedy)

    def decode_depth(self, path: Path) -> np.ndarray:
        """Read depth in metres, float32 (H, W), 0 = none."""
        from .formats import arrays
        from .formats.images import GREY, check_png, read_indices

        scale = self.settings.depth_scale
        if path.suffix.lower() == ".npy":
            return arrays.read_depth(path, 1.0 if scale is None else scale)
        check_png(path, 16, GREY)
        return (read_indices(path, (16,)) * (_MILLIMETRE if scale is None else scale)).astype("float32")

    def decode_normals(self, pair: Pair, depth: np.ndarray) -> np.ndarray:
        """Read unit normals, float32 (H, W, 3), 0-vector = none."""
        from .formats import arrays
        from .nyudv2_forms import codes

        assert pair.normals is not None
        is_array = pair.normals.suffix.lower() == ".npy"
        return arrays.read_normals(pair.normals) if is_array else codes.read_normals(pair.normals)

    def doubt(self, present: Sequence[int], labels: Sequence[Path]) -> str | None:
        """Notice an ignored value that is a class, and values that are the classes' numbers already."""
        from .formats.images import stored_values

        stored, count = stored_values(labels), len(self.settings.classes)
        ignored = [value for value in stored if value in self.settings.ignore]
        if ignored and len(present) == 1 and len(stored) == count == 2:
            return (
                f"label files hold {stored[0]} and {stored[1]} alone, of which {ignored[0]} is ignored; "
                f"with {self.where}.values: {stored} and {self.where}.ignore: [] each is a class"
            )
        numbers = [value for value in stored if value != IGNORE]
        without = [value for value in ignored if value < count]
        if self.settings.values and 2 * len(without) >= len(numbers) > 1 and numbers[-1] < count:
            return (
                f"label files hold {numbers[0]} to {numbers[-1]} alone, which are the numbers of the classes "
                f"already: leave {self.where}.values out, and give what no class has in {self.where}.ignore"
            )
        return None


def _ignored(path: Path) -> np.ndarray:
    """Return 255, uint8 (H, W), of the size of a depth or normals file."""
    import numpy as np

    from .formats import arrays
    from .formats.images import read_size

    shape = arrays.shape_of(path) if path.suffix.lower() == ".npy" else read_size(path)
    return np.full(shape, IGNORE, np.uint8)
