"""Optimisers and learning-rate schedules: torch's own, by their names in params.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LinearLR, LRScheduler, OneCycleLR, PolynomialLR, SequentialLR

if TYPE_CHECKING:
    from .schema import Optimizer, Schedule


def build_optimizer(module: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    """SGD or AdamW over all parameters of `module`.

    Each parameter is updated on its own, without a global norm: adding a regenerator changes nothing in the
    base network's update.
    """
    parameters = list(module.parameters())
    if config.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)


def build_scheduler(optimizer: torch.optim.Optimizer, config: Schedule, total: int) -> LRScheduler:
    """A schedule of `total` steps, stepped once an optimiser step; `warmup` is a share of them."""
    warm = round(config.warmup * total)
    peak = optimizer.param_groups[0]["lr"]
    if config.name == "one_cycle":
        return OneCycleLR(
            optimizer,
            max_lr=peak,
            total_steps=total + 1,
            pct_start=config.warmup or 0.3,
            cycle_momentum=False,
        )
    rest: LRScheduler
    if config.name == "poly":
        rest = PolynomialLR(optimizer, total_iters=max(1, total - warm), power=config.power)
    else:
        rest = ConstantLR(optimizer, factor=1.0)
    if warm == 0:
        return rest
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / warm, total_iters=warm), rest], milestones=[warm])
