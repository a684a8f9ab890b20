"""The random numbers of redactions without a generator of the user's: seed and number of calls make them."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..compute.random import generator
from ..errors import check_number


class Draws(nn.Module):
    """Makes a generator for each call of the loss: each draws other numbers, and a resumed training the same.

    The number of calls is in `state_dict`, as a tensor on the processor: every file format stores it, and no
    step waits for a GPU.

    Args:
        seed: of all calls.

    Raises:
        DejavuError: a seed that is no whole number.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        check_number("seed", seed, whole=True)
        self.seed, self.calls = int(seed), 0

    def next(self, counted: bool = True) -> torch.Generator:
        """Return the generator of the next call, which is the same again unless it is counted."""
        numbers = generator(self.seed, "redact", self.calls)
        self.calls += counted
        return numbers

    def get_extra_state(self) -> Tensor:
        """Return what `state_dict` stores."""
        return torch.tensor(self.calls, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Set what `state_dict` has stored."""
        self.calls = int(state)


def complete_state(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Add the number of calls to a state of dejavu 0.2, which has none, before a DejaVu loads it."""
    key = f"{prefix}draws._extra_state"
    if key in state_dict or not any(name.startswith(f"{prefix}regenerator.") for name in state_dict):
        return
    draws: Any = module.draws
    warnings.warn(
        f"the state lacks {key}, the number of calls that seeds the redactions (dejavu 0.2 did not save it): "
        f"the numbers of call {draws.calls + 1} are drawn next",
        stacklevel=2,
    )
    state_dict[key] = draws.get_extra_state()
