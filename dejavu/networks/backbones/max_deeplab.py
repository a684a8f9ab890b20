"""MaX-DeepLab's pixel path and memory path, S and L (Wang et al., CVPR 2021).

Layout: google-research/deeplab2, model/encoder/axial_resnet_instances.py, which counts 61,726,624 parameters
of S and 450,523,232 of L, as here. Inputs have sides of 16 k + 1 pixels, so that maps of all strides have
aligned corners.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..layers.dual_path import HIDDEN, DualPath, dense
from ..layers.residual import Block, Expansion, Fuse, Kind, Step, conv_norm
from ..layers.sizes import fewer, scaled

GROUP = 8  # channels are multiples of it at any width: one for each head
STAGES = {4: 2, 8: 3, 16: 5}  # the decoder's map of a stride has the channels of this stage


class Size(NamedTuple):
    """MaX-DeepLab-S or -L."""

    stages: tuple[int, ...]
    """Blocks of the stages up to the fifth."""
    wide: bool
    """Basic blocks of 3x3 convolutions after a stem of one, instead of bottlenecks after a stem of three."""
    expansion: Expansion
    memory: int
    """Channels of the memory."""
    features: int
    """Channels of what the heads of classes and masks get."""
    dual: int
    """Filters of a dual-path layer at stride 16."""
    dual_from: int
    """The first stage with dual-path layers."""
    drop_from: int
    """The first stride at which blocks are dropped."""
    steps: tuple[tuple[int, int, int], ...]
    """Of the decoder: stride, blocks of the backbone, blocks of the rest."""


SIZES = {
    "s": Size(
        stages=(3, 4, 6, 3),
        wide=False,
        expansion=Expansion(2, 1, 2),
        memory=256,
        features=256,
        dual=128,
        dual_from=5,
        drop_from=16,
        steps=((16, 0, 1), (8, 0, 1), (4, 0, 1)),
    ),
    "l": Size(
        stages=(3, 3, 6, 3, 3),
        wide=True,
        expansion=Expansion(4, 2, 4),
        memory=512,
        features=512,
        dual=256,
        dual_from=4,
        drop_from=4,
        steps=(
            *((8, 1, 0), (4, 1, 0), (8, 1, 0), (16, 1, 3)),
            *((8, 0, 3), (4, 0, 3), (8, 0, 3), (16, 0, 3), (8, 0, 3), (4, 0, 3)),
        ),
    ),
}


class Plan:
    """The layers of a network of some size, width and depth."""

    def __init__(self, size: Size, width: float, depth: float, drop_path: float) -> None:
        self.size, self.width, self.depth, self.drop_path = size, width, depth, drop_path

    def channels(self, count: int) -> int:
        return scaled(count, self.width, GROUP)

    def filters(self, stage: int) -> int:
        """Return the filters of a stage's blocks, whose maps have four times as many channels."""
        return self.channels(16 << stage)

    def stage(self, number: int, inputs: int, blocks: int) -> nn.ModuleList:
        """Build a stage. The fifth keeps the fourth's stride, and counts as one of twice that."""
        first, rest = (2, 2) if number == 1 else (1 << (number - 1), 1 << number)
        least = 2 if number == 4 else 1  # there, the second block is the first axial one
        count = max(least, fewer(blocks, self.depth))
        built = [self._block(number, inputs, first, step=2 if number in (2, 3, 4) else 1)]
        built += [self._block(number, 4 * self.filters(number), rest) for _ in range(count - 1)]
        return nn.ModuleList(built)

    def steps(self, owner: int) -> nn.ModuleDict:
        """Build the decoder's steps, by their numbers, of the backbone (owner 1) or of the rest (2)."""
        steps = nn.ModuleDict()
        for number, (stride, *blocks) in enumerate(self.size.steps):
            if not blocks[owner - 1]:
                continue
            stage, before = STAGES[stride], STAGES[self.size.steps[number - 1][0]] if number else 5
            fuse = None
            if stage != before and (owner == 1 or not blocks[0]):
                fuse = Fuse(4 * self.filters(before), 4 * self.filters(stage), down=stage > before)
            count = fewer(blocks[owner - 1], self.depth)
            reached = 32 if stage == 5 else stride
            inner = [self._block(stage, 4 * self.filters(stage), reached) for _ in range(count)]
            steps[str(number)] = Step(fuse, inner)
        return steps

    def duals(self, blocks: Any, stage: int) -> nn.ModuleList:
        """Build the dual-path layer of each block of stride 16."""
        filters = self.channels(self.size.dual if stage == 5 else self.size.dual // 2)
        memory, hidden = self.channels(self.size.memory), self.channels(HIDDEN)
        return nn.ModuleList(
            DualPath(4 * self.filters(stage), memory, filters, hidden, block.drop.drop_prob)
            for block in blocks
        )

    def _block(self, stage: int, inputs: int, stride: int, step: int = 1) -> Block:
        """Build a block by the stride that its input counts as, on which its kind and drop path depend."""
        kind: Kind = "axial" if stride >= 16 else "basic" if self.size.wide else "bottleneck"
        drop = 0.0
        if stride >= self.size.drop_from:
            drop = self.drop_path * (math.log2(stride) - 1) / 4
        return Block(kind, inputs, self.filters(stage), self.size.expansion, step, drop)


class Encoded(NamedTuple):
    """What the heads get: activated maps, and features of the memory's slots."""

    pixels: Tensor
    """(N, C, H/4, W/4), the last map of stride 4"""
    semantic: Tensor
    """of L the second map of stride 4, of S the fifth stage's, of stride 16"""
    low: tuple[Tensor, Tensor]
    """the maps of the second and third stages, strides 4 and 8"""
    classes: Tensor
    """(N, c, slots)"""
    masks: Tensor
    """(N, c, slots)"""


class Backbone(nn.Module):
    """What the published network has pretrained on ImageNet: stem, stages and, of L, four decoder steps.

    Its parts are applied by `Encoder`, which has dual-path layers between them.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        stem = plan.channels(64)
        self.stem: nn.Module = conv_norm(3, stem, 3, stride=2, relu=False)
        if not plan.size.wide:
            first, second = conv_norm(3, stem, 3, stride=2), conv_norm(stem, stem, 3)
            stem = plan.channels(128)
            self.stem = nn.Sequential(first, second, conv_norm(plan.channels(64), stem, 3, relu=False))
        self.stages = nn.ModuleDict()
        inputs = stem
        for number, blocks in zip(range(6 - len(plan.size.stages), 6), plan.size.stages, strict=True):
            self.stages[f"stage{number}"] = plan.stage(number, inputs, blocks)
            inputs = 4 * plan.filters(number)
        self.steps = plan.steps(1)


class Encoder(nn.Module):
    """Pixel path and memory path: images (N, 3, H, W), H and W of 16 k + 1, to `Encoded`.

    Args:
        size: "s" or "l".
        slots: number of the memory's vectors, each a mask or nothing.
        drop_path: rate of the last blocks.
    """

    def __init__(self, size: str, width: float, depth: float, slots: int, drop_path: float) -> None:
        super().__init__()
        plan = Plan(SIZES[size], width, depth, drop_path)
        self.strides = [stride for stride, *_ in plan.size.steps]
        self.semantic_stride = 4 if self.strides.count(4) > 1 else 16
        self.backbone = Backbone(plan)
        self.extra = plan.steps(2)
        self.duals = nn.ModuleDict()
        for name, blocks in self.backbone.stages.items():
            if int(name[-1]) >= plan.size.dual_from:
                self.duals[name] = plan.duals(blocks, int(name[-1]))
        for owner, steps in self._decoders():
            for name, step in steps.items():
                if self.strides[int(name)] == 16:
                    self.duals[f"{owner}{name}"] = plan.duals(step.blocks, 5)
        memory, features = plan.channels(plan.size.memory), plan.channels(plan.size.features)
        self.memory = nn.Parameter(torch.empty(1, memory, slots))
        nn.init.trunc_normal_(self.memory)
        self.classes = dense(memory, features, relu=True)
        self.masks = dense(memory, features, relu=True)
        self.channels = (4 * plan.filters(2), 4 * plan.filters(3), 4 * plan.filters(5), features)

    def forward(self, images: Tensor) -> Encoded:
        x, memory = self.backbone.stem(images), self.memory.repeat(len(images), 1, 1)
        stages = {}
        for name, blocks in self.backbone.stages.items():
            x, memory = self._run(blocks, name, x, memory)
            stages[name] = x
        low, coarse = (stages["stage2"], stages["stage3"]), x
        maps: dict[int, list[Tensor]] = {4: [low[0]], 8: [low[1]], 16: [coarse]}
        for number, stride in enumerate(self.strides):
            earlier = maps[stride][-2:]
            for owner, steps in self._decoders():
                if str(number) in steps:
                    step: Any = steps[str(number)]
                    x = x if step.fuse is None else step.fuse(x, earlier)
                    x, memory = self._run(step.blocks, f"{owner}{number}", x, memory)
            maps[stride].append(x)
        _, *fine = maps[4]
        semantic = fine[1] if self.semantic_stride == 4 else coarse
        activated = (low[0].relu(), low[1].relu())
        return Encoded(x.relu(), semantic.relu(), activated, self.classes(memory), self.masks(memory))

    def _decoders(self) -> tuple[tuple[str, nn.ModuleDict], ...]:
        return ("backbone", self.backbone.steps), ("extra", self.extra)

    def _run(self, blocks: Any, name: str, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Apply blocks, each with its dual-path layer if the group of this name has such."""
        duals: Any = self.duals[name] if name in self.duals else [None] * len(blocks)
        for block, dual in zip(blocks, duals, strict=True):
            x = block(x)
            if dual is not None:
                x, memory = dual(x, memory)
        return x, memory
