"""HRNet with hierarchical supervision: HS3 and HS3-Fuse (Borse, Cai, Zhang, Porikli: HS3: Learning with
Proper Task Complexity in Hierarchically Supervised Semantic Segmentation, BMVC 2021, arXiv:2111.02333).

Known: intermediate layers are supervised with tasks that suit their power, clusters of classes, at no cost
at inference; HS3-Fuse also aggregates the features of these layers for the final segmentation; DejaVu's
paper gives 19 and 39 GMACs with HRNet18. There is no public code.

Ours: the supervised layers are the outputs of stages 2 and 3, each with a head like HRNet's own; the
clusters are the dataset's categories, and the recipe's `coarse` chooses the layers that learn them. The heads
have all K classes: a category's logit is the log-sum-exp of its classes'. HS3-Fuse joins the features with
the objects of their own layer's segmentation (layers/object_context.py), and
its widths, 124 and 62, are fitted to the paper's cost.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..registry import PositiveInt
from .backbones import hrnet
from .hrnet import HRNet
from .layers.convolution import convolution
from .layers.object_context import ObjectContext
from .layers.sizes import cut, pad, scaled

SUPERVISED = ("stage2", "stage3")


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    layout: Literal["w18_small_v2", "w48"] = "w18_small_v2",
    channels: PositiveInt | None = None,
    fuse: bool = False,
    mid: PositiveInt = 124,
    key: PositiveInt = 62,
    align_corners: bool = True,
    pretrained: str | None = None,
) -> HS3 | HS3Fuse:
    """Build HRNet for HS3 or HS3-Fuse.

    Args:
        num_classes: K.
        width: scales every channel count but the stem's last 64.
        depth: scales the number of blocks of a branch and of modules of a stage.
        layout: of the backbone: two or four blocks a branch.
        channels: c of the finest branch at width 1; None is the layout's, 18 or 48.
        fuse: HS3-Fuse: the supervised layers' features and segmentations are used at inference, too.
        mid: channels that each layer brings into the fusion, at width 1.
        key: channels of the attention to objects in the fusion, at width 1.
        align_corners: of the branches' upsampling.
        pretrained: of the backbone, as in `hrnet`.
    """
    configuration = hrnet.layout(layout, channels, width, depth)
    network: HS3 | HS3Fuse
    if fuse:
        network = HS3Fuse(configuration, num_classes, scaled(mid, width), scaled(key, width), align_corners)
    else:
        network = HS3(configuration, num_classes, align_corners)
    hrnet.start(network.backbone, pretrained)
    return network


class HS3(HRNet):
    """HRNet, and in training mode the predictions of its stages 2 and 3.

    With the same seed, all but the stages' heads has the initial weights of `HRNet`.
    """

    auxiliary_outputs = SUPERVISED
    training_only = ("levels.",)

    def __init__(self, layout: hrnet.Layout, num_classes: int, align_corners: bool = True) -> None:
        super().__init__(layout, num_classes, align_corners)
        self.levels = nn.ModuleDict(
            {name: hrnet.classifier(hrnet.width_of(layout, name), num_classes) for name in SUPERVISED}
        )

    def forward(self, images: Tensor) -> Any:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up.

        In training mode {"out": logits, "auxiliary": {"stage2": logits, "stage3": logits}}.
        """
        if not self.training:
            return super().forward(images)
        with hrnet.record_stages(self.backbone, SUPERVISED) as stages:
            logits = super().forward(images)
        size = (images.shape[-2], images.shape[-1])
        features = {name: hrnet.concatenate(stages[name], self.align_corners) for name in SUPERVISED}
        levels = {name: cut(self.levels[name](features[name]), size, self.stride) for name in SUPERVISED}
        return {"out": logits, "auxiliary": levels}


class HS3Fuse(nn.Module):
    """HRNet whose stages 2 and 3 are joined to its last features, each with its objects' context.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped.
    """

    stride = hrnet.STRIDE
    auxiliary_outputs = SUPERVISED

    def __init__(
        self, layout: hrnet.Layout, num_classes: int, mid: int, key: int, align_corners: bool = True
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.backbone = hrnet.backbone(layout)
        self.levels = nn.ModuleDict()
        for name in SUPERVISED:
            features = hrnet.width_of(layout, name)
            regions = hrnet.classifier(features, num_classes)
            self.levels[name] = ObjectContext(features, regions, mid, key, dropout=0.0)
        self.last = convolution(hrnet.width_of(layout), mid, kernel=3)
        self.fuse = convolution(mid * (len(SUPERVISED) + 1), mid)
        self.head = nn.Conv2d(mid, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Compute `HS3.forward`; the auxiliary logits are computed, but not returned, at inference."""
        size = (images.shape[-2], images.shape[-1])
        with hrnet.record_stages(self.backbone, SUPERVISED) as stages:
            branches = self.backbone(pad(images, hrnet.MULTIPLE))
        joined, levels = [self.last(hrnet.concatenate(branches, self.align_corners))], {}
        for name in SUPERVISED:
            features = hrnet.concatenate(stages[name], self.align_corners)
            augmented, segmentation = self.levels[name](features)
            joined.append(augmented)
            levels[name] = cut(segmentation, size, self.stride)
        logits = cut(self.head(self.fuse(torch.cat(joined, 1))), size, self.stride)
        return {"out": logits, "auxiliary": levels} if self.training else logits
