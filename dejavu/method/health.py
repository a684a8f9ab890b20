"""Signs of a training that teaches something else than was meant: each is warned of once.

All of them are allowed, so none is an error. Values are read, which makes a GPU wait, in the first call of
the loss and in the 20th, 200th, 2000th and so on; any other call costs microseconds. No number of the
training changes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..compute.processes import is_main
from ..tasks.predictions import Prediction, tensors

SECOND, FACTOR = 20, 10
"""call of the second inspection, and how many times as late each further one is"""
LARGE = 10.0  # mean magnitude of images; that of normalised ones is near 1
SMALL = 500
"""A `depth_range` so many times as large as any predicted depth is in another unit, such as millimetres."""


class State(NamedTuple):
    """What shows whether a module's trainable parameters change."""

    versions: list[int]  # torch counts writes to each parameter; reading that waits for no GPU
    sample: Tensor  # a few values, since an optimizer may write uncounted

    @classmethod
    def of(cls, module: nn.Module) -> State | None:
        """Return the state of a module; None where nothing of it is trained."""
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not parameters:
            return None
        sample = parameters[-1].detach().reshape(-1)[:256].clone()
        return cls([parameter._version for parameter in parameters], sample)

    def differs(self, other: State) -> bool:
        """Return whether parameters were written, or have other values."""
        own, its = self.sample, other.sample
        kinds = (own.device, own.dtype) != (its.device, its.dtype)
        return self.versions != other.versions or kinds or not torch.equal(own, its)


class Health:
    """Inspects the calls of one model's regeneration loss.

    Args:
        depth_range: nearest and farthest depth, where depth is scaled by them; else None.
    """

    def __init__(self, depth_range: tuple[float, float] | None) -> None:
        self.depth_range = depth_range
        self.fresh = True  # until the first call
        self._calls, self._due = 0, 1  # of the loss in training
        self._warned: set[str] = set()
        self._start: dict[str, State] = {}  # of the modules that are watched for changes

    def inspect(
        self,
        images: Tensor,
        predictions: Mapping[str, Prediction],
        network: nn.Module,
        added: nn.ModuleDict,
        *,
        training: bool,
        detach: bool,
        weighs: bool,
    ) -> None:
        """Inspect a call of the loss.

        Args:
            images: the network's input (N, 3, H, W).
            predictions: the network's prediction of each task.
            network: the base network.
            added: the modules that are trained with it, by name.
            training: whether the model is in training mode.
            detach: whether no gradient should reach the network.
            weighs: whether the loss has a weight above 0.
        """
        graphs = {
            task: any(one.requires_grad for one in tensors({task: value}))
            for task, value in predictions.items()
        }
        if not detach:
            self._inspect_mode(any(graphs.values()), network, training)
        if images.is_meta:
            return
        learns = training and weighs and torch.is_grad_enabled()
        self._calls += learns
        due = learns and self._calls == self._due
        if self.fresh:
            self._inspect_images(images)
        if self.fresh or due:
            self._inspect_depth(predictions.get("depth"), trained=due and self._calls > 1)
        self.fresh = False
        if not due:
            return
        if self._calls == 1:
            self._inspect_frozen({} if detach else graphs, network, added)
            self._start = {name: state for name, state in _states(network, added) if state is not None}
        else:
            self._inspect_changes(network, added)
        self._due = SECOND if self._due == 1 else FACTOR * self._due

    def _warn(self, sign: str, sentence: str) -> None:
        if sign not in self._warned and is_main():
            warnings.warn(sentence, stacklevel=5)  # at the line that calls regeneration_loss
        self._warned.add(sign)

    def _inspect_mode(self, graph: bool, network: nn.Module, training: bool) -> None:
        """Warn of a loss that has no gradient to the network; in training mode a lost graph is an error."""
        if graph and training and not torch.is_grad_enabled():
            self._warn(
                "no_grad",
                "the regeneration loss is computed within no_grad, so it teaches nothing: compute it outside",
            )
        elif not graph and not training and torch.is_grad_enabled() and _is_trained(network):
            self._warn(
                "eval",
                "the model is in evaluation mode and the prediction has no graph, so the regeneration loss "
                "does not teach the network: call model.train() and predict outside of no_grad, or measure "
                "the loss within no_grad, too",
            )

    def _inspect_images(self, images: Tensor) -> None:
        """Warn of images that seem not to be normalised.

        Of values to 255 the DejaVu loss would outweigh the task's. Of values from 0 to 1 the content that a
        redaction leaves is black, not the mean pixel. Normalised images have values below 0, or above 1.
        """
        values = images.detach()
        size, low, high = (float(one) for one in (values.abs().mean(), values.min(), values.max()))
        signs = ""
        if LARGE < size < math.inf:
            signs = f"images have a mean magnitude of {size:.0f}"
        elif 0 <= low < high <= 1:
            signs = f"images lie within 0 and 1, with a mean of {size:.2f}"
        if signs:
            self._warn("images", f"{signs}: normalise them, so that 0 is the mean pixel")

    def _inspect_depth(self, depth: Prediction | None, trained: bool) -> None:
        """Warn of depth in another unit than that of `depth_range`.

        Depth that is too small is no sign before the network is `trained` a little: it starts near 0.
        """
        if self.depth_range is None or not isinstance(depth, Tensor):
            return
        low, high = self.depth_range
        margin = (high - low) / 2
        values = depth.detach().float()
        outside = (values < low - margin) | (values > high + margin)
        if float(outside.float().mean()) > 0.5:
            self._warn(
                "depth",
                f"most of the predicted depth is far outside of depth_range=({low:g}, {high:g}), "
                f"{float(values.mean()):.4g} on average: give the range in the prediction's unit, which may "
                "be millimetres",
            )
        elif trained and 0 < (largest := float(values.abs().max())) < (high - low) / SMALL:
            self._warn(
                "depth",
                f"the predicted depth is at most {largest:.4g}, next to nothing of depth_range=({low:g}, "
                f"{high:g}): give the range in the prediction's unit, which may be metres",
            )

    def _inspect_frozen(self, graphs: Mapping[str, bool], network: nn.Module, added: nn.ModuleDict) -> None:
        """Warn of modules and tasks that cannot learn."""
        without = [task for task, graph in graphs.items() if not graph]
        if without and len(without) == len(graphs):  # else it is an error, before
            self._warn("network", "every parameter of the network is frozen, so DejaVu can teach it nothing")
        elif without:
            self._warn(
                "tasks",
                f"the prediction of {' and '.join(without)} has no graph, so DejaVu does not teach it",
            )
        for name, module in added.items():
            if not _is_trained(module):
                self._warn(
                    name, f"every parameter of model.{name} is frozen: it regenerates from random weights"
                )

    def _inspect_changes(self, network: nn.Module, added: nn.ModuleDict) -> None:
        """Warn of modules that stay as they were while the network changes: an optimizer without them.

        As long as gradients are only accumulated nothing changes, and a later inspection decides.
        """
        now = dict(_states(network, added))
        changed = {
            name
            for name, start in self._start.items()
            if (state := now[name]) is None or start.differs(state)
        }
        if "network" not in changed:
            return
        for name in self._start.keys() - changed:
            self._warn(
                f"forgotten {name}",
                f"model.{name} has not changed in {self._calls} calls of the loss, and the network has: give "
                "the optimizer model.parameters(), not those of the network alone, and add the regeneration "
                "loss to the loss",
            )
        self._start = {}


def _states(network: nn.Module, added: nn.ModuleDict) -> list[tuple[str, State | None]]:
    return [(name, State.of(module)) for name, module in [("network", network), *added.items()]]


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
