"""Semantic FPN (Kirillov et al., CVPR 2019) on timm's PoolFormer-M48 or ViT-B/16.

With PoolFormer-M48 77 M parameters and 82 GMACs at 512x512 with 150 classes (sail-sg/poolformer; Yu et al.,
InceptionNeXt, table 5). With ViT-B/16 it is the baseline of DenseCLIP: the head has 256 channels there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from timm.models.metaformer import GroupNorm1, MetaFormer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ..registry import PositiveInt, Share
from .backbones.vit import features, load_vit, vit_b16
from .layers.pyramid import FeaturePyramid, Rescale, SemanticHead
from .layers.sizes import cut, fewer, pad, scaled
from .pretrained import is_meta, load_pretrained, timm_hub

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest level's stride
M48 = ((96, 192, 384, 768), (8, 8, 24, 8))  # channels and blocks of PoolFormer-M48's stages
TAPS = (3, 5, 7, 11)  # DenseCLIP's: the ViT's blocks, from 0, whose outputs are the four levels


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    backbone: Literal["poolformer_m48", "vit_b16"] = "poolformer_m48",
    channels: PositiveInt = 256,
    head_channels: PositiveInt = 128,
    drop_path: Share = 0.0,
    image_size: PositiveInt = 512,
    pretrained: str | None = None,
) -> SemanticFPN:
    """Build Semantic FPN.

    Args:
        num_classes: K.
        width: scales every channel count; the ViT's by heads of 64.
        depth: scales the number of blocks, of a PoolFormer's stage or of the ViT.
        backbone: which network makes the features.
        channels: of the pyramid at width 1.
        head_channels: of the head at width 1.
        drop_path: of the backbone's last block, falling to 0 at the first.
        image_size: the ViT learns a grid of positions for images of this many pixels a side.
        pretrained: a .safetensors or .pth file of timm's network, or a timm model name, which is
            downloaded. Every weight of the backbone must be there; positions are interpolated.
    """
    sizes = (num_classes, scaled(channels, width), scaled(head_channels, width))
    if backbone == "vit_b16":
        vit = vit_b16(width, depth, image_size, drop_path=drop_path, prefix=True, norm=False)
        load_vit(vit, pretrained)
        return VitFPN(vit, *sizes)
    poolformer = _poolformer(width, depth, drop_path)
    if pretrained is not None and not is_meta(poolformer):
        load_pretrained(poolformer, pretrained, hub=timm_hub, leave=("head.",))
    return PoolFormerFPN(poolformer, *sizes)


class SemanticFPN(nn.Module):
    """Four levels of a backbone go through a feature pyramid, and the head sums them up at stride 4.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped.
    """

    stride = 4

    def __init__(
        self, backbone: Any, inputs: Sequence[int], num_classes: int, channels: int, head_channels: int
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.neck = FeaturePyramid(inputs, channels)
        self.head = SemanticHead(num_classes, channels, head_channels)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        return cut(self.head(self.neck(self.levels(pad(images, MULTIPLE)))), size, self.stride)

    @abstractmethod
    def levels(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps at strides 4, 8, 16 and 32."""


class PoolFormerFPN(SemanticFPN):
    """The outputs of PoolFormer's four stages, each with a norm of its own."""

    def __init__(self, backbone: MetaFormer, *sizes: int) -> None:
        channels = [stage["num_chs"] for stage in backbone.feature_info]
        super().__init__(backbone, channels, *sizes)
        self.norms = nn.ModuleList([GroupNorm1(count) for count in channels])

    def levels(self, images: Tensor) -> list[Tensor]:
        maps = self.backbone.forward_intermediates(images, intermediates_only=True)
        return [norm(x) for norm, x in zip(self.norms, maps, strict=True)]


class VitFPN(SemanticFPN):
    """The outputs of four of a ViT's blocks, brought to four strides."""

    def __init__(self, backbone: VisionTransformer, *sizes: int) -> None:
        super().__init__(backbone, [backbone.embed_dim] * len(TAPS), *sizes)
        self.rescale = Rescale(backbone.embed_dim)

    def levels(self, images: Tensor) -> list[Tensor]:
        return self.rescale(features(self.backbone, images, TAPS))


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
