"""Draws the pictures of the documentation, from rendered scenes: `python docs/tools/figures.py [NAME ...]`.

Without names all of them, into docs/images/. The same machine draws the same bytes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dejavu.datasets.scenes.raw_files import scene_index
from dejavu.datasets.scenes.render import Scene, render
from dejavu.method import redaction, regeneration
from dejavu.method.loss import dejavu_loss
from dejavu.reports.figures.elements.style import COLOURS, INK, MUTED, new_figure, save, style
from dejavu.system.files import atomic
from dejavu.tasks.images import denormalise, normalise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[1] / "images"
SEED = 2303  # of the scenes, as in params.yaml
SHOWN = 39  # a validation scene with much in it
BLUE, RED, GREEN, *_ = COLOURS


def redaction_figure() -> Figure:
    """Every redaction by its default: the image that is left, and the mask beside it."""
    images = _images([render(SEED, SHOWN, (80, 160))])
    names = redaction.names()
    columns = 2
    rows = -(-(len(names) + 1) // columns)
    with style():
        figure = new_figure(9, 1.67 * rows, layout="constrained")
        grid = figure.subplots(rows, 2 * columns, width_ratios=[1, 1] * columns).reshape(-1, 2)
        _picture(grid[0, 0], denormalise(images)[0], "the image")
        grid[0, 1].set_visible(False)
        for axes, name in zip(grid[1:], names, strict=False):
            draw = redaction.build(name)
            redacted, mask = draw(images, torch.Generator().manual_seed(1))
            _picture(axes[0], denormalise(redacted)[0], name)
            spatial = isinstance(draw, redaction.SpatialRedaction)
            _mask(axes[1], mask[0, 0].numpy(), spatial)
        for axes in grid[len(names) + 1 :].flat:
            axes.set_visible(False)
        return figure


def regeneration_figure() -> Figure:
    """What comes back through the condition: CRM-F with the true classes, and with a constant instead.

    The redaction is stronger than the default, so that little can be guessed from what is beside a hole.
    """
    redact = redaction.RandomBlocks(ratio=0.75, block=1 / 4)
    size = (96, 192)
    train = [render(SEED, scene_index("train", number), size) for number in range(24)]
    shown = [render(SEED, index, size) for index in (SHOWN, 33, 5)]  # of the validation split
    images = _images(shown)
    redacted, mask = redact(images, torch.Generator().manual_seed(1))
    columns = [("the image", images), ("redacted", redacted)]
    for name, condition in (("the true classes", _classes), ("a constant", _constant)):
        crm = _trained(redact, _images(train), condition(train))
        with torch.no_grad():
            regenerated = crm(redacted, condition(shown))[-1]
        distance = float(dejavu_loss([regenerated], images, "l1", mask))
        columns.append((f"given {name}\nL1 where removed: {distance:.2f}", regenerated))
    with style():
        figure = new_figure(9, 1.22 * len(shown) + 0.45, layout="constrained")
        grid = figure.subplots(len(shown), len(columns))
        for column, (title, batch) in enumerate(columns):
            for row, picture in enumerate(denormalise(batch)):
                _picture(grid[row, column], picture, title if row == 0 else "")
        return figure


def _trained(
    redact: redaction.Redaction, images: Tensor, condition: Tensor, steps: int = 200
) -> regeneration.CRM:
    """A CRM-F, trained for some seconds."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        crm = regeneration.build("crm_f", condition.shape[1], 4, width=64)
    optimizer = torch.optim.AdamW(crm.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randperm(len(images), generator=generator)[:8]
        batch = images[chosen]
        loss = dejavu_loss(crm(redact(batch, generator).images, condition[chosen]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return crm.eval()


def pipeline_figure() -> Figure:
    """What training adds, and what is left at inference."""
    with style():
        figure = new_figure(9, 3.1)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 90), ylim=(0, 31))
        axes.axis("off")
        axes.fill([1, 1, 61, 61], [17.5, 30, 30, 17.5], color="#f1f5fa", zorder=0)
        axes.text(2.2, 28, "training and inference", color=MUTED, fontsize=8.5)
        axes.text(88, 1.3, "training only", color=MUTED, fontsize=8.5, ha="right")
        image = _box(axes, 8, 23, 9, "image $I$", INK)
        network = _box(axes, 30, 23, 15, "base network $h$", BLUE)
        prediction = _box(axes, 52, 23, 13, "prediction $C$", BLUE)
        task = _box(axes, 82, 23, 8, "$L_{task}$", RED)
        redact = _box(axes, 19, 9, 8, "redact", GREEN)
        redacted = _box(axes, 35, 9, 12, "redacted $I_R$", GREEN)
        crm = _box(axes, 52, 9, 7, "CRM", GREEN)
        regenerated = _box(axes, 67, 9, 14, "regenerated $I_G$", GREEN)
        dejavu = _box(axes, 82, 9, 8, "$L_{DejaVu}$", RED)
        row = [image, network, prediction, task]
        forward = [*zip(row, row[1:], strict=False), (redact, redacted), (redacted, crm), (crm, regenerated)]
        for left, right in [*forward, (regenerated, dejavu)]:
            _arrow(axes, [(left.right, left.y - 0.6), (right.left, right.y - 0.6)], INK, "-")
        backward = [(task, prediction), (prediction, network), (dejavu, regenerated), (regenerated, crm)]
        for right, left in backward:
            _arrow(axes, [(right.left, right.y + 0.7), (left.right, left.y + 0.7)], RED, "--")
        _arrow(axes, [(51.4, prediction.bottom), (51.4, crm.top)], INK, "-")
        _arrow(axes, [(52.7, crm.top), (52.7, prediction.bottom)], RED, "--")
        _arrow(axes, [(10, image.bottom), (10, redact.y), (redact.left, redact.y)], INK, "-")
        _arrow(axes, [(6, image.bottom), (6, 3.8), (dejavu.x, 3.8), (dejavu.x, dejavu.bottom)], INK, "-")
        axes.text(54, 15.2, "the gradient of $L_{DejaVu}$", color=RED, fontsize=8.5, va="center")
        axes.text(54, 13.2, "reaches $h$ through $C$", color=RED, fontsize=8.5, va="center")
        return figure


class Box(NamedTuple):
    """A box with a name, by its centre and size."""

    x: float
    y: float
    width: float
    height: float = 4

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y - self.height / 2

    @property
    def top(self) -> float:
        return self.y + self.height / 2


def _box(axes: Axes, x: float, y: float, width: float, text: str, colour: str) -> Box:
    from matplotlib.patches import FancyBboxPatch

    box = Box(x, y, width)
    look = FancyBboxPatch(
        (box.left, box.bottom),
        box.width,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.8",
        facecolor="white",
        edgecolor=colour,
        linewidth=1.4,
    )
    axes.add_patch(look)
    axes.text(x, y, text, ha="center", va="center")
    return box


def _arrow(axes: Axes, points: Sequence[tuple[float, float]], colour: str, dashes: str) -> None:
    """A line through the points with an arrow at its end."""
    x, y = zip(*points, strict=True)
    axes.plot(x[:-1], y[:-1], dashes, color=colour, linewidth=1.2)
    arrow = {"arrowstyle": "-|>", "color": colour, "linestyle": dashes, "linewidth": 1.2}
    axes.annotate("", points[-1], points[-2], arrowprops={**arrow, "shrinkA": 0, "shrinkB": 0})


def _images(scenes: Sequence[Scene]) -> Tensor:
    """(N, 3, H, W), normalised."""
    return normalise(torch.from_numpy(np.stack([scene.image for scene in scenes])))


def _classes(scenes: Sequence[Scene]) -> Tensor:
    """The true classes (N, 34, H, W), one-hot: Cityscapes' label ids."""
    labels = torch.from_numpy(np.stack([scene.semantic for scene in scenes])).long()
    return F.one_hot(labels, 34).movedim(-1, 1).float()


def _constant(scenes: Sequence[Scene]) -> Tensor:
    """Of the same shape (N, 34, H, W), and the same everywhere."""
    return torch.full_like(_classes(scenes), 1 / 34)


def _picture(axes: Axes, picture: Tensor, title: str) -> None:
    axes.imshow(np.asarray(picture), interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")


def _mask(axes: Axes, mask: np.ndarray, spatial: bool) -> None:
    """What is removed, dark: of the pixels, or of the frequencies, the lowest at the top left."""
    axes.imshow(mask, cmap="Greys", vmin=0, vmax=1.15, interpolation="nearest")
    axes.set_title("removed pixels" if spatial else "removed frequencies", color=MUTED)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(True)


FIGURES = {
    "pipeline": pipeline_figure,
    "redaction": redaction_figure,
    "regeneration": regeneration_figure,
}


def draw(name: str, path: Path) -> None:
    """Write a figure as a PNG of 256 colours: few bytes, and hardly a visible difference."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.png"
        save(FIGURES[name](), full)
        with Image.open(full) as picture:
            small = picture.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=3)
    with atomic(path) as temporary:
        small.save(temporary, format="PNG", optimize=True)


def main(names: Sequence[str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    for name in names or FIGURES:
        draw(name, IMAGES / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
