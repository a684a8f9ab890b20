"""Object-contextual representations (Yuan, Chen, Wang: Object-Contextual Representations for Semantic
Segmentation, ECCV 2020): every pixel's feature beside what its object looks like elsewhere in the image.

    regions   K soft maps, from a supervised head on the backbone's features
    objects   K vectors: the features' means, weighted by each region's softmax over the pixels
    context   for every pixel the objects' mean, weighted by its attention to them
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .convolution import convolution


def gather(features: Tensor, regions: Tensor) -> Tensor:
    """Mean features of soft regions: (N, C, h, w) and region logits (N, K, h, w) to objects (N, C, K).

    Weights are the softmax of a region's logits over all pixels.

    >>> features = torch.tensor([[[[1.0, 2.0, 6.0]]]])
    >>> gather(features, torch.tensor([[[[0.0, 0.0, 0.0]], [[0.0, 99.0, 0.0]]]]))
    tensor([[[3., 2.]]])
    """
    weights = regions.flatten(2).softmax(2)  # (N, K, h*w)
    return features.flatten(2) @ weights.transpose(1, 2)


class ObjectAttention(nn.Module):
    """For each pixel the mean of the objects, weighted by how well its feature fits theirs.

    Args:
        channels: C of pixels' and objects' features.
        key: channels in which they are compared.
    """

    def __init__(self, channels: int, key: int) -> None:
        super().__init__()
        self.scale = key**-0.5
        self.query = nn.Sequential(convolution(channels, key), convolution(key, key))
        self.key = nn.Sequential(convolution(channels, key), convolution(key, key))
        self.value = convolution(channels, key)
        self.out = convolution(key, channels)

    def attend(self, pixels: Tensor, objects: Tensor) -> Tensor:
        """Compute the attention map: (N, C, h, w) and (N, C, K) to (N, h*w, K), whose rows sum to one."""
        query = self.query(pixels).flatten(2).transpose(1, 2)  # (N, h*w, key)
        key = self.key(objects[..., None]).squeeze(3)  # (N, key, K)
        return (query @ key * self.scale).softmax(2)

    def forward(self, pixels: Tensor, objects: Tensor) -> Tensor:
        """Pixels (N, C, h, w) and objects (N, C, K) to the pixels' context (N, C, h, w)."""
        value = self.value(objects[..., None]).squeeze(3)  # (N, key, K)
        context = value @ self.attend(pixels, objects).transpose(1, 2)  # (N, key, h*w)
        return self.out(context.unflatten(2, pixels.shape[-2:]))


def region_head(channels: int, num_classes: int) -> nn.Sequential:
    """Features (N, channels, h, w) to the logits of one region for each class (N, num_classes, h, w)."""
    return nn.Sequential(convolution(channels, channels), nn.Conv2d(channels, num_classes, 1))


class ObjectContext(nn.Module):
    """The OCR head up to its classifier.

    Args:
        channels: C of the backbone's features.
        regions: features (N, C, h, w) to the logits of K soft regions (N, K, h, w).
        mid: channels of the pixels' representation and of the result.
        key: channels of the attention.
        dropout: share of the result's channels that is dropped in training.
    """

    def __init__(self, channels: int, regions: nn.Module, mid: int, key: int, dropout: float) -> None:
        super().__init__()
        self.regions = regions
        self.pixels = convolution(channels, mid, kernel=3)
        self.attention = ObjectAttention(mid, key)
        self.merge = nn.Sequential(convolution(2 * mid, mid), nn.Dropout2d(dropout))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w) to augmented ones (N, mid, h, w) and the regions' logits (N, K, h, w)."""
        regions = self.regions(features)
        pixels = self.pixels(features)
        context = self.attention(pixels, gather(pixels, regions))
        return self.merge(torch.cat([context, pixels], 1)), regions
