"""ViT-B/16 of timm, whose feature maps are taken after some of its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ...errors import DejavuError
from ..layers.sizes import fewer, scaled
from ..pretrained import is_meta, load_pretrained, timm_hub

PATCH = 16
HEADS, HEAD, BLOCKS = 12, 64, 12  # attention heads, channels of a head, blocks: "base"
CLASSIFICATION = ("head.", "head_dist.", "fc_norm.")
PREFIX = ("cls_token", "dist_token")  # stand in front of the patches, and have position embeddings


def vit_b16(
    width: float, depth: float, image_size: int, *, drop_path: float = 0.0, prefix: bool, norm: bool
) -> VisionTransformer:
    """ViT-B/16 without its classifier, with fewer heads of 64 channels and fewer blocks if reduced.

    Args:
        width: scales the number of heads, depth that of blocks.
        depth: see width.
        image_size: side in pixels of the images for which positions are learnt; other grids interpolate them.
        drop_path: probability with which the last block's branches are left out; 0 at the first, linear.
        prefix: whether there is a class token, to which the patches attend.
        norm: whether there is the last layer norm.

    Raises:
        DejavuError: image_size is no multiple of 16.
    """
    if image_size % PATCH:
        raise DejavuError(f"network.image_size must be a multiple of {PATCH}, not {image_size}")
    heads = scaled(HEADS, width, least=1)
    return VisionTransformer(
        img_size=image_size,
        patch_size=PATCH,
        embed_dim=HEAD * heads,
        num_heads=heads,
        depth=fewer(BLOCKS, depth),
        num_classes=0,
        global_pool="",
        class_token=prefix,
        final_norm=norm,
        drop_path_rate=drop_path,
        dynamic_img_size=True,
    )


def block_indices(blocks: Sequence[int], count: int) -> list[int]:
    """Scale block numbers (from 0, of twelve) to a network of `count` blocks; two may become the same.

    >>> block_indices((2, 5, 8, 11), 12), block_indices((2, 5, 8, 11), 3)
    ([2, 5, 8, 11], [0, 1, 2, 2])
    """
    return [-(-(block + 1) * count // BLOCKS) - 1 for block in blocks]


def features(backbone: VisionTransformer, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """Maps (N, C, H/16, W/16) after `blocks`, which count from 0 to 11, of images (N, 3, H, W)."""
    wanted = block_indices(blocks, len(backbone.blocks))
    once = sorted(set(wanted))
    maps: Any = backbone.forward_intermediates(images, indices=once, intermediates_only=True)
    return [maps[once.index(index)] for index in wanted]


def decayed_layers(backbone: VisionTransformer) -> list[list[nn.Parameter]]:
    """Return the parameters of each layer, from the image on: embeddings and tokens, then each block."""
    first = [*backbone.patch_embed.parameters(), *backbone.parameters(recurse=False)]
    return [first, *(list(block.parameters()) for block in backbone.blocks)]


def load_vit(backbone: VisionTransformer, source: str | None) -> None:
    """Load a ViT or DeiT of timm: `load_pretrained` describes `source`."""
    if source is None or is_meta(backbone):
        return
    load_pretrained(
        backbone, source, hub=timm_hub, leave=CLASSIFICATION, adapt=lambda given: _fitted(given, backbone)
    )


def _fitted(given: dict[str, Tensor], backbone: VisionTransformer) -> Mapping[str, Tensor]:
    """Weights without the tokens and norm that the backbone does not have, and with its grid of positions."""
    beginning = sum(name in given for name in PREFIX)
    own = backbone.num_prefix_tokens
    if "pos_embed" in given:
        grid = backbone.patch_embed.grid_size
        given = given | {"pos_embed": positions(given["pos_embed"], grid, beginning, own)}
    absent = (*(PREFIX if own == 0 else ()), *(("norm.",) if isinstance(backbone.norm, nn.Identity) else ()))
    return {name: value for name, value in given.items() if not name.startswith(absent)}


def positions(
    embeddings: Tensor, grid: tuple[int, int], beginning: int = 1, kept: int = 1, mode: str = "bicubic"
) -> Tensor:
    """Position embeddings (1, beginning + side * side, C) interpolated to (1, kept + h * w, C).

    What is not square is left as it is.
    """
    side = isqrt(embeddings.shape[1] - beginning)
    if side**2 != embeddings.shape[1] - beginning:
        return embeddings
    patches = resample_abs_pos_embed(
        embeddings[:, beginning:], grid, (side, side), num_prefix_tokens=0, interpolation=mode
    )
    return torch.cat([embeddings[:, :kept], patches], 1)
