"""MaX-DeepLab, S and L, for panoptic segmentation: a memory of slots, each a segment or nothing.

Wang et al., CVPR 2021; layout and recipe of google-research/deeplab2. 61.9 M parameters and 325.8 GMACs of S
at 1025x1025, 450.8 M and 3691.9 of L: it is called with 1024x1024 here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..registry import PositiveInt, Share
from ..tasks.panoptic import TASK as PANOPTIC
from ..tasks.segments import CROWD
from .backbones.max_deeplab import GROUP, Encoder
from .backbones.max_deeplab_weights import load_max_deeplab
from .layers.aspp import SemanticDecoder, prediction_head
from .layers.cut_normal import cut_normal
from .layers.dual_path import dense
from .layers.mask_sets import full_precision, segment_masks
from .layers.normalisation import Renormalise
from .layers.sizes import cut, pad, scaled
from .layers.slot_loss import WEIGHTS, Truth, instance_loss, mask_id_loss, match, pq_loss, semantic_loss

TASK = "panoptic"

MULTIPLE = 32  # input sides are padded to multiples of it, and one row and column more
CHANNELS = 256  # of the heads' layers at width 1
FEATURES = 128  # of a pixel and a slot, whose product is the mask's logit
VOID_PRIOR = 0.9  # probability of "no object" that the class head starts with
EPS, MOMENTUM = 1e-3, 0.01  # of all norms, at width 1
SMALL_AREA = 4096  # pixels of an image; L's semantic loss has things below it three times
SMALL_WEIGHT = {"s": 1.0, "l": 3.0}


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    size: Literal["s", "l"] = "s",
    slots: PositiveInt = 128,
    things: PositiveInt = 80,
    drop_path: Share = 0.2,
    pretrained: str | None = None,
) -> MaxDeepLab:
    """Build MaX-DeepLab.

    Args:
        num_classes: K, things and stuff.
        width: scales all channel counts, in steps of 8, and the number of slots, at least 8. Below 1 the
            norms' running statistics follow a batch by 0.1 instead of the published 0.01, since such
            trainings are short.
        depth: scales the number of a stage's blocks. Two are left of the fourth stage, since its first has no
            attention.
        size: MaX-DeepLab-S or -L.
        slots: number of slots at width 1.
        things: the first so many classes are things, whose pixels learn to tell instances apart.
        drop_path: rate of the last blocks; it rises linearly with the stage.
        pretrained: a .safetensors file of the ImageNet backbone, in the names of TensorFlow's checkpoint
            `max_deeplab_s_backbone` (or `_l_`), or in those of `backbone` here. Every weight must be there.
    """
    encoder = Encoder(size, width, depth, scaled(slots, width, least=8), float(drop_path))
    network = MaxDeepLab(encoder, num_classes, width, min(things, num_classes), SMALL_WEIGHT[size])
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eps, module.momentum = EPS, MOMENTUM if width == 1 else 0.1
    load_max_deeplab(network.backbone, pretrained)
    return network


class MaxDeepLab(nn.Module):
    """Axial-attention network with a dual-path transformer, and heads of pixels, masks and classes.

    At each pixel a softmax over the slots gives the masks. They are returned as logits of a sigmoid, which
    lose nothing: log p - log(1 - p), as other networks' queries have them.

    Images are padded with their border to multiples of 32 and by one row and column more: sides of 16 k + 1,
    at which maps of all strides have aligned corners. Predictions are cropped.
    """

    stride = 4
    fusion = "max_deeplab"
    training_only = ("semantic",)

    def __init__(
        self, encoder: Encoder, num_classes: int, width: float, things: int, small_weight: float
    ) -> None:
        super().__init__()
        fine, middle, coarse, features = encoder.channels
        hidden, shared = scaled(CHANNELS, width, GROUP), scaled(FEATURES, width, GROUP)
        self.things, self.small_weight = things, small_weight
        self.range = Renormalise((0.5,) * 3, (0.5,) * 3)
        self.encoder = encoder
        self.pixels = prediction_head(fine, hidden, shared)
        self.pixel_norm = nn.BatchNorm2d(shared)
        self.masks = dense(features, shared)
        self.mask_norm = nn.BatchNorm2d(1)
        nn.init.constant_(self.mask_norm.weight, 0.1)
        self.classes = nn.Conv1d(features, num_classes + 1, 1)
        cut_normal(self.classes.weight, 0.01)
        nn.init.zeros_(self.classes.bias)  # type: ignore[arg-type]
        self.semantic = nn.ModuleDict()
        if encoder.semantic_stride != self.stride:
            low = [(middle, scaled(64, width, GROUP)), (fine, scaled(32, width, GROUP))]
            self.semantic["decoder"] = SemanticDecoder(coarse, low, hidden)
            fine = hidden
        self.semantic["head"] = prediction_head(fine, hidden, num_classes)
        self.void_bias = math.log(num_classes * VOID_PRIOR / (1 - VOID_PRIOR))

    @property
    def backbone(self) -> nn.Module:
        """What is pretrained on ImageNet; published at a tenth of the learning rate."""
        return self.encoder.backbone

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Predict the slots' classes and masks of normalised images (N, 3, H, W).

        Returns {"class_queries_logits": (N, Q, K + 1), whose last class is "no object",
        "masks_queries_logits": (N, Q, H/4, W/4), rounded up}; in training mode also "pixel_features"
        (N, C, H/4, W/4), of length 1, and "semantic_logits" (N, K, H/4, W/4).
        """
        size = (images.shape[-2], images.shape[-1])
        padded = F.pad(pad(images, MULTIPLE), (0, 1, 0, 1), mode="replicate")
        encoded = self.encoder(self.range(padded))
        features = F.normalize(self.pixel_norm(self.pixels(encoded.pixels)), dim=1)
        logits = torch.einsum("ncq,nchw->nqhw", self.masks(encoded.masks), features)
        logits = self.mask_norm(logits.flatten(1, 2)[:, None]).squeeze(1).view_as(logits)
        classes = self.classes(encoded.classes).transpose(1, 2)
        bias = F.pad(classes.new_full((1,), self.void_bias), (classes.shape[2] - 1, 0))
        prediction = {
            "class_queries_logits": classes + bias,
            "masks_queries_logits": as_sigmoid(cut(logits, size, self.stride)),
        }
        if self.training:
            semantic = encoded.semantic
            if "decoder" in self.semantic:
                semantic = self.semantic["decoder"](semantic, encoded.low[::-1])
            semantic = self.semantic["head"](semantic)
            prediction["pixel_features"] = cut(features, size, self.stride)
            prediction["semantic_logits"] = cut(semantic, size, self.stride)
        return prediction

    def criterion(self, prediction: Any, labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Compute the paper's loss of a prediction: a scalar, the mean over images.

        PQ-style (3), mask-ID cross-entropy (0.3), instance discrimination (1) and semantic cross-entropy (1)
        at the pixels of stride 4, which are compared without interpolation. The last two are of what the
        network returns in training mode alone. Crowds and void belong to no mask.

        Args:
            prediction: what the network returns in either mode, or `Queries`.
            labels: codes of panoptic maps (dejavu/tasks/segments.py), (N, H, W), int64.
            ignore_index: a class whose segments are no masks, as void is none.
        """
        queries = PANOPTIC.read(prediction)
        extra: Mapping[str, Tensor] = prediction if isinstance(prediction, Mapping) else {}
        chosen = sampled(labels, (queries.masks.shape[-2], queries.masks.shape[-1]))
        with full_precision(labels.device):
            small = small_things(labels, self.things)
            small = sampled(small, (chosen.shape[1], chosen.shape[2]))
            losses = []
            for number in range(len(labels)):
                one = {key: value[number].float() for key, value in extra.items()}
                one |= {"classes": queries.classes[number].float(), "masks": queries.masks[number].float()}
                losses.append(self._loss(one, chosen[number], small[number], ignore_index))
            return torch.stack(losses).mean()

    def _loss(self, one: Mapping[str, Tensor], codes: Tensor, small: Tensor, ignore_index: int) -> Tensor:
        """Compute the loss of one image: predictions without their first axis, codes and small (h, w)."""
        (masks,), (classes,) = segment_masks(codes[None], ignore_index)
        of_pixels = codes.flatten() >> 8
        void = (of_pixels == ignore_index) | (of_pixels == CROWD)
        truth = Truth(masks.flatten(1), classes, (~void).float())
        log_masks = F.logsigmoid(one["masks"].flatten(1))
        matched = match(one["classes"], log_masks.exp(), truth)
        loss = WEIGHTS["pq"] * pq_loss(one["classes"], log_masks.exp(), truth, matched)
        loss = loss + WEIGHTS["mask_id"] * mask_id_loss(log_masks, truth, matched)
        if "pixel_features" in one:
            features = one["pixel_features"].flatten(1)
            loss = loss + WEIGHTS["instance"] * instance_loss(features, truth, self.things)
        if "semantic_logits" in one:
            weight = 1 + (self.small_weight - 1) * small.flatten().float()
            target = of_pixels.where(~void, ignore_index)
            logits = one["semantic_logits"].flatten(1)
            loss = loss + WEIGHTS["semantic"] * semantic_loss(logits, target, weight, ignore_index)
        return loss


def as_sigmoid(logits: Tensor) -> Tensor:
    """Return logits of a sigmoid that equals the softmax over the first axis after the batch: (N, Q, h, w).

    A slot's logit less the logarithm of the sum of the others' exponentials. That of the largest is taken
    without it: from the sum over all it could not be told where nearly all of the probability is its own.
    """
    logits = logits.float()
    largest = logits.argmax(1, keepdim=True)
    of_others = logits.scatter(1, largest, -torch.inf).logsumexp(1, keepdim=True)
    share = logits.softmax(1).clamp(max=0.5)  # the largest's is not used, and none of the others exceeds 0.5
    others = logits.logsumexp(1, keepdim=True) + torch.log1p(-share)
    return logits - others.scatter(1, largest, of_others)


def sampled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Values of maps (N, H, W) at every so many rows and columns: (N, h, w)."""
    for axis, count in ((1, size[0]), (2, size[1])):
        step = -(-maps.shape[axis] // count)
        chosen = (torch.arange(count, device=maps.device) * step).clamp(max=maps.shape[axis] - 1)
        maps = maps.index_select(axis, chosen)
    return maps


def small_things(codes: Tensor, things: int) -> Tensor:
    """Return True at pixels of things of less than SMALL_AREA pixels, (N, H, W), for codes (N, H, W)."""
    small = torch.zeros_like(codes, dtype=torch.bool)
    for number, one in enumerate(codes):
        present, inverse, counts = one.unique(return_inverse=True, return_counts=True)
        is_small = (counts < SMALL_AREA) & (present >> 8 < things) & (present & 255 != CROWD)
        small[number] = is_small[inverse]
    return small
