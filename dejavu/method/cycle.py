"""Cyclic consistency (DejaVu-CL): the base network must predict the same from the regenerated image.

    I_G = CRM(I_R, h(I))        L_cycle = weight * distance(h(I_G), ground truth, or h(I))

A regenerated image that only looks right to the DejaVu loss is not enough: the base network must be able to
read it. The second pass leaves no trace: the network's buffers (BatchNorm's running statistics above all)
stay those of real images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DejavuError, check_number, nearest
from ..tasks.panoptic import class_masks
from ..tasks.predictions import Prediction, Queries, read_all
from ..tasks.task import Task
from .conditioning import load_activated
from .regeneration import to_grid

Criterion = Callable[[Any, Any], Tensor]
TARGETS = ("labels", "prediction")
GRADIENTS = ("both", "regenerator", "network")


class CyclicConsistency:
    """The cycle's loss, with a choice of which modules its gradient reaches.

    Args:
        target: the reference for the prediction of the regenerated image. "labels": the ground truth, by
            the task's own loss. "prediction": the network's prediction of the image itself, without
            gradient; by KL divergence (semantic), L1 (depth, and per-class masks of a panoptic prediction)
            or 1 - cosine (normals), each the mean over pixels.
        gradient: the modules that learn from it: "both", "regenerator" (the second pass gives the network's
            parameters no gradient) or "network" (the regenerated image has none). With "regenerator" the
            regenerated image still depends on the network through the first prediction: regenerate from a
            detached one where no gradient may reach the network.
        weight: factor of the loss.

    Raises:
        DejavuError: an unknown target or gradient, or a weight that is no number of at least 0.

    >>> network, image = nn.Conv2d(3, 5, 1), torch.rand(2, 3, 8, 8)
    >>> regenerated = image.clone().requires_grad_()
    >>> cycle = CyclicConsistency(target="prediction", weight=1.0)
    >>> round(cycle(network, regenerated, network(image)).item(), 6)  # perfectly regenerated: they agree
    0.0
    """

    def __init__(self, target: str = "labels", gradient: str = "both", weight: float = 0.1) -> None:
        for key, value, known in (("target", target, TARGETS), ("gradient", gradient, GRADIENTS)):
            if value not in known:
                raise DejavuError(f"cycle.{key}: unknown {value!r}, {nearest(str(value), known)}")
        check_number("cycle.weight:", weight, 0)
        self.target, self.gradient, self.weight = target, gradient, weight

    def __repr__(self) -> str:
        return f"CyclicConsistency(target={self.target!r}, gradient={self.gradient!r}, weight={self.weight})"

    def __call__(
        self,
        network: nn.Module,
        regenerated: Tensor,
        prediction: Any,
        labels: Any = None,
        criterion: Criterion | None = None,
        task: str | Sequence[str] = "semantic",
        activation: str = "softmax",
    ) -> Tensor:
        """Compute weight * L_cycle, a scalar.

        Args:
            network: the base network, in training or evaluation mode, which decides on BatchNorm and dropout.
            regenerated: the last regenerated images, (N, 3, H, W), with their graph.
            prediction: the network's output for the real images, for target="prediction".
            labels: the ground truth, in the form that the criterion takes.
            criterion: the task's loss, (prediction, labels) -> scalar. Its prediction is the task's tensor
                of the network's output, or `Queries` of a panoptic network; with a list of tasks it
                is a mapping from task to these.
            task: a task of `dejavu.tasks`, or a list of tasks.
            activation: of a semantic prediction, as in `DejaVu`.

        Raises:
            DejavuError: labels or criterion are missing, an unknown task or activation, a prediction that
                cannot be read.
        """
        tasks = (task,) if isinstance(task, str) else tuple(task)
        loaded = load_activated(tasks, activation)
        self._check(labels, criterion)
        if self.gradient == "network":
            regenerated = regenerated.detach()
        output = call_without_trace(network, regenerated, detach=self.gradient == "regenerator")
        predicted = read_all(tasks, output)
        if self.target == "labels":
            assert criterion is not None
            return self.weight * _scalar(
                criterion(predicted[tasks[0]] if len(tasks) == 1 else predicted, labels)
            )
        expected = read_all(tasks, prediction)
        losses = [_disagreement(one, predicted[name], expected[name]) for name, one in loaded.items()]
        return self.weight * torch.stack(losses).sum()

    def _check(self, labels: Any, criterion: Criterion | None) -> None:
        if self.target == "labels" and labels is None:
            raise DejavuError("labels are missing: the cycle compares with them unless target='prediction'")
        if self.target == "labels" and criterion is None:
            raise DejavuError("criterion is missing: the cycle with target='labels' needs the task's loss")


def call_without_trace(module: nn.Module, *inputs: Any, detach: bool = False) -> Any:
    """Call a module and keep its buffers: BatchNorm's running statistics stay as they are.

    With `detach` its parameters get no gradient either. The gradient to the inputs is the usual one.
    """
    clones: dict[Tensor, Tensor] = {}  # one a tensor, so that tied weights stay tied
    replaced = {}
    # Each module once: torch's own search for ties loses the originals of a module that has two names.
    for prefix, inner in module.named_modules(remove_duplicate=True):
        for name, value in inner.named_parameters(prefix, recurse=False, remove_duplicate=False):
            replaced[name] = clones.setdefault(value, value.detach() if detach else value)
        for name, value in inner.named_buffers(prefix, recurse=False, remove_duplicate=False):
            replaced[name] = clones.setdefault(value, value.clone())
    return torch.func.functional_call(module, replaced, inputs, tie_weights=False)


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.ndim:
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise DejavuError(f"criterion must return a scalar tensor, not {what}")
    return loss


def _disagreement(task: Task, predicted: Prediction, expected: Prediction) -> Tensor:
    """Compute the distance of a prediction from the expected one, which gets no gradient."""
    if isinstance(predicted, Queries) and isinstance(expected, Queries):
        # Per class: a query may stand for another object in the other image.
        grid = (expected.masks.shape[-2], expected.masks.shape[-1])
        predicted = class_masks(Queries(predicted.classes, to_grid(predicted.masks, grid)))
        expected = class_masks(expected)
    assert isinstance(predicted, Tensor) and isinstance(expected, Tensor)
    if predicted.shape != expected.shape:
        raise DejavuError(
            f"the {task.name} predictions of an image and of its regeneration must have one shape, not "
            f"{tuple(expected.shape)} and {tuple(predicted.shape)}"
        )
    return task.disagreement(predicted.float(), expected.detach().float())
