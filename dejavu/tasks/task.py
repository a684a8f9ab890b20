"""Base of all tasks: what each must do, and how a task of dense maps does it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DejavuError
from .description import Description
from .resampling import Crop, nearest


class Queries(NamedTuple):
    """A panoptic prediction of the mask classification family (MaskFormer, Mask2Former)."""

    classes: Tensor  # (N, Q, K + 1), logits; the last class is "no object"
    masks: Tensor  # (N, Q, h, w), logits


Prediction = Tensor | Queries


@dataclass(frozen=True)
class Task(Description, ABC):
    """A task of dense maps (N, C, h, w). Its file gives its loss, `compare`, and what differs from here."""

    # What a network returned -> the task's prediction.

    def read(self, output: Any) -> Prediction:
        """Read the prediction from what a network returned for this task. Raises DejavuError without one."""
        return output if isinstance(output, Tensor) else self._first(output)

    def _first(self, output: Any) -> Tensor:
        """Return the tensor of the first existing key of `keys`."""
        if isinstance(output, Mapping):
            for key in self.keys:
                if isinstance(output.get(key), Tensor):
                    return output[key]
            raise DejavuError(
                f"the network's prediction has the keys {', '.join(map(str, output))}, but none of "
                f"{', '.join(self.keys)} with a tensor: return the {self.name} prediction under one of these"
            )
        for key in self.keys:
            if isinstance(getattr(output, key, None), Tensor):
                return getattr(output, key)
        hint = ": give the tensor in it" if isinstance(output, tuple | list) else ""
        raise DejavuError(
            f"the network's {self.name} prediction must be a tensor, a mapping or an object with one of "
            f"{', '.join(self.keys)}, not {type(output).__name__}{hint}"
        )

    def check(self, prediction: Prediction, channels: int) -> None:
        """Raise DejavuError unless a prediction is (N, channels, h, w) and floating."""
        assert isinstance(prediction, Tensor)
        shape = tuple(prediction.shape)
        if prediction.ndim == 3 and not prediction.is_floating_point():
            raise DejavuError(
                f"the network's {self.name} prediction must be logits (N, {channels}, h, w), not class ids "
                f"{shape}: without a gradient it cannot be taught"
            )
        if prediction.ndim != 4 or prediction.shape[1] != channels:
            reason = f"num_classes={channels}" if self.has_classes else f"the task {self.name}"
            of_two = self.has_classes and prediction.ndim == 4 and {channels, shape[1]} == {1, 2}
            hint = f": two classes by {shape[1]} channel{'s' * (shape[1] > 1)} are num_classes={shape[1]}"
            raise DejavuError(
                f"the network's prediction must be (N, {channels}, h, w) for {reason}, not {shape}"
                f"{hint if of_two else ''}"
            )
        self._check_floating(prediction)

    def _check_floating(self, values: Tensor) -> None:
        if not values.is_floating_point():
            kind = "logits" if self.has_classes else "values"
            raise DejavuError(
                f"the network's {self.name} prediction must be floating {kind}, not {values.dtype}"
            )

    # Training: targets and the loss.

    def from_array(self, stored: Tensor) -> Tensor:
        """Convert targets of a prepared dataset (N, H, W, *item) to those of training (N, *item, H, W).

        N may be missing.
        """
        return stored

    def crop(self, target: Tensor, crop: Crop, ignore_index: int) -> Tensor:
        """Crop targets (N, *item, H, W) to (N, *item, h, w), unknown outside of the image."""
        maps = target if target.ndim == 4 else target.unsqueeze(1)
        return nearest(maps, crop).view(len(target), *target.shape[1:-2], *crop.grid.shape[1:3])

    def unknown_value(self, ignore_index: int) -> int:
        """The value of a target's pixels without ground truth."""
        return ignore_index if self.unknown is None else self.unknown

    def class_ids(self, target: Tensor) -> Tensor:
        """Return the class of each pixel (N, H, W) of a target. Only for tasks with classes."""
        raise DejavuError(f"the task {self.name} has no classes")

    def loss(
        self, output: Any, target: Tensor, ignore_index: int = 255, weight: Tensor | None = None
    ) -> Tensor:
        """Compute the loss of what a network returned, at the target's size: a scalar.

        Args:
            output: the prediction (N, C, h, w), or anything that `read` accepts.
            target: a batch of this task's targets, (N, *item, H, W).
            ignore_index: the label of pixels that are not compared.
            weight: of each class (K,).
        """
        maps = self.read(output)
        assert isinstance(maps, Tensor)
        precise = maps.to(torch.promote_types(maps.dtype, torch.float32))  # under autocast they are bfloat16
        return self.compare(precise, target, ignore_index, weight)

    @abstractmethod
    def compare(self, maps: Tensor, target: Tensor, ignore_index: int, weight: Tensor | None) -> Tensor:
        """Compute the loss of maps (N, C, h, w), float32 at least, at the size of the target: a scalar."""

    def random_target(
        self, classes: int, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        """Draw a batch of targets, as training has them, to measure speed with."""
        return torch.rand(self.target_shape(count, size), generator=generator)

    # The method: the CRM's condition, and cyclic consistency.

    def condition(self, prediction: Prediction, plain: bool, depth_range: tuple[float, float]) -> Tensor:
        """Make the CRM's condition (N, C, h, w) from a prediction on the CRM's grid.

        Args:
            plain: leave the prediction as it is, instead of probabilities or values of one range.
            depth_range: nearest and farthest depth, in the prediction's unit.
        """
        assert isinstance(prediction, Tensor)
        return prediction

    def condition_channels(self, channels: int) -> int:
        """Return the channels of the condition of a prediction of `channels`."""
        return channels

    def disagreement(self, prediction: Tensor, expected: Tensor) -> Tensor:
        """Compute the mean distance over pixels of predictions (N, C, h, w); `expected` has no gradient."""
        return F.l1_loss(prediction, expected)

    # Cross-task consistency (XTC): both as maps (N, C, H, W) within 0 and 1.

    def consistency_prediction(self, prediction: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Convert a prediction (N, C, H, W) for XTC, with its graph; some tasks draw random numbers."""
        raise DejavuError(f"consistency: the task {self.name} has no maps for it")

    def consistency_target(self, target: Tensor, channels: int) -> Tensor:
        """Convert a target for XTC: (N, channels, H, W)."""
        raise DejavuError(f"consistency: the task {self.name} has no maps for it")

    # Evaluation.

    def finish(self, maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
        """Convert a network's maps (N, C, h, w) to the final prediction (N, H, W, *item) at `size`."""
        full = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=align_corners)
        return full.permute(0, 2, 3, 1) if self.item else full[:, 0]

    def to_png(self, array: np.ndarray, predicted: bool) -> np.ndarray:
        """Convert one image's target or prediction (H, W, *item) to the pixels of a PNG file."""
        raise DejavuError(f"the task {self.name} has no file format: its predictions cannot be written")
