"""The network of XTC: it maps one task's map into a space that it shares with another task.

SegNet's encoder with an input layer for each task. All else is shared by the pairs of tasks, which only
scale and shift its features (FiLM, Perez et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....errors import DejavuError, nearest
from ....networks.backbones.segnet import CONVOLUTIONS, FILTERS, MULTIPLE, start
from ....networks.layers.sizes import fewer, pad, scaled
from ....tasks import describe


class ConsistencyNetwork(nn.Module):
    """The network of XTC: maps of a task (B, C, H, W) -> (B, F, H/32, W/32), one way for each ordered pair.

    Normalisation is that of each image on its own, in training and in evaluation: the published code sends
    image after image through BatchNorm in training mode, which is the same, and never uses its averages.
    Images whose sides are no multiples of 32 are continued to the right and below.

    Args:
        channels: of each task's map, by the tasks' names.
        features: F, the base network's `feature_channels`, whose bottleneck these maps are compared with.
        width: factor of the number of channels, which must be the base network's.
        depth: factor of the number of convolutions of a stage, at least one remains.

    Raises:
        DejavuError: fewer than two tasks; no channels; a number of features that `width` does not lead to.

    >>> network = ConsistencyNetwork({"semantic": 13, "depth": 1, "normals": 3}, features=64, width=0.125)
    >>> network(torch.rand(2, 1, 64, 96), "depth", ("depth", "normals")).shape
    torch.Size([2, 64, 2, 3])
    """

    def __init__(
        self, channels: Mapping[str, int], features: int, width: float = 1.0, depth: float = 1.0
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise DejavuError(
                f"consistency is that of several tasks: give the channels of two or more, not of "
                f"{', '.join(channels) or 'none'}"
            )
        for task, count in channels.items():
            least = 2 if describe(task).has_classes else 1  # one class alone is always the drawn one
            if count < least:
                raise DejavuError(
                    f"consistency: channels of the task {task} must be at least {least}, not {count}"
                )
        sizes = [scaled(count, width) for count in FILTERS]
        if sizes[-1] != features:
            raise DejavuError(
                f"consistency compares its {sizes[-1]} channels at width {width:g} with the base network's "
                f"bottleneck, which has {features}: the base network must be a SegNet of the same width"
            )
        self.channels, self.features = dict(channels), features
        self.tasks = tuple(channels)
        self.pairs = tuple(permutations(self.tasks, 2))
        """All ordered pairs (source, target), in the order of the rows of every gamma and beta."""
        self.inputs = nn.ModuleDict({task: _input(count, sizes[0]) for task, count in channels.items()})
        self.stages = nn.ModuleList()
        for before, size, count in zip([sizes[0], *sizes], sizes, CONVOLUTIONS, strict=False):
            ends = [before] + [size] * fewer(count, depth)
            blocks = [Block(*two, len(self.pairs)) for two in zip(ends, ends[1:], strict=False)]
            self.stages.append(nn.ModuleList(blocks))
        start(self)

    def forward(self, maps: Tensor, task: str, pair: tuple[str, str]) -> Tensor:
        """Map one task's maps (B, C, H, W) into the space of a pair (source, target): (B, F, H/32, W/32)."""
        if pair not in self.pairs:
            named = ["-".join(known) for known in self.pairs]
            raise DejavuError(f"unknown pair of tasks '{'-'.join(pair)}', {nearest('-'.join(pair), named)}")
        number = torch.full((len(maps),), self.pairs.index(pair), device=maps.device)
        return self.shared(self.enter(maps, task), number)

    def enter(self, maps: Tensor, task: str) -> Tensor:
        """Apply a task's own input layer: (B, C, H, W) -> (B, 64, H', W'), both sides multiples of 32.

        It is the same for all pairs, so it need not be repeated for each of them.
        """
        if task not in self.inputs:
            raise DejavuError(f"unknown task '{task}', {nearest(task, self.inputs)}")
        return self.inputs[task](pad(maps, MULTIPLE))

    def shared(self, entered: Tensor, pairs: Tensor) -> Tensor:
        """Map the output of `enter` (B, 64, H, W), each in the space of its pair, to (B, F, H/32, W/32).

        pairs: (B,) int64, indices into `self.pairs`.
        """
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                entered = block(entered, pairs)
            entered = F.max_pool2d(entered, 2)
        return entered

    def film_parameters(self) -> list[nn.Parameter]:
        """List every gamma and beta. In the published code they learn at 1e-3, halved every 30 epochs."""
        blocks = [module for module in self.modules() if isinstance(module, Block)]
        return [parameter for block in blocks for parameter in (block.gamma, block.beta)]


class Block(nn.Module):
    """Convolution, normalisation of each image on its own, FiLM by the pair of tasks, ReLU."""

    def __init__(self, inputs: int, outputs: int, pairs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)
        self.gamma = nn.Parameter(torch.ones(pairs, outputs))
        self.beta = nn.Parameter(torch.zeros(pairs, outputs))

    def forward(self, maps: Tensor, pairs: Tensor) -> Tensor:
        gamma = F.embedding(pairs, self.gamma)  # (B, C); its gradient is deterministic on GPUs too
        beta = F.embedding(pairs, self.beta)
        # Two affine maps in sequence are computed as one, which saves a pass over the largest maps.
        scale, shift = self.norm.weight * gamma, self.norm.bias * gamma + beta
        return _normalised(self.convolution(maps), scale, shift, self.norm.eps)


def _normalised(maps: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Apply instance norm with a scale and shift (B, C) of each image, and ReLU: (B, C, H, W)."""
    flat = maps.reshape(1, -1, *maps.shape[2:])  # an image's channels as channels of one image
    flat = F.batch_norm(flat, None, None, scale.flatten(), shift.flatten(), training=True, eps=eps)
    return flat.relu_().view(maps.shape)


def _input(channels: int, filters: int) -> nn.Sequential:
    """Build a task's own input layer."""
    convolution = nn.Conv2d(channels, filters, 3, padding=1)
    return nn.Sequential(convolution, nn.InstanceNorm2d(filters, affine=True), nn.ReLU(inplace=True))
