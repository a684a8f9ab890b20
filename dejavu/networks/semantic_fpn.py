"""Semantic FPN (Kirillov et al., CVPR 2019) on timm's PoolFormer-M48, ViT-B/16 or EfficientNet-Lite0.

With PoolFormer-M48 77 M parameters and 82 GMACs at 512x512 with 150 classes (sail-sg/poolformer; Yu et al.,
InceptionNeXt, table 5). With ViT-B/16 it is the baseline of DenseCLIP: the head has 256 channels there.

With EfficientNet-Lite0 and 64 channels in pyramid and head it is the small network of the rows `fpn_lite0`,
which are not the paper's: 3.40 M parameters, 2.96 M of them the backbone's, and 7.8 GMACs at 512x1024 with 19
classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from timm.models.efficientnet import EfficientNetFeatures
from timm.models.metaformer import GroupNorm1, MetaFormer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..registry import PositiveInt, Share
from .backbones import lite0
from .backbones.vit import decayed_layers, features, load_vit, vit_b16
from .layers.normalisation import Renormalise
from .layers.per_task import PerTask
from .layers.pyramid import FeaturePyramid, Rescale, SemanticHead
from .layers.sizes import fewer, pad, scaled
from .pretrained import is_meta, load_pretrained, timm_hub

MULTITASK = True
MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest level's stride
M48 = ((96, 192, 384, 768), (8, 8, 24, 8))  # channels and blocks of PoolFormer-M48's stages
TAPS = (3, 5, 7, 11)  # DenseCLIP's: the ViT's blocks, from 0, whose outputs are the four levels


def build(
    num_classes: int | Mapping[str, int],
    width: float = 1.0,
    depth: float = 1.0,
    *,
    backbone: Literal["poolformer_m48", "vit_b16", "tf_efficientnet_lite0"] = "poolformer_m48",
    channels: PositiveInt = 256,
    head_channels: PositiveInt = 128,
    dropout: Share = 0.1,
    drop_path: Share = 0.0,
    image_size: PositiveInt = 512,
    pretrained: str | None = None,
) -> SemanticFPN:
    """Build Semantic FPN.

    Args:
        num_classes: K of a single task, or each task's channels, such as {"semantic": 13, "depth": 1}.
        width: scales every channel count; the ViT's by heads of 64, EfficientNet's by 8.
        depth: scales the number of blocks, of a PoolFormer's or EfficientNet's stage or of the ViT.
        backbone: which network makes the features.
        channels: of the pyramid at width 1.
        head_channels: of each task's head at width 1.
        dropout: probability with which a channel is left out in front of a head's last layer.
        drop_path: of the backbone's last block, falling to 0 at the first.
        image_size: the ViT learns a grid of positions for images of this many pixels a side.
        pretrained: a .safetensors or .pth file of timm's network, one in an installed package as
            package:DISTRIBUTION/FILE, or a timm model name, which is downloaded. Every weight of the
            backbone must be there; positions are interpolated.
    """
    head = Head(num_classes, scaled(channels, width), scaled(head_channels, width), dropout)
    if backbone == "vit_b16":
        vit = vit_b16(width, depth, image_size, drop_path=drop_path, prefix=True, norm=False)
        load_vit(vit, pretrained)
        return VitFPN(vit, head)
    if backbone == "tf_efficientnet_lite0":
        efficientnet = lite0.lite0(width, depth, drop_path)
        lite0.load_lite0(efficientnet, pretrained)
        return Lite0FPN(efficientnet, head)
    poolformer = _poolformer(width, depth, drop_path)
    if pretrained is not None and not is_meta(poolformer):
        load_pretrained(poolformer, pretrained, hub=timm_hub, leave=("head.",))
    return PoolFormerFPN(poolformer, head)


class Head(NamedTuple):
    """Sizes behind the backbone; see `build`."""

    num_classes: int | Mapping[str, int]
    pyramid: int
    channels: int
    dropout: float


class SemanticFPN(PerTask):
    """Four levels of a backbone go through one feature pyramid, which each task's head sums up at stride 4.

    Inputs whose sides are no multiples of 32 are padded with their border, and the predictions cropped.
    Semantic predictions are logits, depth is in metres, normals are of any length.
    """

    stride = 4

    def __init__(self, backbone: Any, inputs: Sequence[int], head: Head) -> None:
        super().__init__(head.num_classes)
        self.feature_channels = inputs[-1]
        self.backbone: Any = backbone
        self.neck = FeaturePyramid(inputs, head.pyramid)
        self.heads = nn.ModuleDict(
            {
                task: SemanticHead(count, head.pyramid, head.channels, dropout=head.dropout)
                for task, count in self.channels.items()
            }
        )

    @property
    def last_shared(self) -> nn.Module:
        """The last modules that all tasks share: the pyramid's convolution of each level."""
        return self.neck.outputs

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Predictions of normalised images (N, 3, H, W): (N, K, H/4, W/4), rounded up, by task if several.

        With more than one task, in training mode also "features": the coarsest level (N, F, H/32, W/32).
        """
        size = (images.shape[-2], images.shape[-1])
        levels = self.levels(pad(images, MULTIPLE))
        pyramid = self.neck(levels)
        return self.output({task: head(pyramid) for task, head in self.heads.items()}, levels[-1], size)

    @abstractmethod
    def levels(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps at strides 4, 8, 16 and 32."""


