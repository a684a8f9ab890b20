"""Qualitative panel: predictions of networks, redacted images, and images regenerated from predictions.

If all pairs learn segmentation alone, the panel has predictions of up to three pairs for the same images, and
regenerations of the first pair. Otherwise it has the paper's six columns for each task, from the first pair
that learns it; for panoptic segmentation it has the paper's four columns, without redacted and regenerated
images. The networks have the first seed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...config import Params
from ...config.paths import Paths
from ...datasets.prepared.sizes import nearest
from ..pairs import Pair, evenly
from .elements.pictures import (
    GAP,
    HEAD,
    LEFT,
    Block,
    class_patches,
    classes_in,
    compose,
    widest_picture,
    write_names,
)
from .elements.predictions import baseline, choose, predictions, regenerated
from .elements.style import DPI, MUTED, new_figure, style
from .elements.task_blocks import PANEL, PANOPTIC, TaskBlocks, draw_tasks
from .elements.task_images import task_images
from .elements.trained import evaluated_split, note, titles, trained_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...datasets.prepared.store import Split

NEEDS = ("weights", "data")

IMAGES = 4  # images, for segmentation alone
TASK_IMAGES = 2  # images of each task, if a pair learns another task than segmentation
PANOPTIC_IMAGES = 3
FIRST = ("input", "ground truth", "baseline", "DejaVu", "redacted", "regenerated")


@dataclass(frozen=True)
class PanelImages:
    """Images of a panel, each with its own size: (H, W, 3) uint8, and their classes (H, W) uint8."""

    names: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]


@dataclass(frozen=True)
class Segmentation:
    """Blocks of a panel, below each other; palette (K, 3) uint8 RGB of the K classes."""

    blocks: Sequence[Block]
    palette: np.ndarray
    classes: Sequence[str]
    title: str
    subtitle: str


def collect(params: Params, name: str, scale: str, partial: bool = False) -> Segmentation | TaskBlocks:
    """Compute predictions of the table's pairs and regenerated images from their weights."""
    pairs = trained_pairs(params, name, scale, partial)
    if any(params.experiments[pair.experiment].tasks != ("semantic",) for pair in pairs):
        return _tasks(params, name, scale, pairs, partial)
    return _segmentation(params, name, scale, pairs, partial)


def _tasks(params: Params, name: str, scale: str, pairs: list[Pair], partial: bool) -> TaskBlocks:
    report, split = evaluated_split(params, name, scale)
    panoptic = all(params.experiments[pair.experiment].task == "panoptic" for pair in pairs)
    shown = task_images(params, scale, pairs, split, report, PANOPTIC_IMAGES if panoptic else TASK_IMAGES)
    columns, regeneration = (PANOPTIC, "") if panoptic else (PANEL, ", and what is regenerated from it")
    title = f"{titles(shown)}: what is predicted{regeneration}"
    subtitle = f"{note(params, name, scale, report, partial)} Images: evenly spaced in the split, not chosen."
    palette = np.array(report["palette"], np.uint8)
    return TaskBlocks(shown, columns, palette, report["classes"], title, subtitle)


def _segmentation(params: Params, name: str, scale: str, pairs: list[Pair], partial: bool) -> Segmentation:
    report, split = evaluated_split(params, name, scale)
    images = shown(split)
    first, further = choose(params, scale, pairs)
    blocks = [first_block(params, scale, first, images, report["classes"])]
    if further:
        blocks.append(further_block(params, scale, further, images, report["classes"]))
    others = f", and {len(further)} further of {len(pairs)} pairs" if further else ""
    title = f"{first.title}: what is predicted, and what is regenerated from it{others}"
    subtitle = note(params, name, scale, report, partial, first)
    return Segmentation(blocks, np.array(report["palette"], np.uint8), report["classes"], title, subtitle)


