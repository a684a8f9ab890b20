"""SeMask: Mask2Former on a Swin-L whose stages each end in attention by a prior of the classes.

Jain et al., ICCV workshops 2023: 221.8 M parameters, 257.0 GMACs at 512x512 with 19 classes, which is the
DejaVu paper's 258. Windows, weights of the loss and upsampling: Picsart-AI-Research/SeMask-Segmentation.
There, the scale and the last projection both start at zero, which keeps them there; here the scale alone
does, as in the paper.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.swin.modeling_swin import window_partition, window_reverse

from ..registry import PositiveInt, Share
from ..tasks.semantic import semantic_loss
from .layers.sizes import cut, scaled
from .mask2former import SWINS, Mask2Former, assemble

LOG_SCORES = True

WINDOW = 7
WEIGHT = 0.4  # of the priors' loss


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    queries: PositiveInt = 100,
    drop_path: Share = 0.3,
    pretrained: str | None = None,
) -> SeMask:
    """Build SeMask Swin-L with Mask2Former's decoders.

    Args:
        num_classes: K.
        width: as of Mask2Former; the windows of the semantic attention shrink, too.
        depth: as of Mask2Former.
        queries: number of queries at width 1.
        drop_path: as of Mask2Former.
        pretrained: as of Mask2Former; the semantic attention is new.
    """
    swin = SWINS["swin_large"]
    network = assemble(SeMask, num_classes, width, depth, swin, queries, float(drop_path), pretrained)
    network.add_semantic_attention(num_classes, scaled(WINDOW, width, least=2))
    return network


class SeMask(Mask2Former):
    """Mask2Former that also learns each stage's prior of the classes.

    In training mode "semantic" (N, K, H/4, W/4) is in the prediction: the sum of the stages' priors.
    """

    def add_semantic_attention(self, num_classes: int, window: int) -> None:
        """Add a block to each stage, after Swin's own are loaded."""
        swin = self.backbone.swin
        for number, stage in enumerate(swin.encoder.layers):
            channels = swin.config.embed_dim * 2**number
            stage.blocks.append(SemanticAttention(channels, num_classes, window))

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Compute the same outputs as Mask2Former's `forward`."""
        if not self.training:
            return super().forward(images)
        priors: list[Tensor] = []  # Swin does not hand them on
        hooks = [
            stage.blocks[-1].register_forward_hook(lambda block, given, output: priors.append(output[1]))
            for stage in self.backbone.swin.encoder.layers
        ]
        try:
            prediction = super().forward(images)
        finally:
            for hook in hooks:
                hook.remove()
        assert isinstance(prediction, dict)
        finest = priors[0]
        semantic = torch.stack(
            [F.interpolate(one, finest.shape[-2:], mode="bilinear", align_corners=True) for one in priors]
        ).sum(0)
        size = (images.shape[-2], images.shape[-1])
        return prediction | {"semantic": cut(semantic, size, self.stride)}

    def criterion(self, prediction: dict[str, Any], labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Mask2Former's loss and 0.4 of the priors' cross-entropy: a scalar. labels (N, H, W), int64."""
        priors = semantic_loss(prediction["semantic"].float(), labels, ignore_index, align_corners=True)
        return super().criterion(prediction, labels, ignore_index) + WEIGHT * priors


class SemanticAttention(nn.Module):
    """Attention in windows whose queries are the classes' logits of each token: the prior."""

    def __init__(self, channels: int, num_classes: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.queries, self.keys = nn.Linear(channels, num_classes), nn.Linear(channels, num_classes)
        self.values, self.project = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.dropout = nn.Dropout(0.1)
        self.scale = nn.Parameter(torch.zeros(1))
        for layer in (self.queries, self.keys, self.values, self.project):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor, size: tuple[int, int], **options: object) -> tuple[Tensor, Tensor]:
        """tokens (N, h * w, C) of a map of `size` (h, w) -> the same, and the prior (N, K, h, w).

        What else Swin tells its blocks is not needed.
        """
        (height, width), side = size, self.window
        maps = self.norm(tokens).unflatten(1, size)  # (N, h, w, C)
        maps = F.pad(maps, (0, 0, 0, -width % side, 0, -height % side))
        padded = maps.shape[1:3]
        inside = window_partition(maps, side).flatten(1, 2)  # (N * windows, side^2, C)
        prior = self.queries(inside)  # (N * windows, side^2, K)
        attention = (prior @ self.keys(inside).transpose(1, 2)).softmax(-1)
        inside = inside + self.scale * self.dropout(self.project(attention @ self.values(inside)))

        def merged(windows: Tensor) -> Tensor:
            whole = window_reverse(windows.unflatten(1, (side, side)), side, *padded)
            return whole[:, :height, :width]  # (N, h, w, channels)

        return merged(inside).flatten(1, 2), merged(prior).permute(0, 3, 1, 2)
