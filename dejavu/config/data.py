"""Datasets: their source at each scale, and the origin of their raw files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from .values import Byte, Images, Name, Positive, Section, Seed, Side, Size, Text


class KeepAspect(Section):
    """Sides for images of many sizes: each is resized to `short`, and its long side is at most `long`."""

    short: Side
    long: Side

    @model_validator(mode="after")
    def _sides_are_ordered(self) -> KeepAspect:
        if self.short > self.long:
            raise ValueError(f"short must be at most long, not {self.short} and {self.long}")
        return self


class DataSource(Section):
    """The source of a dataset's images at one scale, their size and number."""

    source: Name
    size: Annotated[
        Annotated[Size, Tag("tuple[Size]")] | Annotated[KeepAspect, Tag("KeepAspect")],
        Discriminator(lambda value: "tuple[Size]" if isinstance(value, list | tuple) else "KeepAspect"),
    ]
    """Height and width of every image, or limits for the sides of images of many sizes."""

    train: Images | None = None
    val: Images | None = None
    unlabelled: Images | None = None
    """Number of images without labels: rendered scenes, or the first ones of the source's `unlabelled`."""

    @property
    def pixels(self) -> str:
        """The size in words: '96x128', or 'short side 512'."""
        if isinstance(self.size, KeepAspect):
            return f"short side {self.size.short}"
        return f"{self.size[0]}x{self.size[1]}"


class Folder(Section):
    """A folder of the user's own that is read as a dataset; see dejavu/datasets/folder.py."""

    path: Text | None = None
    """The folder, relative to the working directory. Default: the dataset's name in DEJAVU_MIRROR."""
    images: Text
    """Path of an image, with {name} in it, and with {split} unless `lists` is given."""
    labels: Text | None = None
    """Path of the label of the image {name}."""
    classes: Annotated[tuple[Text, ...], Field(min_length=2, max_length=254)] = ()
    """The classes of the labels, in the order of their values."""
    depth: Text | None = None
    """Path of the depth of the image {name}: a 16-bit PNG, or a .npy of numbers (H, W)."""
    depth_scale: Positive | None = None
    """Metres of a depth file's unit. Default: 0.001 of a PNG (millimetres), 1 of a .npy (metres)."""
    normals: Text | None = None
    """Path of the normals of the image {name}: an 8-bit RGB PNG, or a .npy of numbers (H, W, 3)."""
    splits: dict[Literal["train", "val", "test"], Text] = {"train": "train", "val": "val"}
    """The text that replaces {split} in each split."""
    lists: Text | None = None
    """Text files, with {split} in their names, that list the images of each split."""
    values: tuple[Byte | tuple[Byte, ...], ...] | None = None
    """The value, or values, of each class in label files. Default: 0, 1, ..."""
    ignore: tuple[Byte, ...] = (255,)
    """The values that are neither trained on nor evaluated."""
    palette: tuple[tuple[Byte, Byte, Byte], ...] | None = None
    """Each class's colour, RGB."""
    categories: tuple[Text, ...] | None = None
    """Each class's category, for networks with coarse outputs (HS3)."""


class Source(Section):
    """The origin of a dataset's raw files, and their licence."""

    licence: Text
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    manual: Text | None = None
    seed: Seed | None = None
    cost_input: Size | None = None
    """Height and width of the image at which the cost of networks for this dataset is counted."""
    unlabelled: Text | None = None
    """A folder of images without labels, for the losses of DejaVu alone (`labelled: with_unlabelled`)."""
    folder: Folder | None = None
    """Reads this folder: no module in dejavu/datasets is needed."""