def shown(split: Split) -> PanelImages:
    """Return evenly spaced images, and their labels resized to the images' size."""
    indices = evenly(IMAGES, len(split.images))
    images = [np.asarray(split.images[index]) for index in indices]
    labels = [
        nearest(split.labels[index], image.shape[:2]) for index, image in zip(indices, images, strict=True)
    ]
    return PanelImages([split.names[index] for index in indices], images, labels)


def first_block(params: Params, scale: str, pair: Pair, images: PanelImages, classes: Sequence[str]) -> Block:
    """Return predictions of both networks, and the redacted and regenerated images."""
    from ...models.load import load_method

    paired, paths = params.run(pair.experiment, scale), Paths(scale)
    seed = paired.seeds[0]
    weights, regenerator = paths.weights(pair.experiment, seed), paths.regenerator(pair.experiment, seed)
    method = load_method(paired, classes, weights, regenerator)
    plain = baseline(params, scale, pair, images.images, classes)
    ours = predictions(paired, method.network, images.images)
    pictures = regenerated(method, images.images, seed)
    rows = [
        [image, label, before, after, *regeneration]
        for image, label, before, after, regeneration in zip(
            images.images, images.labels, plain, ours, pictures, strict=True
        )
    ]
    return Block(FIRST, images.names, rows, [("", 2), (pair.title, 4)])


def further_block(
    params: Params, scale: str, pairs: Sequence[Pair], images: PanelImages, classes: Sequence[str]
) -> Block:
    """Return predictions of further pairs for the same images."""
    from ...models.load import load_network
    from ...tasks import channels

    columns = [images.images, images.labels]
    for pair in pairs:
        run = params.run(pair.experiment, scale)
        weights = Paths(scale).weights(run.experiment, run.seeds[0])
        network = load_network(run, channels(run.task, len(classes)), weights, classes)
        columns.append(baseline(params, scale, pair, images.images, classes))
        columns.append(predictions(run, network, images.images))
    names = (*FIRST[:2], *FIRST[2:4] * len(pairs))
    groups = [("", 2), *((pair.title, 2) for pair in pairs)]
    return Block(names, images.names, list(zip(*columns, strict=True)), groups)


def draw(data: Segmentation | TaskBlocks) -> Figure:
    """Draw the blocks below each other, with title, names and the key to colours."""
    return draw_tasks(data) if isinstance(data, TaskBlocks) else _draw_segmentation(data)


def _draw_segmentation(data: Segmentation) -> Figure:
    """Draw all blocks with one key to the classes in use."""
    blocks, palette = data.blocks, data.palette
    cell = widest_picture(blocks)
    composed = [compose(block, palette, cell) for block in blocks]
    used = classes_in(blocks)
    patches = class_patches(palette, data.classes, used)
    widest = max(picture.shape[1] for picture, _ in composed)
    lines = -(-len(patches) // max(1, widest // 165))  # a class name is about 165 pixels long
    foot = 28 * lines + 22
    tall = sum(picture.shape[0] + block.head for block, (picture, _) in zip(blocks, composed, strict=True))
    subtitle = textwrap.fill(data.subtitle, int(widest / DPI / 0.066))
    head = HEAD + 22 * subtitle.count("\n")
    width, height = widest + LEFT + GAP, head + tall + foot + 14 * (len(blocks) - 1)
    with style():
        figure = new_figure(width / DPI, height / DPI)
        top = height - head
        for block, (picture, heights) in zip(blocks, composed, strict=True):
            top -= block.head
            figure.figimage(picture, LEFT, top - picture.shape[0])
            write_names(figure, block, heights, cell, top)
            top -= picture.shape[0] + 14
        figure.text(LEFT / width, 1 - 14 / height, data.title, va="top", fontsize=11, fontweight="bold")
        figure.text(LEFT / width, 1 - 50 / height, subtitle, va="top", fontsize=8.5, color=MUTED)
        figure.legend(
            handles=patches,
            loc="lower center",
            ncols=max(1, -(-len(patches) // max(1, lines))),
            fontsize=8.5,
            handlelength=1.1,
            handleheight=1.1,
            columnspacing=1.4,
            borderaxespad=0.3,
        )
        return figure
