"""GradNorm: weights that are learned, so that no task's gradient dominates the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from ....errors import DejavuError, check_number
from ....registry import NotNegative, Positive
from .base import WeightedSum

# No weight falls below it. The paper sets no limit; but a task whose gradient is far too long would be given
# a negative weight within a few steps of 0.025, and would stay there, its loss being made larger.
SMALLEST = 1e-3


class GradNorm(WeightedSum):
    """Learns weights with which each task's gradient has the length that matches its progress.

    The length that is looked at is that of the weighted loss's gradient at the weights (not biases and norms)
    of `network.last_shared`, the last module that all tasks share. The length aimed at is the mean over the
    tasks times r ** alpha, where r is what is left of the task's first loss, over the mean of that over the
    tasks: slow tasks get longer gradients. The sum of the distances is lowered by one step of Adam, of which
    the next batch uses the weights, scaled to sum to the number of tasks.

    The first loss is that of the first batch, as the paper has it; log(C) of C classes is its alternative
    for networks with an unlucky start. A task that has no labels in the first batch has its first
    loss later.

    Args:
        alpha: at least 0; how strongly slow tasks are favoured. The paper's value for NYUv2.
        lr: above 0; learning rate of the weights; it has no schedule. Adam and 0.025 are the paper's, section
            5.1; LibMTL learns them at the network's rate, as logits of a softmax.

    Source: Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
    Networks, ICML 2018, algorithm 1.

    Raises DejavuError for a network without weights in `last_shared`.
    """

    def __init__(
        self, tasks: Sequence[str], network: nn.Module, alpha: NotNegative = 1.5, lr: Positive = 0.025
    ) -> None:
        super().__init__(tasks, network)
        check_number("balance.alpha:", alpha, 0)
        check_number("balance.lr:", lr, 0, ends="(]")
        self.alpha, self.lr = alpha, lr
        self.learned: Tensor  # weights of the next step
        self.first: Tensor  # each task's first loss, 0 until there is one
        self.register_buffer("learned", torch.ones(len(tasks)))
        self.register_buffer("first", torch.zeros(len(tasks)))
        self.moment: Tensor  # Adam's state
        self.square: Tensor
        self.steps: Tensor
        self.register_buffer("moment", torch.zeros(len(tasks)))
        self.register_buffer("square", torch.zeros(len(tasks)))
        self.register_buffer("steps", torch.zeros(()))
        self._watched()

    def weigh(self, losses: Sequence[Tensor]) -> Tensor:
        weights = self.learned.clone()
        values = torch.stack([loss.detach() for loss in losses]).to(self.learned)
        self._learn(values, self._lengths(losses))
        return weights

    def _watched(self) -> list[nn.Parameter]:
        """Return the weights at which gradients are measured."""
        module = getattr(self.network, "last_shared", None)
        if not isinstance(module, nn.Module):
            raise DejavuError(
                f"balance: gradnorm needs a network with 'last_shared', the last module that all tasks "
                f"share, and {type(self.network).__name__} has none"
            )
        weights = [weight for weight in module.parameters() if weight.requires_grad and weight.ndim > 1]
        if not weights:
            raise DejavuError(
                f"balance: gradnorm needs weights in the network's 'last_shared', and "
                f"{type(module).__name__} has none that learn"
            )
        return weights

    def _lengths(self, losses: Sequence[Tensor]) -> Tensor:
        """Return the length of each unweighted loss's gradient at the last shared weights, (T,)."""
        watched = self._watched()
        lengths = torch.zeros_like(self.learned)
        for task, loss in enumerate(losses):
            if not loss.requires_grad:
                continue
            gradients = torch.autograd.grad(loss, watched, retain_graph=True, allow_unused=True)
            pieces = [gradient.flatten() for gradient in gradients if gradient is not None]
            if pieces:
                lengths[task] = torch.linalg.vector_norm(torch.cat(pieces))
        return lengths

    @torch.no_grad()
    def _learn(self, losses: Tensor, lengths: Tensor) -> None:
        """Take one step of Adam on the sum of | w * length - aim |, the aims being constants."""
        self.first.copy_(torch.where(self.first > 0, self.first, losses))
        left = torch.where(self.first > 0, losses / self.first, 1.0)
        rate = left / left.mean().clamp(min=torch.finfo(left.dtype).tiny)
        weighted = self.learned * lengths
        slope = torch.sign(weighted - weighted.mean() * rate**self.alpha) * lengths
        adam(
            [self.learned], [slope], [self.moment], [self.square], [], [self.steps],
            amsgrad=False, beta1=0.9, beta2=0.999, lr=self.lr, weight_decay=0.0, eps=1e-8, maximize=False,
            foreach=False, capturable=self.learned.is_cuda,
        )  # fmt: skip
        self.learned.clamp_(min=SMALLEST)
        self.learned.mul_(len(self.tasks) / self.learned.sum())
