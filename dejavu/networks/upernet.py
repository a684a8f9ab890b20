"""UperNet (Xiao et al., ECCV 2018) on timm's ViT-B/16, as mmsegmentation's upernet_vit-b16_ln_mln.

Four blocks' outputs are brought to strides 4 to 32 by a neck of bilinear interpolation and convolutions. The
two heads are those of transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ..registry import PositiveInt, Share
from .backbones.vit import decayed_layers, features, load_vit, vit_b16
from .layers.sizes import cut, pad, scaled

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest level's stride
TAPS = (2, 5, 8, 11)  # the ViT's blocks, from 0, whose outputs are the four levels
SCALES = (4.0, 2.0, 1.0, 0.5)  # from stride 16 to the levels' strides


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    channels: PositiveInt = 512,
    auxiliary_channels: PositiveInt = 256,
    drop_path: Share = 0.1,
    image_size: PositiveInt = 512,
    pretrained: str | None = None,
) -> UperNet:
    """Build UperNet.

    Args:
        num_classes: K.
        width: scales every channel count; the ViT's by heads of 64.
        depth: scales the number of the ViT's blocks.
        channels: of the head at width 1.
        auxiliary_channels: of the auxiliary head at width 1.
        drop_path: of the ViT's last block, falling to 0 at the first.
        image_size: the ViT learns a grid of positions for images of this many pixels a side.
        pretrained: a .safetensors or .pth file of timm's ViT-B/16, or a timm model name, which is
            downloaded. Every weight of the backbone must be there; positions are interpolated.
    """
    backbone = vit_b16(width, depth, image_size, drop_path=drop_path, prefix=True, norm=True)
    load_vit(backbone, pretrained)
    return UperNet(backbone, num_classes, scaled(channels, width), scaled(auxiliary_channels, width))


class UperNet(nn.Module):
    """Four levels of a ViT through pyramid pooling and a feature pyramid; an FCN head on the last level.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped. In
    training mode it returns {"out": logits, "auxiliary": {"fcn": logits at stride 32}}. A training batch
    needs two images: pyramid pooling brings a batch norm to one position an image.
    """

    stride = 4
    auxiliary_outputs = ("fcn",)
    training_only = ("auxiliary",)

    def __init__(
        self, backbone: VisionTransformer, num_classes: int, channels: int, auxiliary_channels: int
    ) -> None:
        super().__init__()
        # Here, so that other networks do not wait for the library.
        from transformers import UperNetConfig
        from transformers.models.upernet.modeling_upernet import UperNetFCNHead, UperNetHead

        levels = [backbone.embed_dim] * len(TAPS)
        settings: Any = UperNetConfig(
            hidden_size=channels,
            auxiliary_channels=auxiliary_channels,
            auxiliary_num_convs=1,
            auxiliary_concat_input=False,
        )
        settings.num_labels = num_classes
        self.backbone = backbone
        self.neck = MultiLevelNeck(backbone.embed_dim)
        self.head = _with_dropout(UperNetHead(settings, levels))
        self.auxiliary = _with_dropout(UperNetFCNHead(settings, levels, in_index=len(TAPS) - 1))

    def decayed_layers(self) -> list[list[nn.Parameter]]:
        """Return the ViT's layers from the image on, for the recipe's `layer_decay`."""
        return decayed_layers(self.backbone)

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        *finer, last = features(self.backbone, pad(images, MULTIPLE), TAPS)
        last = self.backbone.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        levels = self.neck([*finer, last])
        logits = cut(self.head(levels), size, self.stride)
        if not self.training:
            return logits
        return {"out": logits, "auxiliary": {"fcn": cut(self.auxiliary(levels), size, MULTIPLE)}}


class MultiLevelNeck(nn.Module):
    """Maps at stride 16 to strides 4, 8, 16 and 32: a 1x1 convolution, interpolation, a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList([nn.Conv2d(channels, channels, 1) for _ in SCALES])
        self.outputs = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in SCALES])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (N, C, H/16, W/16) to (N, C, H/4, W/4), (N, C, H/8, W/8), ..."""
        laterals = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        resized = [_resize(x, scale) for x, scale in zip(laterals, SCALES, strict=True)]
        return [output(x) for output, x in zip(self.outputs, resized, strict=True)]


def _resize(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _with_dropout(head: Any) -> nn.Module:
    """Return the head with mmsegmentation's dropout before of its classifier, which transformers left out."""
    head.classifier = nn.Sequential(nn.Dropout2d(0.1), head.classifier)
    return head
