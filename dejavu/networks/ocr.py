"""HRNet with object-contextual representations (Yuan, Chen, Wang, ECCV 2020), at stride 4.

At 512x1024 with 19 classes: W48 with mid 512 and key 256 (the published widths) 70.4 M parameters and 324.5
GMACs; W18-Small-v2 with mid 192 and key 96 4.58 M and 38.8. The widths of the latter are ours: DejaVu's
paper gives 39 GMACs and no widths, and 512 and 256 would cost 88.9.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from ..registry import PositiveInt, Share
from .backbones import hrnet
from .layers.object_context import ObjectContext, region_head
from .layers.sizes import cut, pad, scaled


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    layout: Literal["w18_small_v2", "w48"] = "w18_small_v2",
    channels: PositiveInt | None = None,
    mid: PositiveInt = 192,
    key: PositiveInt = 96,
    dropout: Share = 0.05,
    align_corners: bool = True,
    pretrained: str | None = None,
) -> OCR:
    """Build HRNet + OCR.

    Args:
        num_classes: K.
        width: scales every channel count but the stem's last 64.
        depth: scales the number of blocks of a branch and of modules of a stage.
        layout: of the backbone: two or four blocks a branch.
        channels: c of the finest branch at width 1; None is the layout's, 18 or 48.
        mid: channels of the pixels' representation, at width 1.
        key: channels of the object attention, at width 1.
        dropout: share of channels that is dropped in front of the classifier.
        align_corners: of the branches' upsampling.
        pretrained: of the backbone, as in `hrnet`.
    """
    configuration = hrnet.layout(layout, channels, width, depth)
    network = OCR(configuration, num_classes, scaled(mid, width), scaled(key, width), dropout, align_corners)
    hrnet.start(network.backbone, pretrained)
    return network


class OCR(nn.Module):
    """HRNet's concatenated branches, augmented by their objects' features, and classified.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped.
    """

    stride = hrnet.STRIDE
    auxiliary_outputs: tuple[str, ...] = ("regions",)

    def __init__(
        self,
        layout: hrnet.Layout,
        num_classes: int,
        mid: int,
        key: int,
        dropout: float = 0.05,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.backbone = hrnet.backbone(layout)
        features = hrnet.width_of(layout)
        self.context = ObjectContext(features, region_head(features, num_classes), mid, key, dropout)
        self.head = nn.Conv2d(mid, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up.

        In training mode {"out": logits, "auxiliary": {"regions": logits of the soft regions}}.
        """
        size = (images.shape[-2], images.shape[-1])
        branches = self.backbone(pad(images, hrnet.MULTIPLE))
        augmented, regions = self.context(hrnet.concatenate(branches, self.align_corners))
        logits = cut(self.head(augmented), size, self.stride)
        if self.training:
            return {"out": logits, "auxiliary": {"regions": cut(regions, size, self.stride)}}
        return logits
