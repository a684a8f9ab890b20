"""HRNetV2 with the layout of W18-Small-v2, on timm's backbone, with a 1x1 head at stride 4.

"HRNet18" of the paper is channels=18 at width 1: 3.94 M parameters and 19.2 GMACs at 512x1024 with 19
classes. Layout and head: HRNet/HRNet-Semantic-Segmentation. "HRNet18+SA" is the same with attention=True.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from timm.models.hrnet import HighResolutionNetFeatures, cfg_cls
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention import Shared, SharedAttention
from ..options import Positive
from .parts.loading import is_meta, load_pretrained, timm_hub
from .parts.sizes import cut, fewer, pad, scaled

MULTIPLE = 32  # of an input side: the backbone halves it five times and adds the branches up again
STAGES = ("stage2", "stage3", "stage4")
CLASSIFICATION = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    channels: Positive = 18,
    align_corners: bool = True,
    attention: bool = False,
    attention_stride: Positive = 8,
    attention_dim: Positive = 16,
    attention_heads: Positive = 1,
    attention_width: Positive = 48,
    pretrained: str | None = None,
) -> HRNet:
    """Build HRNet.

    Args:
        num_classes: K.
        width: scales every channel count but the stem's last 64, which timm fixes; rounded to the
            nearest whole number, at least 4.
        depth: scales the number of blocks of a branch and of modules of a stage.
        channels: c of the finest branch at width 1; the branches have c, 2c, 4c and 8c.
        align_corners: of the branches' upsampling.
        attention: refine the features in front of the head by self-attention, which DejaVu-SA shares.
        attention_stride: side of an attention cell in pixels, a multiple of 4.
        attention_dim: of queries, keys and values, per head, at width 1.
        attention_heads: number of attention maps.
        attention_width: channels of the reduced features that are attended, at width 1.
        pretrained: a .safetensors or .pth file of timm's classification or feature network, or a
            timm model name, which is downloaded. Every weight of the backbone must be there.
    """
    network = HRNet(_layout(channels, width, depth, "hrnet_w18_small_v2"), num_classes, align_corners)
    if attention:
        network.add_attention(
            dim=scaled(attention_dim, width),
            heads=attention_heads,
            width=scaled(attention_width, width),
            stride=attention_stride,
        )
    if pretrained is not None and not is_meta(network):
        load_pretrained(network.backbone, pretrained, hub=timm_hub, leave=CLASSIFICATION)
    return network


class HRNet(nn.Module):
    """Four branches at strides 4 to 32, brought to stride 4, concatenated and classified.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped.
    With attention, in training mode, it returns the mapping {"out": logits, "attention": Shared}.
    """

    stride = 4

    def __init__(self, layout: dict[str, Any], num_classes: int, align_corners: bool = True) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.backbone = HighResolutionNetFeatures(layout, feature_location="", out_indices=(1, 2, 3, 4))
        self.features = features = sum(layout["stage4"]["num_channels"])
        self.head = nn.Sequential(
            nn.Conv2d(features, features, 1),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, num_classes, 1),
        )
        self.attention: SharedAttention | None = None

    def add_attention(self, **options: int) -> None:
        """Add `SharedAttention`, last: all else has the plain network's initial weights of the same seed."""
        self.attention = SharedAttention(self.features, feature_stride=self.stride, **options)

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor | Shared]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        finest, *coarser = self.backbone(pad(images, MULTIPLE))  # (N, c, H/4, W/4), (N, 2c, H/8, W/8), ...
        branches = [finest, *(self._upsample(branch, finest) for branch in coarser)]
        features = torch.cat(branches, 1)  # (N, 15c, H/4, W/4)
        shared = None
        if self.attention is not None:
            features, shared = self.attention(features)
        logits = cut(self.head(features), size, self.stride)
        return {"out": logits, "attention": shared} if self.training and shared is not None else logits

    def _upsample(self, branch: Tensor, target: Tensor) -> Tensor:
        return F.interpolate(branch, target.shape[-2:], mode="bilinear", align_corners=self.align_corners)


def _layout(channels: int, width: float, depth: float, name: str) -> dict[str, Any]:
    """timm's configuration of this name with other channel and block counts."""
    layout: dict[str, Any] = deepcopy(cfg_cls[name])
    layout["stem_width"] = scaled(layout["stem_width"], width)
    layout["stage1"]["num_channels"] = (scaled(layout["stage1"]["num_channels"][0], width),)
    layout["stage1"]["num_blocks"] = tuple(fewer(n, depth) for n in layout["stage1"]["num_blocks"])
    finest = scaled(channels, width)
    for stage in STAGES:
        part = layout[stage]
        part["num_channels"] = tuple(finest * 2**i for i in range(part["num_branches"]))
        part["num_blocks"] = tuple(fewer(n, depth) for n in part["num_blocks"])
        part["num_modules"] = fewer(part["num_modules"], depth)
    return layout
