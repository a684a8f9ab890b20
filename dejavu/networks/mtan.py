"""MTAN (Liu, Johns, Davison: End-to-End Multi-Task Learning with Attention, CVPR 2019) on SegNet.

Each task looks at the shared trunk through masks of its own, one for each stage. Layout: lorenmt/mtan. A
single task has one set of masks, which the paper calls STAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbones import segnet
from .layers.sizes import pad

MULTITASK = True


def build(
    num_classes: int | Mapping[str, int],
    width: float = 1.0,
    depth: float = 1.0,
    *,
    unit: bool = True,
) -> MTAN:
    """Build MTAN.

    Args:
        num_classes: K of a single task, or each task's channels, such as {"semantic": 13, "depth": 1}.
        width: scales every channel count; rounded to the nearest whole number, at least 4.
        depth: scales the number of convolutions of a stage, at least one. All five stages stay, and with
            them the strides and the masks: fewer would make another class.
        unit: undo ImageNet's normalisation first, because the public code gives images in [0, 1].
    """
    network = MTAN(num_classes, width, depth, unit)
    segnet.start(network)
    return network


class MTAN(segnet.TrunkNetwork):
    """SegNet's trunk, whose stages each task masks, and a 3x3 and a 1x1 convolution for each task.

    A mask is computed from the task's features of the stage before and from the trunk's features. The layers
    from the masked features to the next stage are shared, too. Inputs whose sides are no multiples of 32 are
    padded with their border, and the predictions cropped. Semantic predictions are logits, depth is in
    metres, normals are of any length.
    """

    def __init__(
        self, num_classes: int | Mapping[str, int], width: float = 1.0, depth: float = 1.0, unit: bool = True
    ) -> None:
        super().__init__(num_classes, width, depth, unit)
        filters = self.trunk.filters
        coarser, finer = (*filters[1:], filters[-1]), (filters[0], *filters[:-1])
        self.down = nn.ModuleList(map(segnet.convolution, filters, coarser))
        self.up = nn.ModuleList(map(segnet.convolution, reversed(filters), reversed(finer)))
        self.heads = nn.ModuleDict({task: Attention(filters, count) for task, count in self.channels.items()})

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Predictions of normalised images (N, 3, H, W): (N, K, H, W), by task where there is more than one.

        With more than one task, in training mode also "features": the trunk's bottleneck (N, F, H/32, W/32),
        rounded up.
        """
        size = (images.shape[-2], images.shape[-1])
        heads = cast("dict[str, Attention]", dict(self.heads.items()))
        x, indices = self.unit(pad(images, segnet.MULTIPLE)), []
        masked_maps: dict[str, Tensor] = {}  # each task's masked features
        for i, (stage, down) in enumerate(zip(self.trunk.encoder, self.down, strict=True)):
            first, last = stage(x)
            for task, head in heads.items():
                masked = head.encoder[i](first, masked_maps.get(task)) * last
                masked_maps[task] = F.max_pool2d(down(masked), 2)
            x, index = segnet.pool(last)
            indices.append(index)
        features = x
        for i, (stage, up) in enumerate(zip(self.trunk.decoder, self.up, strict=True)):
            unpooled = segnet.unpool(x, indices.pop())
            x = stage(unpooled)[1]
            for task, head in heads.items():
                masked_maps[task] = head.decoder[i](unpooled, up(_double(masked_maps[task]))) * x
        maps: dict[str, Tensor] = {}
        for task, head in heads.items():
            maps |= segnet.predict({task: head.head}, masked_maps[task], joined=self.training)
        return self.output(maps, features, size)


class Attention(nn.Module):
    """The modules of one task: a mask for each stage, and its prediction.

    Args:
        filters: of the encoder's stages.
        channels: of the prediction.
    """

    def __init__(self, filters: tuple[int, ...], channels: int) -> None:
        super().__init__()
        finer = (filters[0], *filters[:-1])
        encoder = [Mask(filters[0], filters[0]), *(Mask(2 * count, count) for count in filters[1:])]
        decoder = [Mask(count + fine, fine) for count, fine in zip(filters, finer, strict=True)]
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(reversed(decoder))
        self.head = segnet.head(filters[0], channels)


class Mask(nn.Module):
    """A mask between 0 and 1 from two 1x1 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 1),
            nn.BatchNorm2d(outputs),
            nn.Sigmoid(),
        )

    def forward(self, shared: Tensor, own: Tensor | None) -> Tensor:
        """Shared features and, after the first stage, the task's own, (N, c, h, w) each, to (N, C, h, w)."""
        return self.layers(shared if own is None else torch.cat((shared, own), 1))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
