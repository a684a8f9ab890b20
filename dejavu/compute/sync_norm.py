"""BatchNorm whose statistics are those of the whole batch (SyncBN): torch's on a GPU, ours on a processor.

torch's SyncBatchNorm has kernels for GPUs alone. This one is the same in plain operations, so that a training
by several processes can be compared with one process wherever there is a processor.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import DejavuError


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """Replace every BatchNorm in the module; parameters, buffers and their names stay.

    Raises DejavuError for a kind of BatchNorm that cannot be exchanged.
    """
    if device.type == "cuda":
        from timm.layers import convert_sync_batchnorm  # which keeps timm's BatchNorms with an activation

        return convert_sync_batchnorm(module)
    for inner in module.modules():
        # The same parameters and buffers, with another forward pass.
        if type(inner) in (nn.BatchNorm1d, nn.BatchNorm2d):
            inner.__class__ = SyncNorm
        elif type(inner).__name__ == "BatchNormAct2d":  # timm's, which is not imported for this
            inner.__class__ = SyncNormAct
        elif isinstance(inner, _BatchNorm) and not isinstance(inner, SyncNorm):
            raise DejavuError(
                f"sync_norm: {type(inner).__name__} cannot be synchronised on a processor: set it to false"
            )
    return module


class SyncNorm(_BatchNorm):
    """BatchNorm of the images of all processes, each of which has as many."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions behind the channels."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        if not self.training:
            return super().forward(input)
        others = (0, *range(2, input.ndim))

        def along(channels: Tensor) -> Tensor:
            return channels.view(-1, *[1] * (input.ndim - 2))

        values = input.to(torch.promote_types(input.dtype, torch.float32))
        center = _mean(values.mean(others))  # (C,)
        centred = values - along(center)
        variance = _mean(centred.square().mean(others))
        self._update_running(center.detach(), variance.detach(), input.numel() // input.shape[1])
        scaled = centred * along((variance + self.eps).rsqrt())
        if self.affine:
            scaled = scaled * along(self.weight) + along(self.bias)
        return scaled.to(input.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Running statistics, as torch has them: the variance without bias."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        whole = count * distributed.get_world_size()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (whole / max(whole - 1, 1)), share)


class SyncNormAct(SyncNorm):
    """The same of timm's BatchNormAct2d, which ends with its own dropout and activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        scaled: Tensor = self.act(self.drop(super().forward(input)))
        return scaled


def _mean(values: Tensor) -> Tensor:
    """Compute the mean over all processes, whose gradient is the mean over all, too."""
    total: Tensor = _Sum.apply(values)
    return total / distributed.get_world_size()


class _Sum(torch.autograd.Function):
    """The sum over all processes: each one's values are in the result, and so in the loss, of all."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