class PoolFormerFPN(SemanticFPN):
    """The outputs of PoolFormer's four stages, each with a norm of its own."""

    def __init__(self, backbone: MetaFormer, head: Head) -> None:
        channels = [stage["num_chs"] for stage in backbone.feature_info]
        super().__init__(backbone, channels, head)
        self.norms = nn.ModuleList([GroupNorm1(count) for count in channels])

    def levels(self, images: Tensor) -> list[Tensor]:
        maps = self.backbone.forward_intermediates(images, intermediates_only=True)
        return [norm(x) for norm, x in zip(self.norms, maps, strict=True)]


class VitFPN(SemanticFPN):
    """The outputs of four of a ViT's blocks, brought to four strides."""

    def __init__(self, backbone: VisionTransformer, head: Head) -> None:
        super().__init__(backbone, [backbone.embed_dim] * len(TAPS), head)
        self.rescale = Rescale(backbone.embed_dim)

    def decayed_layers(self) -> list[list[nn.Parameter]]:
        """Return the ViT's layers from the image on, for the recipe's `layer_decay`."""
        return decayed_layers(self.backbone)

    def levels(self, images: Tensor) -> list[Tensor]:
        return self.rescale(features(self.backbone, images, TAPS))


class Lite0FPN(SemanticFPN):
    """The last outputs of EfficientNet's four resolutions, of images in the range of its weights, -1 to 1."""

    def __init__(self, backbone: EfficientNetFeatures, head: Head) -> None:
        super().__init__(backbone, backbone.feature_info.channels(), head)
        self.unit = Renormalise(lite0.MEAN, lite0.STD)

    def levels(self, images: Tensor) -> list[Tensor]:
        return self.backbone(self.unit(images))


def _poolformer(width: float, depth: float, drop_path: float) -> MetaFormer:
    """timm's poolformer_m48 with other channel and block counts, which its own function does not offer."""
    channels, blocks = M48
    network = MetaFormer(
        dims=tuple(scaled(count, width) for count in channels),
        depths=tuple(fewer(count, depth) for count in blocks),
        num_classes=0,
        drop_path_rate=drop_path,
        downsample_norm=None,
        mlp_act=nn.GELU,
        mlp_bias=True,
        norm_layers=GroupNorm1,
        layer_scale_init_values=1e-6,
        res_scale_init_values=(None,) * len(blocks),
        use_mlp_head=False,
    )
    network.reset_classifier(0, "", reset_other=True)  # its last norm too: every level has one here
    return network
