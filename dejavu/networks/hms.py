"""HRNet-OCR with hierarchical multi-scale attention (Tao, Sapra, Catanzaro: Hierarchical Multi-Scale
Attention for Semantic Segmentation, arXiv:2005.10821), at stride 4.

One network sees the image at several sizes. At each size it also predicts where its own prediction is to
be preferred to that of the next larger size:

    fused = up(attention * low) + (1 - up(attention)) * high

It is trained with the sizes 0.5 and 1 and chained from the largest to the smallest at inference. With W48 at
512x1024 and 19 classes it has 72.1 M parameters and costs 478 GMACs at two sizes, 2008 at three. As in the
published code, NVIDIA/semantic-segmentation, the attention of the largest size is computed, too. Unlike
there, predictions are fused at stride 4 of the image instead of its full size.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import PositiveInt, Share
from ..tasks.resampling import enlarge
from .backbones import hrnet
from .layers.convolution import convolution
from .layers.sizes import cut, pad, scaled
from .ocr import OCR

MULTIPLE = 2 * hrnet.MULTIPLE  # of an input side: half the image is no less than the backbone needs
LEARNT = (0.5, 1.0)  # sizes of the image in training, smallest first


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    layout: Literal["w18_small_v2", "w48"] = "w48",
    channels: PositiveInt | None = None,
    mid: PositiveInt = 512,
    key: PositiveInt = 256,
    attention_width: PositiveInt = 256,
    dropout: Share = 0.05,
    scales: Literal["0.5+1", "0.5+1+2"] = "0.5+1+2",
    align_corners: bool = False,
    pretrained: str | None = None,
) -> HMS:
    """Build HRNet-OCR with attention over sizes.

    Args:
        num_classes: K.
        width: scales every channel count but the stem's last 64.
        depth: scales the number of blocks of a branch and of modules of a stage.
        layout: of the backbone: two or four blocks a branch.
        channels: c of the finest branch at width 1; None is the layout's, 18 or 48.
        mid: channels of the pixels' representation in OCR, at width 1.
        key: channels of the object attention in OCR, at width 1.
        attention_width: channels of the head that predicts the attention over sizes, at width 1.
        dropout: share of channels that is dropped in front of the heads.
        scales: sizes of the image at inference.
        align_corners: of all resizing.
        pretrained: of the backbone, as in `hrnet`.
    """
    network = HMS(
        hrnet.layout(layout, channels, width, depth),
        num_classes,
        scaled(mid, width),
        scaled(key, width),
        scaled(attention_width, width),
        dropout,
        tuple(float(scale) for scale in scales.split("+")),
        align_corners,
    )
    hrnet.start(network.backbone, pretrained)
    return network


class ScalePrediction(NamedTuple):
    """The predictions for one size of the image, at stride 4 of that size."""

    logits: Tensor  # (N, K, h, w)
    regions: Tensor  # (N, K, h, w), logits of OCR's soft regions
    attention: Tensor  # (N, 1, h, w), 0 to 1: the weight of these logits beside those of larger sizes


class HMS(OCR):
    """HRNet-OCR at several sizes of the image, fused by attention.

    Inputs whose sides are no multiples of 64 are padded with their border, and the logits cropped.
    """

    auxiliary_outputs = ("regions", "low", "high")

    def __init__(
        self,
        layout: hrnet.Layout,
        num_classes: int,
        mid: int,
        key: int,
        attention_width: int,
        dropout: float = 0.05,
        scales: tuple[float, ...] = (0.5, 1.0, 2.0),
        align_corners: bool = False,
    ) -> None:
        super().__init__(layout, num_classes, mid, key, dropout, align_corners)
        self.scales = scales
        self.attention = nn.Sequential(
            convolution(mid, attention_width, kernel=3),
            convolution(attention_width, attention_width, kernel=3),
            nn.Conv2d(attention_width, 1, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up.

        In training mode {"out": logits, "auxiliary": {"regions": the soft regions' logits, fused alike,
        "low": logits of the image at half its size, "high": those at its full size}}.
        """
        size = (images.shape[-2], images.shape[-1])
        padded = pad(images, MULTIPLE)
        scales = LEARNT if self.training else self.scales
        predictions = [self.predict_at(self._rescale(padded, scale)) for scale in scales]
        attentions = [one.attention for one in predictions]
        grid = predictions[scales.index(1.0)].logits
        logits = self.fuse([one.logits for one in predictions], attentions, grid)
        if not self.training:
            return cut(logits, size, self.stride)
        auxiliary = {
            "regions": self.fuse([one.regions for one in predictions], attentions, grid),
            "low": self._resize(predictions[0].logits, grid),
            "high": predictions[1].logits,
        }
        return {
            "out": cut(logits, size, self.stride),
            "auxiliary": {name: cut(value, size, self.stride) for name, value in auxiliary.items()},
        }

    def predict_at(self, images: Tensor) -> ScalePrediction:
        """Predict for images (N, 3, H, W), sides multiples of 32, at this size."""
        augmented, regions = self.context(hrnet.concatenate(self.backbone(images), self.align_corners))
        return ScalePrediction(self.head(augmented), regions, self.attention(augmented))

    def fuse(self, maps: list[Tensor], attentions: list[Tensor], grid: Tensor) -> Tensor:
        """Maps (N, K, h_i, w_i) of the sizes, smallest first, and their attentions (N, 1, h_i, w_i) as one.

        The result lies on the grid (N, ., h, w); the largest size's attention is not used.
        """
        fused = self._resize(maps[-1], grid)
        for low, attention in zip(maps[-2::-1], attentions[-2::-1], strict=True):
            weighted = self._resize(attention * low, grid)
            fused = weighted + (1 - self._resize(attention, grid)) * fused
        return fused

    def _resize(self, maps: Tensor, like: Tensor) -> Tensor:
        return maps if maps.shape[-2:] == like.shape[-2:] else enlarge(maps, like, self.align_corners)

    def _rescale(self, images: Tensor, scale: float) -> Tensor:
        if scale == 1:
            return images
        height, width = (int(side * scale) for side in images.shape[-2:])
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=self.align_corners)
