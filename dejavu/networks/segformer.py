"""SegFormer MiT-B5, transformers' own: 84.6 M parameters, 240.0 GMACs at 512x1024 with 19 classes.

Xie et al., NeurIPS 2021. The paper's 362 GMACs are a quarter of what it costs at 1024x2048, where attention
costs more than four times as much.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import SegformerConfig, SegformerForImageClassification, SegformerForSemanticSegmentation

from ..registry import Share
from .layers.sizes import cut, fewer, pad, scaled
from .pretrained import is_meta, load_pretrained
from .pretrained_transformers import transformers_hub, under_today_s_names

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest stage's stride
CHANNELS, DEPTHS, HEADS = (64, 128, 320, 512), (3, 6, 40, 3), (1, 2, 5, 8)  # of MiT-B5's four stages
DECODER = 768
CLASSIFIER = ("classifier.",)


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    drop_path: Share = 0.1,
    pretrained: str | None = None,
) -> SegFormer:
    """Build SegFormer.

    Args:
        num_classes: K.
        width: scales all channel counts; the number of attention heads stays.
        depth: scales the number of blocks of a stage.
        drop_path: chance that the last block is left out in training; it rises linearly from 0 at the first.
        pretrained: a file of MiT-B5's ImageNet classifier as transformers has it, or its name on the hub,
            which is downloaded: nvidia/mit-b5. Every weight of the backbone must be there.
    """
    config = SegformerConfig(
        hidden_sizes=[
            scaled(channels, width, heads) for channels, heads in zip(CHANNELS, HEADS, strict=True)
        ],
        depths=[fewer(blocks, depth) for blocks in DEPTHS],
        num_attention_heads=list(HEADS),
        decoder_hidden_size=scaled(DECODER, width),
        drop_path_rate=float(drop_path),
        num_labels=num_classes,  # type: ignore[call-arg]
    )
    network = SegFormer(config)
    if pretrained is not None and not is_meta(network):
        load_pretrained(
            network.backbone,
            pretrained,
            hub=transformers_hub(SegformerForImageClassification),
            leave=CLASSIFIER,
            adapt=under_today_s_names(SegformerForImageClassification, config, "segformer.", CLASSIFIER),
        )
    return network


class SegFormer(nn.Module):
    """Mix Transformer and all-MLP head.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped.
    """

    stride = 4

    def __init__(self, config: Any) -> None:
        super().__init__()
        model = SegformerForSemanticSegmentation(config)  # which initialises the backbone and the head
        self.backbone = model.segformer
        self.head = model.decode_head

    def forward(self, images: Tensor) -> Tensor:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        features = self.backbone(pad(images, MULTIPLE), output_hidden_states=True).hidden_states
        return cut(self.head(features), size, self.stride)
