"""The base of all balancers: mappings by task, the weights that were used, a weighted sum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ....errors import DejavuError

Value = TypeVar("Value")


class Balancer(nn.Module, ABC):
    """Turns the losses of the tasks into the gradients of one step.

    Args:
        tasks: their names, in the order in which losses are added up.
        network: the trained network. It is no submodule: its weights are not in the balancer's state.
    """

    def __init__(self, tasks: Sequence[str], network: nn.Module) -> None:
        super().__init__()
        if isinstance(tasks, str) or not tasks or len(set(tasks)) < len(tasks):
            raise DejavuError(f"balance: needs the tasks' names, each once, not {tasks!r}")
        self.tasks = tuple(tasks)
        self._network = (network,)  # in a tuple, where torch does not find it
        self.used: Tensor
        self.register_buffer("used", torch.ones(len(tasks)))

    @property
    def network(self) -> nn.Module:
        """The network of these tasks."""
        return self._network[0]

    @property
    def weights(self) -> dict[str, float]:
        """Each task's weight in the last step; 1 before the first."""
        return dict(zip(self.tasks, self.used.tolist(), strict=True))

    @abstractmethod
    def backward(self, losses: Mapping[str, Tensor], added: Tensor | None = None) -> None:
        """Add this step's gradients to the `.grad` of all parameters; the losses' graph is used up.

        losses: each task's scalar. One without a graph, of a batch without labels of that task, adds nothing.
        added: a scalar, already weighted, whose gradient is added as it is.

        Raises DejavuError for losses of other tasks or with more than one value.
        """

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Receive the tasks' mean losses of the epoch that ended, unweighted."""
        self.ordered(means)

    def ordered(self, given: Mapping[str, Value]) -> list[Value]:
        """Return a mapping's values in the order of `tasks`. Raises DejavuError unless it has just these."""
        if set(given) != set(self.tasks):
            raise DejavuError(f"balance: needs a loss of {', '.join(self.tasks)}, not of {', '.join(given)}")
        for task, value in given.items():
            if isinstance(value, Tensor) and value.ndim:
                raise DejavuError(f"balance: the loss of {task} must be a scalar, not {tuple(value.shape)}")
        return [given[task] for task in self.tasks]


class WeightedSum(Balancer):
    """One backward pass through a weighted sum of the losses; a subclass computes the weights."""

    @abstractmethod
    def weigh(self, losses: Sequence[Tensor]) -> Tensor:
        """Return the weights (T,) of this step's scalar losses, in the order of `tasks`."""

    def backward(self, losses: Mapping[str, Tensor], added: Tensor | None = None) -> None:
        values = self.ordered(losses)
        weights = self.weigh(values)
        self.used.copy_(weights)
        weighted = (weight * value for weight, value in zip(weights, values, strict=True))
        total = sum(weighted, start=torch.zeros_like(weights[0]))
        (total if added is None else total + added).backward()
