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
from ..errors import DejavuError
from ..options import Positive
from ..weights import is_file_name, read_weights

MULTIPLE = 32  # of an input side: the backbone halves it five times and adds the branches up again
STAGES = ("stage2", "stage3", "stage4")
CLASSIFICATION = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")


def build(
    num_classes: int,
    width: float = 1.0,
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
    network = HRNet(_layout(channels, width), num_classes, align_corners)
    if attention:
        network.add_attention(
            dim=_scaled(attention_dim, width),
            heads=attention_heads,
            width=_scaled(attention_width, width),
            stride=attention_stride,
        )
    if pretrained is not None and not network.head[0].weight.is_meta:  # meta counts costs and holds no values
        load_backbone(network.backbone, pretrained)
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
        height, width = images.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE:
            images = F.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        finest, *coarser = self.backbone(images)  # (N, c, H/4, W/4), (N, 2c, H/8, W/8), ...
        branches = [finest, *(self._upsample(branch, finest) for branch in coarser)]
        features = torch.cat(branches, 1)  # (N, 15c, H/4, W/4)
        shared = None
        if self.attention is not None:
            features, shared = self.attention(features)
        logits = self.head(features)[..., : -(-height // self.stride), : -(-width // self.stride)]
        return {"out": logits, "attention": shared} if self.training and shared is not None else logits

    def _upsample(self, branch: Tensor, target: Tensor) -> Tensor:
        return F.interpolate(branch, target.shape[-2:], mode="bilinear", align_corners=self.align_corners)


def _layout(channels: int, width: float) -> dict[str, Any]:
    """timm's configuration of W18-Small-v2 with other channel counts."""
    layout: dict[str, Any] = deepcopy(cfg_cls["hrnet_w18_small_v2"])
    layout["stem_width"] = _scaled(layout["stem_width"], width)
    layout["stage1"]["num_channels"] = (_scaled(layout["stage1"]["num_channels"][0], width),)
    finest = _scaled(channels, width)
    for stage in STAGES:
        layout[stage]["num_channels"] = tuple(finest * 2**i for i in range(layout[stage]["num_branches"]))
    return layout


def _scaled(count: int, width: float) -> int:
    return max(4, int(count * width + 0.5))


def load_backbone(backbone: nn.Module, source: str) -> None:
    """Load ImageNet weights strictly: only the classification head of the source may be left over.

    Raises DejavuError when the file is missing or does not fit.
    """
    given = read_weights(source, "pretrained") if is_file_name(source) else _hub(source)
    weights = {k: v for k, v in given.items() if not k.startswith(CLASSIFICATION)}
    own = backbone.state_dict()
    missing, foreign = own.keys() - weights.keys(), weights.keys() - own.keys()
    if missing or foreign:
        raise DejavuError(
            f"pretrained {source} does not fit: it lacks {len(missing)} of the backbone's {len(own)} weights "
            f"and has {len(foreign)} others, such as '{min(missing or foreign)}'"
        )
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise DejavuError(
                f"pretrained {source} does not fit: '{name}' is {tuple(value.shape)} there and "
                f"{tuple(own[name].shape)} here; it needs width 1 and the same channels"
            )
    backbone.load_state_dict(weights, strict=True)


def _hub(name: str) -> dict[str, Tensor]:
    import timm

    if not timm.is_model(name):
        raise DejavuError(f"pretrained {name!r} is neither a .safetensors or .pth file nor a timm model")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub, its cache and its client fail in many ways
        raise DejavuError(
            f"pretrained {name!r} could not be downloaded ({type(error).__name__}): "
            "name a .safetensors file of it instead"
        ) from error
