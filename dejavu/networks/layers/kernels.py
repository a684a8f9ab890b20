"""K-Net's layers: a kernel a mask, which the features under its mask change, stage by stage.

Zhang et al., NeurIPS 2021. Kernels are (N, Q, C), masks logits (N, Q, h, w) and features (N, C, h, w). The
first of the Q kernels are of things, whose class is open; the last have one class of stuff each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.mask2former.modeling_mask2former import Mask2FormerSinePositionEmbedding

from .mask_sets import full_precision

RARE = -math.log(99)  # the bias of logits whose probability is 0.01 at first
HEAD = 32  # channels of an attention head
GROUP = 8  # channels of a group of a norm


class PixelFeatures(nn.Module):
    """The head of Panoptic FPN with group norm: four maps are brought to stride 8 and summed.

    The coarsest map knows its positions. Two branches read the sum, for things and for stuff.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.positions = Mask2FormerSinePositionEmbedding(channels // 2, normalize=True)
        self.levels = nn.ModuleList(
            [
                _block(channels, 3, stride=2),
                _block(channels, 3),
                nn.Sequential(_block(channels, 3), _double(), _block(channels, 3)),
                nn.Sequential(
                    _block(channels, 3), _double(), _block(channels, 3), _double(), _block(channels, 3)
                ),
            ]
        )
        # The last two of a branch are a part of the kernel head in the public code.
        self.things = nn.Sequential(_block(channels, 1), _block(channels, 1))
        self.stuff = nn.Sequential(_block(channels, 1), _block(channels, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (N, C, h, w) at strides 4, 8, 16 and 32 to features of things and of stuff at stride 8."""
        *finer, coarsest = maps
        coarsest = coarsest + self.positions(coarsest.shape, coarsest.device, coarsest.dtype)
        every = zip(self.levels, (*finer, coarsest), strict=True)
        features = torch.stack([level(x) for level, x in every]).sum(0)
        return self.things(features), self.stuff(features)


class Kernels(NamedTuple):
    """What the kernel head has made of an image."""

    kernels: Tensor
    masks: Tensor
    """of all kernels"""
    features: Tensor
    classes: Tensor
    """logits of a dense segmentation, (N, K, h, w); those of stuff are the masks of stuff, too"""


class KernelHead(nn.Module):
    """The first kernels: learnt ones of things, and those of a dense segmentation for stuff."""

    def __init__(self, channels: int, queries: int, num_classes: int, things: int) -> None:
        super().__init__()
        self.things = things
        self.instances = nn.Conv2d(channels, queries, 1, bias=False)
        self.classes = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.instances.weight)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.bias, RARE)  # type: ignore[arg-type]

    def forward(self, of_things: Tensor, of_stuff: Tensor) -> Kernels:
        masks, classes = self.instances(of_things), self.classes(of_stuff)
        features = of_things + of_stuff
        instances = self.instances.weight.flatten(1) + gathered(masks, features)
        stuff = self.classes.weight[self.things :].flatten(1).expand(len(masks), -1, -1)
        masks = torch.cat([masks, classes[:, self.things :]], 1)
        return Kernels(torch.cat([instances, stuff], 1), masks, features, classes)


class KernelUpdate(nn.Module):
    """A kernel is replaced by a sum of itself and of the features under its mask, each behind a gate.

    Both gates read the product of the two. Sums over pixels are in the thousands: full precision is needed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_pixels = nn.Linear(channels, 2 * channels)
        self.of_kernel = nn.Linear(channels, 2 * channels)
        self.pixels_gate = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels), nn.Sigmoid())
        self.kernel_gate = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels), nn.Sigmoid())
        self.pixels_norm = nn.LayerNorm(channels)
        self.kernel_norm = nn.LayerNorm(channels)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels), nn.ReLU())

    def forward(self, pixels: Tensor, kernels: Tensor) -> Tensor:
        """Update kernels (N, Q, C) by the features of their masks (N, Q, C)."""
        with full_precision(kernels.device):
            pixels_in, pixels_out = self.of_pixels(pixels.float()).chunk(2, -1)
            kernel_in, kernel_out = self.of_kernel(kernels.float()).chunk(2, -1)
            both = pixels_in * kernel_in
            mixed = self.pixels_gate(both) * self.pixels_norm(pixels_out)
            return self.out(mixed + self.kernel_gate(both) * self.kernel_norm(kernel_out))


class KernelAttention(nn.Module):
    """Attention of an image's kernels to each other, and their feed-forward layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD
        self.qkv, self.projection = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 8 * channels), nn.ReLU(), nn.Linear(8 * channels, channels)
        )
        self.last_norm = nn.LayerNorm(channels)

    def forward(self, kernels: Tensor) -> Tensor:
        """Kernels (N, Q, C) to kernels."""
        qkv = self.qkv(kernels).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*qkv.unbind()).transpose(1, 2).flatten(2)
        kernels = self.norm(kernels + self.projection(attended))
        return self.last_norm(kernels + self.feed_forward(kernels))


class KernelStage(nn.Module):
    """One update of all kernels, and the classes and masks that they stand for then."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, channels, 1)
        self.update = KernelUpdate(channels)
        self.attention = KernelAttention(channels)
        self.classes = nn.Sequential(*_branch(channels), nn.Linear(channels, num_classes))
        self.masks = nn.Sequential(*_branch(channels), nn.Linear(channels, channels))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        for bias in (self.project.bias, self.attention.qkv.bias, self.attention.projection.bias):
            nn.init.zeros_(bias)  # type: ignore[arg-type]
        nn.init.constant_(self.classes[-1].bias, RARE)  # type: ignore[arg-type]

    def forward(self, features: Tensor, kernels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits (N, Q, K) and masks (N, Q, h, w) of the new kernels, and the new kernels (N, Q, C).

        masks: those of the kernels that are given.
        """
        features = self.project(features)
        kernels = self.attention(self.update(gathered(masks, features), kernels))
        masks = torch.einsum("nqc,nchw->nqhw", self.masks(kernels), features)
        return self.classes(kernels), masks, kernels


def gathered(masks: Tensor, features: Tensor) -> Tensor:
    """Sum features (N, C, h, w) over the pixels of each mask (N, Q, h, w), more likely than not: (N, Q, C).

    So masks have no gradient of it, and learn from the losses alone.
    """
    with full_precision(features.device):
        return torch.einsum("nqhw,nchw->nqc", (masks > 0).float(), features.float())


def _block(channels: int, side: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, side, stride, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(channels // GROUP, channels), nn.ReLU())


def _double() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


def _branch(channels: int) -> list[nn.Module]:
    return [nn.Linear(channels, channels, bias=False), nn.LayerNorm(channels), nn.ReLU()]
