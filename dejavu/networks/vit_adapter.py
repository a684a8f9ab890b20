"""ViT-Adapter-L: Mask2Former's decoders, four times as wide, on BEiT-L/16 and an adapter.

Chen et al., ICLR 2023. czczup/ViT-Adapter, configs/cityscapes/mask2former_beit_adapter_large_896: 570.4 M
parameters at 896 pixels and 568.1 M at 640 (published: 571 and 568), 1087.4 GMACs at 512x512 with 19 classes,
which is the DejaVu paper's 1089.
"""

from __future__ import annotations

from torch import nn

from ..registry import PositiveInt, Share
from .backbones.beit import GridBeit, load_beit
from .backbones.swin import HEAD, SWINS, swin_config
from .backbones.vit_adapter import INTERACTIONS, BeitAdapter
from .layers.sizes import fewer, scaled
from .mask2former import Mask2Former, decoder_config

LOG_SCORES = True

HEADS, BLOCKS, PRIOR = 16, 24, 64  # BEiT's attention heads and blocks, channels of the spatial prior


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    queries: PositiveInt = 100,
    channels: PositiveInt = 1024,
    drop_path: Share = 0.3,
    image_size: PositiveInt = 896,
    pretrained: str | None = None,
) -> ViTAdapter:
    """Build ViT-Adapter.

    Args:
        num_classes: K.
        width: scales all channel counts, BEiT's by heads of 64, and the number of queries, at least 8.
        depth: scales the numbers of blocks and layers. BEiT's stay a multiple of four, and of the queries'
            decoder at least 3 are left.
        queries: number of queries at width 1.
        channels: of both decoders at width 1.
        drop_path: chance that BEiT's last block is left out in training; it rises linearly from 0 at the
            first. That of the adapter's feed-forward layers, the same for all.
        image_size: BEiT learns relative positions for images of this many pixels a side; for others they are
            interpolated.
        pretrained: a .safetensors or .pth file of timm's BEiT-L/16, or a timm model name, which is
            downloaded. Every weight of BEiT must be there; relative positions are interpolated.
    """
    blocks = INTERACTIONS * fewer(BLOCKS // INTERACTIONS, depth)
    beit = GridBeit(image_size, scaled(HEADS, width, least=1), blocks, float(drop_path))
    load_beit(beit, pretrained)
    adapter = BeitAdapter(beit, scaled(PRIOR, width), float(drop_path))
    config = decoder_config(
        swin_config(SWINS["swin_tiny"], 0.01, 0.01, 0.0),  # as small as can be: the adapter replaces it
        num_classes,
        scaled(channels, width, multiple=HEAD),
        depth,
        scaled(queries, width, least=8),
        feedforward=4,
    )
    return ViTAdapter(config, adapter)


class ViTAdapter(Mask2Former):
    """Mask2Former on the four maps of an adapted BEiT."""

    def decayed_layers(self) -> list[list[nn.Parameter]]:
        """Return the layers of BEiT from the image on, for the recipe's `layer_decay`.

        The queries' embeddings and predictions learn as slowly as the first, as in the public code.
        """
        decoder = self.model.model.transformer_module
        slow = (
            decoder.queries_features,
            decoder.queries_embedder,
            decoder.level_embed,
            decoder.decoder.mask_predictor.mask_embedder,
            self.model.class_predictor,
        )
        first, *blocks = self.backbone.beit.decayed_layers()
        return [[*first, *(p for module in slow for p in module.parameters())], *blocks]
