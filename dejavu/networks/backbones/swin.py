"""Swin Transformers, transformers' own, as the backbones of the mask classification family.

Liu et al., ICCV 2021.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers import SwinConfig, SwinForImageClassification

from ..layers.sizes import fewer, scaled
from ..pretrained import is_meta, load_pretrained
from ..pretrained_transformers import transformers_hub, under_today_s_names

HEAD = 32  # channels of an attention head at width 1
UNUSED = ("classifier.", "swin.layernorm.")  # of the ImageNet classifier


class Swin(NamedTuple):
    """A Swin Transformer's sizes, and those of the images it was pretrained on."""

    channels: int
    blocks: tuple[int, int, int, int]
    window: int
    image: int


SWINS = {
    "swin_tiny": Swin(96, (2, 2, 6, 2), 7, 224),
    "swin_large": Swin(192, (2, 2, 18, 2), 12, 384),
    "swin_large_w7": Swin(192, (2, 2, 18, 2), 7, 224),
}


def swin_config(swin: Swin, width: float, depth: float, drop_path: float) -> Any:
    """transformers' configuration of a Swin whose four stages are feature maps.

    width: scales channels and windows, since small scales have small images.
    depth: scales the numbers of blocks.
    """
    heads = swin.channels // HEAD
    return SwinConfig(
        embed_dim=scaled(swin.channels, width, multiple=heads),
        depths=[fewer(blocks, depth) for blocks in swin.blocks],
        num_heads=[heads * 2**stage for stage in range(4)],
        window_size=scaled(swin.window, width, least=2),
        image_size=swin.image,
        drop_path_rate=drop_path,
        out_features=["stage1", "stage2", "stage3", "stage4"],  # type: ignore[call-arg]
    )


def as_published(backbone: Any) -> None:
    """Make a SwinBackbone what the published code trains.

    The classifier's norm goes, through which no feature map passes. Drop path leaves out a block's MLP, too,
    as in Swin's paper; transformers spares it.
    """
    backbone.swin.layernorm = nn.Identity()
    for stage in backbone.swin.encoder.layers:
        for block in stage.blocks:
            block.mlp.register_forward_hook(partial(_dropped, block.drop_path))


def load_swin(backbone: Any, pretrained: str | None) -> None:
    """Load a SwinBackbone's weights from an ImageNet classifier: transformers' file of it, or its name."""
    if pretrained is not None and not is_meta(backbone):
        load_pretrained(
            backbone.swin,
            pretrained,
            hub=transformers_hub(SwinForImageClassification),
            adapt=under_today_s_names(SwinForImageClassification, backbone.config, "swin.", UNUSED),
        )


def _dropped(drop_path: nn.Module, mlp: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return drop_path(output)
