"""SETR-MLA (Zheng et al., CVPR 2021) with DeiT-B/16: multi-level aggregation of a plain transformer.

92.6 M parameters for 768x768 images with 19 classes (table 2 of the paper). Layout: fudan-zvg/SETR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ..registry import PositiveInt, Share
from .backbones.vit import PATCH, decayed_layers, features, load_vit, vit_b16
from .layers.convolution import convolution
from .layers.sizes import cut, pad, scaled

MULTIPLE = 32  # input sides are padded to multiples of it, as in all networks here
TAPS = (2, 5, 8, 11)  # the blocks, from 0, whose outputs are aggregated
LEVELS = tuple(f"level{number}" for number in range(1, len(TAPS) + 1))


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    channels: PositiveInt = 256,
    head_channels: PositiveInt = 128,
    drop_path: Share = 0.0,
    image_size: PositiveInt = 512,
    pretrained: str | None = None,
) -> SETR:
    """Build SETR-MLA.

    Args:
        num_classes: K.
        width: scales every channel count; the transformer's by heads of 64.
        depth: scales the number of the transformer's blocks.
        channels: of the aggregated levels at width 1.
        head_channels: of each of the head's four streams at width 1.
        drop_path: of the transformer's last block, falling to 0 at the first.
        image_size: the transformer learns a grid of positions for images of this many pixels a side.
        pretrained: a .safetensors or .pth file of timm's DeiT-B or ViT-B/16, or a timm model name, which is
            downloaded. Its class and distillation tokens are left aside, as SETR has none; every weight of
            the backbone must be there; positions are interpolated.
    """
    backbone = vit_b16(width, depth, image_size, drop_path=drop_path, prefix=False, norm=False)
    load_vit(backbone, pretrained)
    return SETR(backbone, num_classes, scaled(channels, width), scaled(head_channels, width))


class SETR(nn.Module):
    """Four levels of a transformer of patches alone, each enlarged fourfold, concatenated and classified.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped. In
    training mode it returns {"out": logits, "auxiliary": {"level1": logits at stride 16, ...}}.
    """

    stride = 4
    auxiliary_outputs = LEVELS
    training_only = ("auxiliary",)
    base_rate = ("neck",)  # the published code counts it to the backbone

    def __init__(
        self, backbone: VisionTransformer, num_classes: int, channels: int, head_channels: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = Aggregation(backbone.embed_dim, channels)
        self.streams = nn.ModuleList([_stream(channels, head_channels) for _ in TAPS])
        self.classifier = nn.Conv2d(len(TAPS) * head_channels, num_classes, 3, padding=1)
        self.auxiliary = nn.ModuleList([nn.Conv2d(channels, num_classes, 1, bias=False) for _ in TAPS])

    def decayed_layers(self) -> list[list[nn.Parameter]]:
        """Return the ViT's layers from the image on, for the recipe's `layer_decay`."""
        return decayed_layers(self.backbone)

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        levels = self.neck(features(self.backbone, pad(images, MULTIPLE), TAPS))  # 4 x (N, c, H/16, W/16)
        streams = [_fourfold(stream(x)) for stream, x in zip(self.streams, levels, strict=True)]
        logits = cut(self.classifier(torch.cat(streams, 1)), size, self.stride)
        if not self.training:
            return logits
        auxiliary = [cut(head(x), size, PATCH) for head, x in zip(self.auxiliary, levels, strict=True)]
        return {"out": logits, "auxiliary": dict(zip(LEVELS, auxiliary, strict=True))}


class Aggregation(nn.Module):
    """Each level is normed and reduced, the deeper ones are added to it, and a 3x3 convolution follows."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(inputs, eps=1e-6) for _ in TAPS])
        self.laterals = nn.ModuleList([convolution(inputs, channels, 1) for _ in TAPS])
        self.outputs = nn.ModuleList([convolution(channels, channels, 3) for _ in TAPS])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (N, C, h, w), shallowest first, to four (N, channels, h, w)."""
        sums = [
            lateral(norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            for norm, lateral, x in zip(self.norms, self.laterals, maps, strict=True)
        ]
        for i in range(len(sums) - 2, -1, -1):
            sums[i] = sums[i] + sums[i + 1]
        return [output(x) for output, x in zip(self.outputs, sums, strict=True)]


def _stream(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs, 3), convolution(outputs, outputs, 3))


def _fourfold(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=True)
