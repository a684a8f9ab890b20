"""MaskFormer of transformers' modules, for panoptic segmentation: the family's first network.

Cheng et al., NeurIPS 2021. facebookresearch/MaskFormer, configs/coco-panoptic/swin: Swin-T and Swin-L, 100
queries. The backbone is the Swin that Mask2Former has here; transformers' own MaskFormer has another one, of
the same function (tests/unit/networks/test_panoptic.py compares both).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import MaskFormerConfig, MaskFormerDetrConfig, SwinBackbone, SwinConfig
from transformers.models.maskformer.modeling_maskformer import (
    MaskFormerHungarianMatcher,
    MaskFormerLoss,
    MaskformerMLPPredictionHead,
    MaskFormerPixelDecoder,
    MaskFormerTransformerModule,
)

from ..registry import PositiveInt, Share
from .backbones.swin import HEAD, SWINS, as_published, load_swin, swin_config
from .layers.mask_sets import count_masks_of_all, full_precision, layer_of, layers, segment_masks
from .layers.sizes import cut, fewer, pad, scaled

TASK = "panoptic"

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest stage's stride
CHANNELS = 256  # HEAD of them are an attention head at any width, and a group of a norm
LAYERS = 6
WEIGHTS = {"loss_cross_entropy": 1.0, "loss_mask": 20.0, "loss_dice": 1.0}
NO_OBJECT = 0.1


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    backbone: Literal["swin_tiny", "swin_large"] = "swin_tiny",
    queries: PositiveInt = 100,
    drop_path: Share = 0.3,
    dropout: Share = 0.1,
    pretrained: str | None = None,
) -> MaskFormer:
    """Build MaskFormer.

    Args:
        num_classes: K, things and stuff.
        width: scales all channel counts, Swin's windows, since small scales have small images, and the number
            of queries, at least 8.
        depth: scales the numbers of blocks and layers.
        backbone: Swin-T with windows of 7, or Swin-L with windows of 12.
        queries: number of queries at width 1.
        drop_path: chance that Swin's last block is left out in training; it rises linearly from 0 at the
            first.
        dropout: of the queries' decoder, in its attention and its other layers.
        pretrained: a file of Swin's ImageNet classifier as transformers has it, or its name on the hub, as of
            Mask2Former.
    """
    swin = swin_config(SWINS[backbone], width, depth, float(drop_path))
    channels = scaled(CHANNELS, width, multiple=HEAD)
    decoder = MaskFormerDetrConfig(
        backbone_config=SwinConfig(),  # unread
        num_queries=scaled(queries, width, least=8),
        d_model=channels,
        decoder_layers=fewer(LAYERS, depth),
        decoder_attention_heads=channels // HEAD,
        decoder_ffn_dim=8 * channels,
        dropout=float(dropout),
        attention_dropout=float(dropout),
        activation_dropout=float(dropout),
    )
    network = MaskFormer(swin, decoder, num_classes)
    load_swin(network.backbone, pretrained)
    return network


class MaskFormer(nn.Module):
    """Swin, feature pyramid, and a decoder whose queries look at the coarsest features.

    Inputs whose sides are no multiples of 32 are padded with their border, and the predictions cropped.
    """

    stride = 4

    def __init__(self, swin: Any, decoder: Any, num_classes: int) -> None:
        super().__init__()
        self.backbone = SwinBackbone(swin)
        as_published(self.backbone)
        *finer, coarsest = self.backbone.channels
        width = decoder.d_model
        self.pyramid = MaskFormerPixelDecoder(
            in_features=coarsest, feature_size=width, mask_feature_size=width, lateral_widths=finer
        )
        config = MaskFormerConfig(backbone_config=SwinConfig(), decoder_config=decoder)
        self.queries = MaskFormerTransformerModule(coarsest, config)
        self.classes = nn.Linear(width, num_classes + 1)
        self.masks = MaskformerMLPPredictionHead(width, width, width)
        costs = {"cost_class": 1.0, "cost_mask": WEIGHTS["loss_mask"], "cost_dice": WEIGHTS["loss_dice"]}
        matcher = MaskFormerHungarianMatcher(**costs)
        self.loss = MaskFormerLoss(num_classes, matcher, WEIGHTS, NO_OBJECT)
        count_masks_of_all(self.loss)
        self._start()

    def _start(self) -> None:
        """Initial values as in the public code; transformers draws the decoder's from a narrow normal."""
        for conv in (*self.pyramid.modules(), self.queries.input_projection):
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_uniform_(conv.weight, a=1)
                if conv.bias is not None:
                    nn.init.zeros_(conv.bias)
        for parameter in self.queries.decoder.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, images: Tensor) -> dict[str, Any]:
        """Predict the queries' classes and masks of normalised images (N, 3, H, W).

        Returns {"class_queries_logits": (N, Q, K + 1), whose last class is "no object",
        "masks_queries_logits": (N, Q, H/4, W/4), rounded up}; in training mode also "intermediate": the same
        two of each earlier layer.
        """
        features = self.backbone(pad(images, MULTIPLE)).feature_maps  # strides 4, 8, 16, 32
        pixels = self.pyramid(features).last_hidden_state  # (N, C, h, w)
        pixels = cut(pixels, (images.shape[-2], images.shape[-1]), self.stride)
        states = self._states(features[-1])
        predictions = [
            layer_of(self.classes(state), torch.einsum("nqc,nchw->nqhw", self.masks(state), pixels))
            for state in (states if self.training else states[-1:])
        ]
        return {**predictions[-1], "intermediate": predictions[:-1]} if self.training else predictions[-1]

    def _states(self, coarsest: Tensor) -> list[Tensor]:
        """The queries (N, Q, C) after each layer, all through the decoder's norm, as in the public code.

        transformers gives the last one alone through it, or feeds what is normed to the next layer.
        """
        decoded = self.queries(coarsest, output_hidden_states=True)
        _, *earlier, _ = decoded.hidden_states  # the first is what goes in; the last has been normed
        return [*map(self.queries.decoder.layernorm, earlier), decoded.last_hidden_state]

    def criterion(self, prediction: Any, labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Compute the paper's loss of all layers of a prediction: a scalar.

        Each segment of an image is one mask with its class, which the Hungarian algorithm gives to one query;
        class (1), mask (20, focal) and Dice (1) losses at the codes' size, divided by the number of masks in
        the batch. Crowds and void belong to no mask.

        Args:
            prediction: what the network returns in either mode, or `Queries`.
            labels: codes of panoptic maps (dejavu/tasks/segments.py), (N, H, W), int64.
            ignore_index: a class whose segments are no masks, as void is none.
        """
        masks, classes = segment_masks(labels, ignore_index)
        last, *earlier = layers(prediction)
        with full_precision(labels.device):
            losses = self.loss(**last, mask_labels=masks, class_labels=classes, auxiliary_predictions=earlier)
            weighted = [WEIGHTS[name.rstrip("_0123456789")] * loss for name, loss in losses.items()]
        return torch.stack(weighted).sum()
