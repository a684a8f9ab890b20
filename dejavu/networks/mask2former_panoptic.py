"""Mask2Former, transformers' own, for panoptic segmentation: a set of queries, each a segment or nothing.

Cheng et al., CVPR 2022. facebookresearch/Mask2Former, configs/coco/panoptic-segmentation: Swin-T with 100
queries and Swin-L with 200.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from ..registry import PositiveInt, Share
from .layers.mask_sets import segment_masks
from .mask2former import SWINS, Mask2Former, assemble

TASK = "panoptic"


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    backbone: Literal["swin_tiny", "swin_large"] = "swin_tiny",
    queries: PositiveInt = 100,
    drop_path: Share = 0.3,
    pretrained: str | None = None,
) -> Mask2FormerPanoptic:
    """Build Mask2Former for panoptic segmentation.

    Args:
        num_classes: K, things and stuff.
        width: as of the semantic Mask2Former.
        depth: as of the semantic Mask2Former.
        backbone: Swin-T with windows of 7, or Swin-L with windows of 12.
        queries: number of queries at width 1, 200 of the published Swin-L.
        drop_path: as of the semantic Mask2Former.
        pretrained: as of the semantic Mask2Former.
    """
    swin = SWINS[backbone]
    return assemble(Mask2FormerPanoptic, num_classes, width, depth, swin, queries, drop_path, pretrained)


class Mask2FormerPanoptic(Mask2Former):
    """Mask2Former that returns its queries, and learns segments instead of classes."""

    def forward(self, images: Tensor) -> dict[str, Any]:
        """Predict the queries' classes and masks of normalised images (N, 3, H, W).

        Returns {"class_queries_logits": (N, Q, K + 1), whose last class is "no object",
        "masks_queries_logits": (N, Q, H/4, W/4), rounded up}; in training mode also "intermediate": the same
        two of each earlier layer.
        """
        last, *earlier = self.layer_predictions(images)
        return {**last, "intermediate": earlier} if self.training else last

    def criterion(self, prediction: Any, labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Compute the paper's loss of all layers of a prediction: a scalar.

        Each segment of an image is one mask with its class, which the Hungarian algorithm gives to one query;
        class (2), mask (5) and Dice (5) losses, divided by the number of masks in the batch. Crowds and void
        belong to no mask, so that queries there are taught "no object" and the masks to leave them out.

        Args:
            prediction: what the network returns in either mode, or `Queries`.
            labels: codes of panoptic maps (dejavu/tasks/segments.py), (N, H, W), int64.
            ignore_index: a class whose segments are no masks, as void is none.
        """
        return self.set_loss(prediction, segment_masks(labels, ignore_index))
