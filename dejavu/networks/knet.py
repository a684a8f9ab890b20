"""K-Net for panoptic segmentation: kernels, each of which makes one mask, updated in three stages.

Zhang et al., NeurIPS 2021; ZwwWayne/K-Net, configs/det/knet/knet_s3_swin-l_fpn_ms-3x_16x2_coco-panoptic.py:
Swin-L with windows of 7 and 100 kernels of things, 208.8 M parameters with 133 classes, 882.7 GMACs at
800x1344. Written from the paper and from that code's conventions, without OpenMMLab's libraries.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SwinBackbone

from ..registry import PositiveInt, Share
from ..tasks.panoptic import TASK as PANOPTIC
from .backbones.swin import SWINS, as_published, load_swin, swin_config
from .layers.kernel_losses import Owners, class_loss, mask_loss, match, segmentation_loss, truths, with_stuff
from .layers.kernels import HEAD, KernelHead, KernelStage, PixelFeatures
from .layers.mask_sets import Layer, full_precision, layer_of
from .layers.pyramid import FeaturePyramid
from .layers.sizes import cut, fewer, pad, scaled

TASK = "panoptic"

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest stage's stride
CHANNELS = 256
STAGES = 3
NEVER = -1e4  # the log score of a class that a kernel may not have


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    queries: PositiveInt = 100,
    things: PositiveInt = 80,
    drop_path: Share = 0.2,
    pretrained: str | None = None,
) -> KNet:
    """Build K-Net with Swin-L.

    Args:
        num_classes: K, things and stuff. Things come first.
        width: scales all channel counts, Swin's windows, since small scales have small images, and the number
            of kernels of things, at least 8. Each class of stuff keeps its kernel.
        depth: scales the numbers of blocks and stages.
        queries: number of kernels of things at width 1.
        things: number of thing classes, at most K - 1.
        drop_path: chance that Swin's last block is left out in training; it rises linearly from 0 at the
            first.
        pretrained: a file of Swin's ImageNet classifier as transformers has it, or its name on the hub,
            microsoft/swin-large-patch4-window7-224-in22k. Every weight of Swin must be there.
    """
    network = KNet(
        swin_config(SWINS["swin_large_w7"], width, depth, float(drop_path)),
        num_classes,
        min(things, max(1, num_classes - 1)),
        scaled(CHANNELS, width, multiple=HEAD),
        scaled(queries, width, least=8),
        fewer(STAGES, depth),
    )
    load_swin(network.backbone, pretrained)
    return network


class KNet(nn.Module):
    """Swin, feature pyramid, kernel head and the stages that update its kernels.

    A kernel's class logits are the logarithms of its scores, which are sigmoids, and of what is left of 1.
    Masks are learnt at stride 8, and enlarged to stride 4.

    Inputs whose sides are no multiples of 32 are padded with their border, and the predictions cropped.
    """

    stride = 4
    fusion = "knet"
    allowed: Tensor

    def __init__(
        self, swin: Any, num_classes: int, things: int, channels: int, queries: int, stages: int
    ) -> None:
        super().__init__()
        self.things, self.queries = things, queries
        self.backbone = SwinBackbone(swin)
        as_published(self.backbone)
        self.pyramid = FeaturePyramid(self.backbone.channels, channels)
        for module in self.pyramid.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
        self.pixels = PixelFeatures(channels)
        self.head = KernelHead(channels, queries, num_classes, things)
        self.stages = nn.ModuleList([KernelStage(channels, num_classes) for _ in range(stages)])
        classes, of_stuff = torch.arange(num_classes), torch.arange(things, num_classes)
        allowed = torch.cat([(classes < things).expand(queries, -1), classes == of_stuff[:, None]])
        self.register_buffer("allowed", allowed, persistent=False)  # (Q, K): the classes of each kernel

    def forward(self, images: Tensor) -> dict[str, Any]:
        """Predict the kernels' classes and masks of normalised images (N, 3, H, W).

        Returns {"class_queries_logits": (N, Q, K + 1), "masks_queries_logits": (N, Q, H/4, W/4), rounded up};
        in training mode also "intermediate": the same two of each earlier stage, and last of the kernel head,
        which knows no classes and has the dense "segmentation" (N, K, H/4, W/4) instead.
        """
        size = (images.shape[-2], images.shape[-1])

        def shown(masks: Tensor) -> Tensor:
            doubled = F.interpolate(masks, scale_factor=2, mode="bilinear", align_corners=False)
            return cut(doubled, size, self.stride)

        features = self.backbone(pad(images, MULTIPLE)).feature_maps  # strides 4, 8, 16, 32
        kernels, masks, x, segmentation = self.head(*self.pixels(self.pyramid(features)))
        layers: list[Layer] = []
        if self.training:
            none = kernels.new_zeros(*masks.shape[:2], segmentation.shape[1] + 1)
            layers.append(layer_of(none, shown(masks)) | {"segmentation": shown(segmentation)})
        for number, stage in enumerate(self.stages, start=1):
            scores, masks, kernels = stage(x, kernels, masks)
            if self.training or number == len(self.stages):
                layers.append(layer_of(self.log_scores(scores), shown(masks)))
        *earlier, last = layers
        return {**last, "intermediate": earlier[::-1]} if self.training else last

    def log_scores(self, logits: Tensor) -> Tensor:
        """Log scores (N, Q, K + 1) of class logits (N, Q, K); the last is of what is left of 1."""
        with full_precision(logits.device):
            scores = F.logsigmoid(logits.float()).masked_fill(~self.allowed, NEVER)
            left = 1 - scores.exp().sum(-1, keepdim=True)
            return torch.cat([scores, left.clamp(min=torch.finfo(left.dtype).eps).log()], -1)

    def criterion(self, prediction: Any, labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Compute the paper's loss of the kernel head and all stages of a prediction: a scalar.

        Objects are given to kernels by the masks and classes of the stage before; those of the first stage by
        the head's masks, as the head's own. A prediction of one stage alone is matched by itself.

        Args:
            prediction: what the network returns in either mode, or `Queries`.
            labels: codes of panoptic maps (dejavu/tasks/segments.py), (N, H, W), int64.
            ignore_index: a class whose segments are no masks, as void is none.
        """
        earlier = prediction.get("intermediate", ()) if isinstance(prediction, dict) else ()
        layers = [PANOPTIC.read(layer) for layer in (*earlier[::-1], prediction)]  # the kernel head first
        with full_precision(labels.device):
            masks = [layer.masks.float() for layer in layers]
            truth = truths(labels, ignore_index, self.things, (masks[0].shape[-2], masks[0].shape[-1]))
            scores = [class_logits(layer.classes.float()) for layer in layers]
            if not earlier:
                return self._stage_loss(scores[0], masks[0], self._matched(scores[0], masks[0], truth), truth)
            owners = self._matched(None, masks[0], truth)
            dense = earlier[-1]["segmentation"].float()
            losses = [
                mask_loss(masks[0][:, : self.queries], owners),
                segmentation_loss(dense, owners, truth, self.things),
            ]
            for number in range(1, len(layers)):
                losses.append(self._stage_loss(scores[number], masks[number], owners, truth))
                if number + 1 < len(layers):
                    owners = self._matched(scores[number], masks[number], truth)
            return torch.stack(losses).sum()

    def _matched(self, scores: Tensor | None, masks: Tensor, truth: list[Any]) -> list[Owners]:
        """Match the kernels of things of each image."""
        return [
            match(
                masks[image, : self.queries],
                None if scores is None else scores[image, : self.queries, : self.things],
                truth[image],
            )
            for image in range(len(masks))
        ]

    def _stage_loss(self, scores: Tensor, masks: Tensor, owners: list[Owners], truth: list[Any]) -> Tensor:
        every = [
            with_stuff(owner, one, self.queries, self.things)
            for owner, one in zip(owners, truth, strict=True)
        ]
        return class_loss(scores, self.allowed, every) + mask_loss(masks, every)


def class_logits(scores: Tensor) -> Tensor:
    """Return the logits of which log scores (N, Q, K + 1) are the log sigmoids: (N, Q, K), at most 87.

    >>> class_logits(torch.nn.functional.logsigmoid(torch.tensor([[[-3.0, 20.0, 0.0]]]))).round(decimals=3)
    tensor([[[-3., 20.]]])
    """
    scores = scores[..., :-1].clamp(max=-torch.finfo(scores.dtype).tiny)
    return scores - (-scores.expm1()).log()
