"""HRNetV2 with the layout of W18-Small-v2 or W48, on timm's backbone, with a 1x1 head at stride 4.

"HRNet18" of the paper is W18-Small-v2: 3.94 M parameters and 19.2 GMACs at 512x1024 with 19 classes;
"HRNet48" is W48: 65.9 M and 186.9. Layouts and head: HRNet/HRNet-Semantic-Segmentation. "HRNet18+SA" is
the same with attention=True.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ..method.attention import Shared, SharedAttention
from ..registry import PositiveInt
from .backbones import hrnet
from .layers.sizes import cut, pad, scaled


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    layout: Literal["w18_small_v2", "w48"] = "w18_small_v2",
    channels: PositiveInt | None = None,
    align_corners: bool = True,
    attention: bool = False,
    attention_stride: PositiveInt = 8,
    attention_dim: PositiveInt = 16,
    attention_heads: PositiveInt = 1,
    attention_width: PositiveInt = 48,
    pretrained: str | None = None,
) -> HRNet:
    """Build HRNet.

    Args:
        num_classes: K.
        width: scales every channel count but the stem's last 64, which timm fixes; rounded to the
            nearest whole number, at least 4.
        depth: scales the number of blocks of a branch and of modules of a stage.
        layout: how many blocks and modules there are; W18-Small-v2 has two blocks a branch, W48 four.
        channels: c of the finest branch at width 1; the branches have c, 2c, 4c and 8c. None is the
            layout's, 18 or 48.
        align_corners: of the branches' upsampling.
        attention: refine the features in front of the head by self-attention, which DejaVu-SA shares.
        attention_stride: side of an attention cell in pixels, a multiple of 4.
        attention_dim: of queries, keys and values, per head, at width 1.
        attention_heads: number of attention maps.
        attention_width: channels of the reduced features that are attended, at width 1.
        pretrained: a .safetensors or .pth file of timm's classification or feature network, or a
            timm model name, which is downloaded. Every weight of the backbone must be there.
    """
    network = HRNet(hrnet.layout(layout, channels, width, depth), num_classes, align_corners)
    if attention:
        network.add_attention(
            dim=scaled(attention_dim, width),
            heads=attention_heads,
            width=scaled(attention_width, width),
            stride=attention_stride,
        )
    hrnet.start(network.backbone, pretrained)
    return network


class HRNet(nn.Module):
    """Four branches at strides 4 to 32, brought to stride 4, concatenated and classified.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped.
    With attention, in training mode, it returns the mapping {"out": logits, "attention": Shared}.
    """

    stride = hrnet.STRIDE

    def __init__(self, layout: hrnet.Layout, num_classes: int, align_corners: bool = True) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.backbone = hrnet.backbone(layout)
        self.features = hrnet.width_of(layout)
        self.head = hrnet.classifier(self.features, num_classes)
        self.attention: SharedAttention | None = None

    def add_attention(self, **options: int) -> None:
        """Add `SharedAttention`, last: all else has the plain network's initial weights of the same seed."""
        self.attention = SharedAttention(self.features, feature_stride=self.stride, **options)

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor | Shared]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        branches = self.backbone(pad(images, hrnet.MULTIPLE))  # (N, c, H/4, W/4), (N, 2c, H/8, W/8), ...
        features = hrnet.concatenate(branches, self.align_corners)  # (N, 15c, H/4, W/4)
        shared = None
        if self.attention is not None:
            features, shared = self.attention(features)
        logits = cut(self.head(features), size, self.stride)
        return {"out": logits, "attention": shared} if self.training and shared is not None else logits
