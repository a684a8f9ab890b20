"""BEiT-L/16 of timm, whose relative positions follow the grid of patches.

Bao et al., ICLR 2022. Each block has a table of biases, one for each head and each difference of two
patches' positions.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from timm.layers import resize_rel_pos_bias_table
from timm.models.beit import Beit, gen_relative_position_index
from torch import Tensor, nn

from ...errors import DejavuError
from ..pretrained import is_meta, load_pretrained, timm_hub

PATCH, HEAD = 16, 64
LAYER_SCALE = 1e-6
CLASSIFICATION = ("head.", "norm.", "fc_norm.")
OTHERS = 3  # differences that are no patches': class token to patch, patch to class token, to itself
TABLE = re.compile(r"blocks\.(\d+)\.attn\.relative_position_bias_table")


class GridBeit(Beit):
    """A BEiT without its classifier and last norm, for images of any height and width.

    At the grid that it learns it is timm's own; for other grids the tables are interpolated. `block` and
    `tokens` are for an adapter, which comes between blocks.

    Args:
        image_size: side in pixels of the images for which relative positions are learnt.
        heads: number of attention heads, of 64 channels each.
        blocks: number of blocks.
        drop_path: chance that the last block's branches are left out in training; 0 at the first, linear.

    Raises:
        DejavuError: image_size is no multiple of 16.
    """

    def __init__(self, image_size: int, heads: int, blocks: int, drop_path: float) -> None:
        if image_size % PATCH:
            raise DejavuError(f"network.image_size must be a multiple of {PATCH}, not {image_size}")
        super().__init__(
            img_size=image_size,
            patch_size=PATCH,
            embed_dim=HEAD * heads,
            depth=blocks,
            num_heads=heads,
            num_classes=0,
            global_pool="",
            init_values=LAYER_SCALE,
            drop_path_rate=drop_path,
            use_abs_pos_emb=False,
            use_rel_pos_bias=False,  # a block takes them as an argument instead
        )
        self.heads = heads
        self.norm = nn.Identity()
        self.positions = nn.ModuleList([RelativePositions(image_size // PATCH, heads) for _ in range(blocks)])

    def tokens(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed the patches of images (N, 3, H, W): (N, h * w, C) and (h, w) = (H / 16, W / 16)."""
        maps = self.patch_embed.proj(images)
        return maps.flatten(2).transpose(1, 2), (maps.shape[2], maps.shape[3])

    def block(self, number: int, tokens: Tensor, index: Tensor, grid: tuple[int, int]) -> Tensor:
        """Apply a block to class token and patches (N, 1 + h * w, C); `index` is `position_index(grid)`."""
        return self.blocks[number](tokens, shared_rel_pos_bias=self.positions[number](index, grid))

    def decayed_layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters of each layer, from the image on: the embedding, then each block."""
        layers = zip(self.blocks, self.positions, strict=True)
        return [
            [*self.patch_embed.parameters(), self.cls_token],
            *([*block.parameters(), *position.parameters()] for block, position in layers),
        ]


class RelativePositions(nn.Module):
    """A block's biases of attention by the difference of two positions.

    Args:
        side: of the grid of patches for which they are learnt.
        heads: number of attention heads.
    """

    def __init__(self, side: int, heads: int) -> None:
        super().__init__()
        self.differences = 2 * side - 1
        self.bias_table = nn.Parameter(torch.zeros(self.differences**2 + OTHERS, heads))

    def forward(self, index: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the bias of each pair of tokens, by its row of the table: (T, T) to (1, heads, T, T).

        For another grid than the learnt one the table of differences is stretched or shrunk. The shrunk one
        averages: each entry learns, and serves grids between.
        """
        sides = (2 * grid[0] - 1, 2 * grid[1] - 1)
        table, others = self.bias_table[:-OTHERS], self.bias_table[-OTHERS:]
        if sides != (self.differences, self.differences):
            maps = table.T.unflatten(1, (self.differences, self.differences))
            maps = F.interpolate(maps[None], sides, mode="bilinear", antialias=True)
            table = maps[0].flatten(1).T
        return torch.cat([table, others])[index].permute(2, 0, 1)[None]


def position_index(grid: tuple[int, int], like: Tensor) -> Tensor:
    """Return the row of a block's table for each pair of tokens: (1 + h * w, 1 + h * w), int64."""
    return gen_relative_position_index(grid, device=like.device)


def load_beit(backbone: GridBeit, source: str | None) -> None:
    """Load a BEiT of timm, whose tables are resized by BEiT's own rule: `load_pretrained` has `source`."""
    if source is None or is_meta(backbone):
        return
    load_pretrained(
        backbone, source, hub=timm_hub, leave=CLASSIFICATION, adapt=lambda given: _fitted(given, backbone)
    )


def _fitted(given: dict[str, Tensor], backbone: GridBeit) -> Mapping[str, Tensor]:
    """Return the weights under the names here, with tables for the backbone's grid."""
    weights = {}
    for name, value in given.items():
        table = TABLE.fullmatch(name)
        if table:
            weights[f"positions.{table[1]}.bias_table"] = _resized(value, backbone.patch_embed.grid_size)
        elif not name.endswith("relative_position_index"):  # computed here; files of older releases have it
            weights[name] = value
    return weights


def _resized(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize a table; what is not of a square grid is left as it is."""
    rows = table.shape[0] - OTHERS
    if table.ndim != 2 or rows < 1 or isqrt(rows) ** 2 != rows:
        return table
    shape = ((2 * grid[0] - 1) * (2 * grid[1] - 1) + OTHERS, table.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # timm's code is of an older torch
        return resize_rel_pos_bias_table(table, new_window_size=grid, new_bias_shape=shape)
