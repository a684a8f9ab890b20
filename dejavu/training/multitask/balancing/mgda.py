"""MGDA: the direction in which no task's loss grows, the shortest there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ....errors import DejavuError
from .base import Balancer

# Where torchjd stops: when a step is shorter, or after so many, as in the authors' code. Of three gradients
# the mean was then at most 0.11 % longer than the shortest, with weights off by up to 0.02 (600 draws in 50
# dimensions, half of them exact to 1e-10); torchjd's defaults, 1e-3 and 100, left 0.24 % and 0.03.
# Of two it is exact.
SHORTEST_STEP, ITERATIONS = 1e-5, 250


class MGDA(Balancer):
    """Gives shared parameters the shortest of all weighted means of the tasks' gradients.

    The weights are at least 0 and sum to 1, not to the number of tasks, so a step of plain gradient descent
    is shorter than with a sum; Adam hardly notices. Against that direction no loss grows, to first order.
    A task without a gradient, as one without labels in a batch, is left out: its zero would be the shortest.

    The parameters in `network.heads` get the plain gradient of their loss, unweighted, as algorithm 2 of the
    paper has it (its code weighs them, too). The gradient of what is `added` joins afterwards, everywhere.

    Each task costs a backward pass through the whole network and a copy of its gradients.

    Args:
        normalise: the divisor of each gradient while the weights are computed: nothing, as in the
            paper, its length, its loss, or both. The weights are then those of the gradients as they are.

    Source: Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018. The weights
    are computed by torchjd.

    Raises DejavuError for a network without `heads`.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        network: nn.Module,
        normalise: Literal["none", "l2", "loss", "loss+"] = "none",
    ) -> None:
        super().__init__(tasks, network)
        if normalise not in (known := ("none", "l2", "loss", "loss+")):
            raise DejavuError(f"balance.normalise: must be one of {', '.join(known)}, not {normalise!r}")
        self.normalise = normalise
        self._parameters_by_use()

    def backward(self, losses: Mapping[str, Tensor], added: Tensor | None = None) -> None:
        values = self.ordered(losses)
        shared, own = self._parameters_by_use()
        last = len(values) - 1 if added is None else len(values)
        rows = [
            differentiate(value, [*shared, *own], keep=index < last) for index, value in enumerate(values)
        ]  # of each task, the gradient at each parameter
        gramian = products([row[: len(shared)] for row in rows])
        weights = self._weights(gramian, [float(value.detach()) for value in values])
        self.used.copy_(weights)
        for index, parameter in enumerate([*shared, *own]):
            gradients = [row[index] for row in rows]
            accumulate(parameter, gradients, self.used if index < len(shared) else torch.ones_like(self.used))
        if added is not None:
            added.backward()

    def _weights(self, gramian: Tensor, losses: Sequence[float]) -> Tensor:
        """Return weights (T,) for the gradients' inner products (T, T): 0 for those without a gradient."""
        length = gramian.diagonal().sqrt()
        divisor = torch.ones_like(length)
        if "l2" in self.normalise or "+" in self.normalise:
            divisor = divisor * length
        if "loss" in self.normalise:
            divisor = divisor * torch.tensor(losses, dtype=length.dtype)
        weights = torch.zeros_like(length)
        known = ((length > 0) & (divisor > 0)).nonzero().flatten()
        if len(known):
            scaled = gramian / (divisor[:, None] * divisor)
            weights[known] = min_norm_weights(scaled[known][:, known])
        return weights

    def _parameters_by_use(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the shared parameters that are trained, and those of the tasks' heads."""
        heads = getattr(self.network, "heads", None)
        if not isinstance(heads, nn.Module):
            raise DejavuError(
                f"balance: mgda needs a network with 'heads', the tasks' own parameters, and "
                f"{type(self.network).__name__} has none"
            )
        own = dict.fromkeys(parameter for parameter in heads.parameters() if parameter.requires_grad)
        every = (parameter for parameter in self.network.parameters() if parameter.requires_grad)
        return [parameter for parameter in every if parameter not in own], list(own)


def min_norm_weights(gramian: Tensor) -> Tensor:
    """Return the weights (T,) of the shortest weighted mean of vectors with inner products (T, T).

    The weights are at least 0 and sum to 1. Solved by torchjd's Frank-Wolfe iterations, in double precision
    on the CPU: T by T numbers are few, and a GPU would stall more than once in each iteration.

    >>> vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> min_norm_weights(vectors @ vectors.T).round(decimals=3).tolist()
    [0.8, 0.2]
    """
    from torchjd.aggregation import MGDAWeighting  # here, since importing it takes time that others save

    gramian = gramian.detach().to("cpu", torch.float64)
    # A vector that no other shortens is the answer; torchjd would step onto it until its iterations end.
    alone = (gramian >= gramian.diagonal()[:, None]).all(1)
    if alone.any():
        return alone.double() / alone.sum()
    return MGDAWeighting(epsilon=SHORTEST_STEP, max_iters=ITERATIONS)(gramian)


def differentiate(loss: Tensor, parameters: Sequence[nn.Parameter], keep: bool) -> list[Tensor | None]:
    """Compute a loss's gradient at each parameter, None where it does not reach; `keep` leaves its graph."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    return list(torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True))


def products(rows: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """Compute inner products (T, T) of T gradients, each a list over parameters; double on the CPU."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for gradients in zip(*rows, strict=True):
        tasks = torch.tensor([index for index, gradient in enumerate(gradients) if gradient is not None])
        if len(tasks):
            matrix = torch.stack([gradient.flatten() for gradient in gradients if gradient is not None])
            total[tasks[:, None], tasks] += (matrix @ matrix.T).cpu().double()
    return total


def accumulate(parameter: nn.Parameter, gradients: Iterable[Tensor | None], weights: Tensor) -> None:
    """Add the weighted sum of a parameter's gradients to its `.grad`, as a backward pass does."""
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            weighted = weight.to(gradient) * gradient
            parameter.grad = weighted if parameter.grad is None else parameter.grad + weighted
