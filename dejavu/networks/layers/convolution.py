"""Convolution, BatchNorm and ReLU, the layer of most convolutional networks."""

from __future__ import annotations

from torch import nn


def convolution(channels: int, out: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution without a bias, BatchNorm and ReLU: (N, channels, h, w) to (N, out, h, w), at stride 1."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )
