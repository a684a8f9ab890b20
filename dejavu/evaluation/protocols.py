"""Images -> predictions, by any evaluation protocol: how an image is shown, and how answers are put together.

Over scales and the mirrored image probabilities are averaged, each brought to the image's size first, as in
mmseg's `aug_test` and `SegTTAModel`; over windows logits are (sliding.py). HRNet's own code differs: it
averages the logits of an image and its mirror image and sums their exponentials over scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import Protocol
from ..datasets.prepared.sizes import fitted
from ..errors import DejavuError
from ..tasks import load
from ..tasks.images import normalise
from ..tasks.panoptic import TASK as PANOPTIC
from ..tasks.predictions import Queries, as_tensor, task_output
from .fusion import DEFAULT, fuse
from .sliding import Ask, Size, resize, slide

WHOLE = Protocol()


def predict(
    network: nn.Module,
    images: np.ndarray | Sequence[np.ndarray],
    task: str | Sequence[str] = "semantic",
    protocol: Protocol = WHOLE,
    crop: Size | None = None,
    align_corners: bool = False,
    sizes: Sequence[Size] | np.ndarray | None = None,
    batch_size: int = 8,
    device: torch.device | str | None = None,
    things: Sequence[bool] = (),
) -> Iterator[Any]:
    """Predictions, in order, of images (N, H, W, 3) uint8, or of N of (H, W, 3) of many sizes.

    Class maps (H, W) uint8, panoptic codes (H, W) uint16 (tasks/segments.py), depth (H, W) float32 in metres,
    or normals (H, W, 3) float32 of unit length, or of several tasks, which are seen whole, a mapping of these
    by their names: at the image's size, or at the height and width that `sizes` (N, 2) has for it, where
    labels have others. `crop` is the window of sliding protocols; `align_corners` says how the network's
    maps are enlarged, `things` which classes of a panoptic network are of things. Whole images of one size
    are shown in batches, all others one by one (and windows in batches). The network's mode is left as it
    is: give it in evaluation mode.

    Raises DejavuError where the protocol is not made for the task or lacks its crop.
    """
    check(protocol, task, crop)
    device = device or next(network.parameters()).device

    def ask(batch: Tensor) -> Tensor:
        assert isinstance(task, str)
        return as_tensor(network(batch), task)

    def maps(batch: Tensor) -> dict[str, Tensor]:
        """Each task's maps (N, C, h, w) of images (N, 3, H, W)."""
        if isinstance(task, str):
            return {task: show(ask, batch, protocol, crop, align_corners, batch_size)}
        answer = network(batch)
        return {name: as_tensor(task_output(name, answer, task), name) for name in task}

    def answers(batch: Tensor, wanted: Sequence[Size]) -> list[Any]:
        """What is predicted for each of images (N, 3, H, W)."""
        size = (batch.shape[2], batch.shape[3])
        if isinstance(task, str) and load(task).queries:
            return _panoptic(network, resize(batch, _fitted(size, protocol)), wanted, things, protocol)
        found = {
            name: _finished(name, some, size, wanted, align_corners) for name, some in maps(batch).items()
        }
        if isinstance(task, str):
            return list(found[task])
        return [{name: arrays[place] for name, arrays in found.items()} for place in range(len(wanted))]

    @torch.inference_mode()
    def predictions() -> Iterator[Any]:
        together = batch_size if isinstance(images, np.ndarray) and not protocol.views else 1
        for start in range(0, len(images), together):
            numbers = range(start, min(start + together, len(images)))
            batch = torch.from_numpy(np.array([images[number] for number in numbers])).to(device)
            size = (batch.shape[1], batch.shape[2])
            wanted = [size if sizes is None else _size(sizes[number]) for number in numbers]
            yield from answers(normalise(batch), wanted)

    return predictions()


def _panoptic(
    network: nn.Module, images: Tensor, wanted: Sequence[Size], things: Sequence[bool], protocol: Protocol
) -> list[np.ndarray]:
    """Panoptic maps of images (N, 3, H, W), each at the size that is wanted."""
    queries = PANOPTIC.read(network(images))
    shown, way = (images.shape[2], images.shape[3]), protocol.panoptic or DEFAULT
    singles = zip(queries.classes.split(1), queries.masks.split(1), strict=True)
    return [fuse(Queries(*one), shown, size, things, way) for one, size in zip(singles, wanted, strict=True)]


def _finished(
    task: str, maps: Tensor, size: Size, wanted: Sequence[Size], align_corners: bool
) -> Sequence[np.ndarray]:
    """A task's predictions of a batch of images of one size, each at the size that is wanted."""
    finish = load(task).finish
    if all(one == size for one in wanted):
        return list(finish(maps, size, align_corners).cpu().numpy())
    return [  # by the image's size, as in mmseg
        finish(resize(full, size, align_corners), one, align_corners)[0].cpu().numpy()
        for one, full in zip(wanted, maps.split(1), strict=True)
    ]


def _size(row: Sequence[int] | np.ndarray) -> Size:
    """Height and width, of a tuple or of a row of an array."""
    return int(row[0]), int(row[1])


def check(protocol: Protocol, task: str | Sequence[str], crop: Size | None) -> None:
    """Raise DejavuError where a task cannot be evaluated by a protocol, or sliding lacks its window."""
    asked = protocol.foreign_to(task)
    if asked:
        raise DejavuError(
            f"protocol: '{asked[0]}' is for semantic segmentation only, and the task is "
            f"{task if isinstance(task, str) else ' and '.join(task)}, which is "
            "evaluated on the whole image: write 'protocol: whole'"
        )
    if protocol.slide is not None and crop is None:
        raise DejavuError("protocol: 'slide' needs the size of its window: give the recipe's crop")


def show(
    ask: Ask,
    images: Tensor,
    protocol: Protocol,
    crop: Size | None = None,
    align_corners: bool = False,
    batch_size: int = 8,
) -> Tensor:
    """images (N, 3, H, W) -> logits (N, K, h, w), or the mean of probabilities (N, K, H, W).

    N is 1 if a window slides. Images are resized without `align_corners`, as image libraries do it.
    """

    def look(images: Tensor) -> Tensor:
        if protocol.slide is None:
            return ask(images)
        assert crop is not None
        return slide(ask, images, crop, protocol.slide, align_corners, batch_size)

    size = (images.shape[2], images.shape[3])
    mirrors = (False, True) if protocol.flip else (False,)
    views = [(scale, mirrored) for scale in protocol.scales for mirrored in mirrors]
    base = _fitted(size, protocol)
    if views == [(1.0, False)]:
        return look(resize(images, sides(base, 1.0, protocol.multiple)))
    total: Tensor | None = None
    for scale, mirrored in views:
        seen = resize(images, sides(base, scale, protocol.multiple))
        logits = look(seen.flip(-1)).flip(-1) if mirrored else look(seen)
        logits = resize(logits, (seen.shape[2], seen.shape[3]), align_corners)
        probabilities = resize(logits, size, align_corners).softmax(1)
        total = probabilities if total is None else total.add_(probabilities)
    assert total is not None
    return total / len(views)


def _fitted(size: Size, protocol: Protocol) -> Size:
    """Height and width at which an image is seen at scale 1."""
    return size if protocol.fit is None else fitted(size, protocol.fit)


def sides(size: Size, scale: float, multiple: int | None) -> Size:
    """Height and width of an image at a scale, in whole pixels, or the next multiples of `multiple`.

    >>> sides((512, 683), 1.0, None), sides((512, 683), 0.5, None), sides((512, 683), 1.0, 32)
    ((512, 683), (256, 342), (512, 704))
    """
    if multiple is None:
        height, width = (max(1, math.floor(side * scale + 0.5)) for side in size)
    else:
        height, width = (math.ceil(side * scale / multiple) * multiple for side in size)
    return height, width
