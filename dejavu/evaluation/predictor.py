"""Images -> predictions of a task, as arrays at the size of their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import Protocol
from ..tasks import load
from ..tasks.images import normalise
from ..tasks.panoptic import TASK as PANOPTIC
from ..tasks.predictions import Queries, as_tensor, task_output
from .fusion import fusion_of
from .protocols import check, fitted_size, show
from .sliding import Size, interpolate

WHOLE = Protocol()


class Predictor:
    """A network and the protocol that applies it to images.

    Args:
        network: a module in evaluation mode; the predictor does not change its mode.
        task: one task, or a sequence of tasks, which are predicted from the whole image.
        protocol: scales and windows of the input, and how the outputs are combined.
        crop: height and width of the window of a sliding protocol.
        align_corners: option of the bilinear interpolation of the network's maps.
        batch_size: number of whole images of one size, or of windows, in one forward pass.
        device: device of the network; None for the device of its parameters.
        things: for each class of a panoptic network True if it is a thing class.

    Raises DejavuError if the protocol does not fit the task, or if the crop is missing.
    """

    def __init__(
        self,
        network: nn.Module,
        task: str | Sequence[str] = "semantic",
        protocol: Protocol = WHOLE,
        crop: Size | None = None,
        align_corners: bool = False,
        batch_size: int = 8,
        device: torch.device | str | None = None,
        things: Sequence[bool] = (),
    ) -> None:
        check(protocol, task, crop)
        self.network, self.task, self.protocol, self.crop = network, task, protocol, crop
        self.align_corners, self.batch_size, self.things = align_corners, batch_size, things
        self.fusion = fusion_of(network, protocol.panoptic)
        self.device = device or next(network.parameters()).device

    @torch.inference_mode()
    def predict(
        self, images: np.ndarray | Sequence[np.ndarray], sizes: Sequence[Size] | np.ndarray | None = None
    ) -> Iterator[Any]:
        """Yield predictions in order, for images (N, H, W, 3) uint8, or N images (H, W, 3) of other sizes.

        Class maps (H, W) uint8, panoptic codes (H, W) uint16 (tasks/segments.py), depth (H, W) float32 in
        metres, or normals (H, W, 3) float32 of unit length. With more tasks: a mapping from task
        to array. Each array has the size of its image, or the height and width in `sizes` (N, 2), for labels
        of another size. Images of one size are predicted in batches if the protocol has a single view.
        """
        together = self.batch_size if isinstance(images, np.ndarray) and not self.protocol.views else 1
        for start in range(0, len(images), together):
            numbers = range(start, min(start + together, len(images)))
            batch = torch.from_numpy(np.array([images[number] for number in numbers])).to(self.device)
            own = (batch.shape[1], batch.shape[2])
            targets = [own if sizes is None else _size(sizes[number]) for number in numbers]
            yield from self._predictions(normalise(batch), targets)

    def _predictions(self, batch: Tensor, sizes: Sequence[Size]) -> Sequence[Any]:
        """Return the prediction for each of images (N, 3, H, W), at its size in `sizes`."""
        if not isinstance(self.task, str):
            output = self.network(batch)
            arrays = {
                task: self._arrays(task, as_tensor(task_output(task, output, self.task), task), batch, sizes)
                for task in self.task
            }
            return [{task: arrays[task][number] for task in arrays} for number in range(len(sizes))]
        if load(self.task).queries:
            return self._panoptic(batch, sizes)
        maps = show(self._maps, batch, self.protocol, self.crop, self.align_corners, self.batch_size)
        return self._arrays(self.task, maps, batch, sizes)

    def _maps(self, images: Tensor) -> Tensor:
        """Return the one task's maps (N, C, h, w) of images (N, 3, H, W)."""
        assert isinstance(self.task, str)
        return as_tensor(self.network(images), self.task)

    def _arrays(self, task: str, maps: Tensor, images: Tensor, sizes: Sequence[Size]) -> Sequence[np.ndarray]:
        """Turn a task's maps into predictions, each at its size in `sizes`."""
        finish, own = load(task).finish, (images.shape[2], images.shape[3])
        if all(size == own for size in sizes):
            return list(finish(maps, own, self.align_corners).cpu().numpy())
        return [  # first to the image's size, as in mmseg
            finish(interpolate(full, own, self.align_corners), size, self.align_corners)[0].cpu().numpy()
            for size, full in zip(sizes, maps.split(1), strict=True)
        ]

    def _panoptic(self, images: Tensor, sizes: Sequence[Size]) -> list[np.ndarray]:
        """Return panoptic codes of images (N, 3, H, W), each at its size in `sizes`."""
        shown = fitted_size((images.shape[2], images.shape[3]), self.protocol)
        queries = PANOPTIC.read(self.network(interpolate(images, shown)))
        singles = zip(queries.classes.split(1), queries.masks.split(1), strict=True)
        return [
            self.fusion(Queries(*single), shown, size, self.things)
            for single, size in zip(singles, sizes, strict=True)
        ]


def _size(row: Sequence[int] | np.ndarray) -> Size:
    """Return height and width from a tuple or a row of an array."""
    return int(row[0]), int(row[1])
