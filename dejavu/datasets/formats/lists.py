"""Text files that list the images of a split: what each line names, without a guess.

A line is the name of an image, its file name, or its path (relative to the folder of the data; of an absolute
path the end has to agree). It may also be an image and its label with white space in between. Names may have
spaces: a line that is an image as a whole is that image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ...errors import DejavuError, nearest
from ...system.folders import alike, difference, shown


def read_list(listing: Path, what: str) -> list[tuple[int, str]]:
    """Return the numbers and the text of a list's lines that are not blank.

    `what` completes "it lists ...". Raises DejavuError for a file that is missing, empty, or not UTF-8.
    """
    try:
        text = listing.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DejavuError(f"{listing} is missing: it lists {what}") from None
    except UnicodeDecodeError:
        raise DejavuError(f"{listing} is not a text file of image names in UTF-8") from None
    except OSError as error:
        raise DejavuError(f"{listing} cannot be read ({error.strerror}): it lists {what}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DejavuError(f"{listing} is empty, and should list {what}")
    return lines


class _Files:
    """The names of some files by what a line may call them."""

    def __init__(self, files: Mapping[str, Path], root: Path) -> None:
        self.layers = [{path.relative_to(root).as_posix(): name for name, path in files.items()}]
        self.forms = [_by_form(layer) for layer in self.layers]

    def add(self, layer: dict[str, str]) -> None:
        """Add what lines may call the files that are not named otherwise."""
        self.layers.append(layer)
        self.forms.append(_by_form(layer))

    def get(self, text: str) -> str | None:
        """Return the file's name; one that is there exactly comes before one in another form."""
        path = PurePosixPath(text)
        texts = [text, str(path)]
        if path.is_absolute() or ".." in path.parts:
            texts = ["/".join(path.parts[start:]) for start in range(1, len(path.parts) - 1)]
        exact = (layer.get(text) for layer in self.layers for text in texts)
        formed = (form.get(alike(text)) for form in self.forms for text in texts)
        return next((name for names in (exact, formed) for name in names if name is not None), None)


def _by_form(layer: Mapping[str, str]) -> dict[str, str | None]:
    """Return names by the form of what lines call them; None where two have the same."""
    result: dict[str, str | None] = {}
    for text, name in layer.items():
        form = alike(text)
        result[form] = name if result.get(form, name) == name else None
    return result


class Lines:
    """What the lines of a list name."""

    def __init__(
        self,
        images: Mapping[str, Path],
        labels: Mapping[str, Path],
        root: Path,
        endings: Sequence[str] = (),
    ) -> None:
        """Prepare to read lines on `images` and `labels`, the files in `root` by the names of images.

        `endings` are those that a list may give an image which is stored with another one.
        """
        self.images, self.labels, self.names = _Files(images, root), _Files(labels, root), list(images)
        self.images.add({f"{name}{path.suffix}": name for name, path in images.items()})
        self.images.add({name: name for name in images})
        for ending in endings:
            others = {path.relative_to(root).with_suffix(ending): name for name, path in images.items()}
            self.images.add({path.as_posix(): name for path, name in others.items()})
            self.images.add({path.name: name for path, name in others.items()})

    def name(self, line: str) -> str | None:
        """Return the name of the image of a line; None where it names none.

        Raises DejavuError where a line has an image and something that is not its label.
        """
        text = line.strip()
        whole = self.images.get(line) or self.images.get(text)
        if whole is not None:
            return whole
        fault = None
        for space in re.finditer(r"\s+", text):
            image, label = self.images.get(text[: space.start()]), text[space.end() :]
            if image is not None and self.labels.get(label) == image:
                return image
            if image is not None and fault is None:
                fault = f"'{shown(label)}' is no label of the image '{shown(image)}'"
        if fault is not None:
            raise DejavuError(f"'{shown(text)}' names no image as a whole, and {fault}")
        return None

    def hint(self, line: str) -> str:
        """Return the nearest name to that of a line which names no image, and what differs."""
        text = line.strip()
        near = difference(text, [*self.names, *(name for layer in self.images.layers for name in layer)])
        return near.strip(" ()") or nearest(text, sorted(self.names)[:1000])


def listed(listing: Path, lines: list[tuple[int, str]], names: Lines, finds: str) -> list[str]:
    """Return the names of a list's images, in its order.

    `finds` completes "no image ...", with {name} where the name of a missing image belongs.
    Raises DejavuError that names the list, the line and what differs, and for an image that is there twice.
    """
    result: dict[str, int] = {}
    for number, line in lines:
        where = f"{listing}, line {number}"
        try:
            name = names.name(line)
        except DejavuError as error:
            raise DejavuError(f"{where}: {error}") from None
        if name is None:
            missing = shown(line.strip())
            expected = finds.replace("{name}", re.sub(r"\.(png|jpg)$", "", PurePosixPath(missing).name))
            raise DejavuError(f"{where}: '{missing}' is no image {expected}, {names.hint(line)}")
        if name in result:
            raise DejavuError(
                f"{listing} lists {shown(name)} twice, in the lines {result[name]} and {number}"
            )
        result[name] = number
    return list(result)
