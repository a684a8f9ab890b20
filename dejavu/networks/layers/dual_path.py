"""The dual-path transformer layer of MaX-DeepLab: pixels and a memory of slots attend each other.

Wang et al., CVPR 2021. The memory attends pixels and itself in one softmax; pixels attend the memory as it
was. Each linear layer has a BatchNorm; logits have one with a channel a head, and are not divided by the root
of the number of channels.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from .axial import HEADS
from .cut_normal import cut_normal, he_normal

HIDDEN = 2048  # of the memory's feed-forward network at width 1


def dense(
    inputs: int, outputs: int, *, relu: bool = False, zero: bool = False, deviation: float | None = None
) -> nn.Sequential:
    """Build a linear layer of (N, inputs, L), its BatchNorm and, if `relu`, ReLU.

    zero: the norm's weight starts at 0. deviation: of the initial weights, He's by default.
    """
    conv, norm = nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs)
    if deviation is None:
        he_normal(conv.weight)
    else:
        cut_normal(conv.weight, deviation)
    if zero:
        nn.init.zeros_(norm.weight)
    layers: dict[str, nn.Module] = {"conv": conv, "norm": norm}
    return nn.Sequential(OrderedDict(layers | ({"relu": nn.ReLU(inplace=True)} if relu else {})))


class SlotAttention(nn.Module):
    """Attention whose logits and output have a BatchNorm; the output is activated."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.logit_norm = nn.BatchNorm2d(HEADS)
        self.value_norm = nn.BatchNorm1d(values)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (N, K, L), keys (N, K, M) and values (N, V, M) to (N, V, L).

        In evaluation mode the norm of the logits is one factor a head, since what it adds leaves a softmax as
        it is: torch's fused attention applies. In training mode the norm needs all logits.
        """
        query, key, value = (x.unflatten(1, (HEADS, -1)).transpose(2, 3) for x in (query, key, value))
        norm = self.logit_norm
        if self.training:
            weights = norm(torch.matmul(query, key.transpose(2, 3))).softmax(-1)  # (N, heads, L, M)
            out = torch.matmul(weights, value)
        else:
            assert norm.running_var is not None
            factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
            scaled = query * factor[:, None, None].to(query.dtype)
            out = F.scaled_dot_product_attention(scaled, key, value, scale=1.0)
        return self.value_norm(out.transpose(2, 3).flatten(1, 2)).relu()


class DualPath(nn.Module):
    """Memory to pixels, memory to memory, pixels to memory, and a feed-forward network of the memory.

    Args:
        pixels: channels of the pixels' map, which comes and goes before its ReLU.
        memory: channels of the memory.
        filters: channels of queries and keys; values and the layers before them have twice as many.
        hidden: channels of the feed-forward network.
        drop: probability that a branch is left out for an image in training, drawn for each branch.
    """

    def __init__(self, pixels: int, memory: int, filters: int, hidden: int, drop: float = 0.0) -> None:
        super().__init__()
        self.sizes = (filters, filters, 2 * filters)
        self.memory_in = dense(memory, 2 * filters, relu=True)
        self.pixel_in = dense(pixels, 2 * filters, relu=True)
        self.memory_project = dense(2 * filters, sum(self.sizes), deviation=(2 * filters) ** -0.5)
        self.pixel_project = dense(2 * filters, sum(self.sizes), deviation=(2 * filters) ** -0.5)
        self.memory_attention = SlotAttention(2 * filters)
        self.pixel_attention = SlotAttention(2 * filters)
        self.memory_out = dense(2 * filters, memory, zero=True)
        self.pixel_out = dense(2 * filters, pixels, zero=True)
        self.hidden = dense(memory, hidden, relu=True)
        self.hidden_out = dense(hidden, memory, zero=True)
        self.drop = DropPath(drop)

    def forward(self, pixels: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (N, C, h, w) and memory (N, c, slots) to the next ones, of the same shapes."""
        flat = pixels.flatten(2)
        q, k, v = self.memory_project(self.memory_in(memory)).split(self.sizes, 1)
        pixel_q, pixel_k, pixel_v = self.pixel_project(self.pixel_in(flat.relu())).split(self.sizes, 1)
        attended = self.memory_attention(q, torch.cat([pixel_k, k], 2), torch.cat([pixel_v, v], 2))
        memory = (memory + self.drop(self.memory_out(attended))).relu()
        memory = (memory + self.drop(self.hidden_out(self.hidden(memory)))).relu()
        flat = flat + self.drop(self.pixel_out(self.pixel_attention(pixel_q, k, v)))
        return flat.unflatten(2, pixels.shape[-2:]), memory
