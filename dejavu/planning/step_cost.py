"""One step of a training, counted without computing anything: operations and memory.

The real objective (network, losses and the terms of DejaVu) runs forward and backward on the meta device
with the recipe's batch and crop, so that the costs of a backward pass or a CRM are counted, not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from ..compute.random import generator
from ..config.recipe import BESIDE
from ..tasks import describe
from ..training.multitask.balancing import MGDA
from .activation_memory import ActivationCounter, Uninitialised, size_of, tensors_of

if TYPE_CHECKING:
    from ..config import Run
    from ..training.batches import Batch
    from ..training.objective import Objective

FLOAT = 4  # bytes
STATES = {"sgd": 1, "adam": 2, "adamw": 2}  # values that an optimizer keeps for each parameter


@dataclass(frozen=True)
class Meaning:
    """Meaning of a dataset's labels: its classes, and the category of each class if there are categories."""

    classes: Sequence[str]
    ignore_index: int = 255
    categories: Sequence[str] | None = None


@dataclass(frozen=True)
class Work:
    """Cost of one step of a batch.

    `flops`: operations of convolutions and matrix products, forward and backward; a multiply-accumulate
    counts as two. `forward`: operations of the base network's forward pass. `parameters`: number of trainable
    parameters; `deployed`: parameters of the base network. Bytes in float32: `weights` with all buffers,
    `state` of the optimizer, and `saved` activations for the backward pass. `loss`: True if the task's loss
    is counted. `copies`: gradients of the base network in memory at once; MGDA compares those of all tasks.
    """

    batch: int
    flops: int
    forward: int
    parameters: int
    deployed: int
    weights: int
    state: int
    saved: int
    loss: bool
    copies: int = 1

    @property
    def memory(self) -> int:
        """Bytes of weights, gradients, optimizer state and saved activations, in float32."""
        gradients = self.parameters + (self.copies - 1) * self.deployed
        return self.weights + FLOAT * gradients + self.state + self.saved

    @property
    def memory_half(self) -> int:
        """Bytes with saved activations of two bytes per value: the minimum under bfloat16 autocast."""
        return self.memory - self.saved // 2


def count(run: Run, meaning: Meaning) -> Work:
    """Count a step of the run's training, with its recipe's batch and crop and its scale's network.

    For memory, attention counts as a fused kernel, which keeps queries, keys, values and output, but no map.
    """
    step = Step(plain(run), meaning)
    return step.work if run.dejavu is None else step.with_method(run)


def plain(run: Run) -> Run:
    """Return the run without DejaVu."""
    return run.model_copy(update={"dejavu": None})


class Step:
    """Counted step of a plain network, to which the cost of a method can be added.

    Rows that differ only in the method share it: the regeneration loss has its own graph, which begins at the
    prediction, so operations add up, and each saved tensor counts once.
    """

    def __init__(self, run: Run, meaning: Meaning) -> None:
        self.run, self.meaning = run, meaning
        recipe = run.train
        with torch.device("meta"), Uninitialised():
            self.objective = build(run, meaning).train()
            self.batch = empty_batch(run)
            self.images, self.target = self.batch.images, self.batch.target
        own = tensors_of(self.objective)
        self.saved, operations = ActivationCounter(own), Operations()
        calls: list[tuple[int, Any]] = []
        network = self.objective.network
        hook = network.register_forward_hook(lambda *call: calls.append((operations.total, call[2])))
        with operations, self.saved.counting():
            whole = self._learn()
        hook.remove()
        forward, prediction = calls[0]
        if run.consistency is not None:
            forward //= 2  # XTC has two views; count one
        # DejaVu regenerates the first of XTC's two views.
        prediction = tree_map_only(Tensor, lambda maps: maps[: recipe.batch_size], prediction)
        self.prediction = tree_map_only(Tensor, _leaf, prediction)
        parameters = _learning(self.objective)
        self.work = Work(
            batch=recipe.batch_size,
            flops=operations.total,
            forward=forward,
            parameters=parameters,
            deployed=sum(parameter.numel() for parameter in network.parameters()),
            weights=sum(map(size_of, own)),
            state=FLOAT * self._kept_by_optimizer * parameters,
            saved=self.saved.bytes,
            loss=whole,
            copies=len(run.tasks) if isinstance(self.objective.balancer, MGDA) else 1,
        )

    @property
    def _kept_by_optimizer(self) -> int:
        optimizer = self.run.train.optimizer
        return STATES[optimizer.name] if optimizer.name != "sgd" or optimizer.momentum else 0

    def _learn(self) -> bool:
        """Run a forward and a backward pass as in training; return True if the task's real loss was used.

        A loss that needs values (Mask2Former's matching) cannot run on the meta device. The mean of every
        prediction replaces it, which costs almost nothing and has the same backward pass.
        """
        objective = self.objective
        if not hasattr(objective.network, "criterion"):
            losses = objective(self.batch, 1.0, generator(0, "redact"), generator(0, "gumbel"))
            if objective.balancer is None:
                losses.total.backward()
            else:
                objective.balancer.backward(losses.tasks, losses.added)
            return True
        outputs = tree_leaves(objective.network(self.images))
        learnt = [output.mean() for output in outputs if isinstance(output, Tensor) and output.requires_grad]
        torch.stack(learnt).sum().backward()
        return False

    def with_method(self, run: Run) -> Work:
        """Return the cost of a step of the same network with the DejaVu method of `run`."""
        from ..models.build import build_method
        from ..training.objective import Objective

        with torch.device("meta"), Uninitialised():
            method = build_method(_bare(run), self.objective.network, self.meaning.classes).train()
            objective = Objective(method, self.objective.criterion, consistency=self.objective.consistency)
        if method.text is not None:  # prompts depend on label values, which do not exist here
            words = " and ".join(self.meaning.classes[:5])
            method.text.prompts = lambda labels, *_: [words] * len(labels)  # type: ignore[method-assign]
        own = tensors_of(objective)
        saved, operations = self.saved.continued(own), Operations()
        with operations, saved.counting():
            redact = generator(0, "redact")
            method.regeneration_loss(self.images, self.prediction, redact, 1.0, labels=self.target).backward()
        parameters = _learning(objective)
        return replace(
            self.work,
            flops=self.work.flops + operations.total + self._further_backward(),
            parameters=parameters,
            weights=sum(map(size_of, own)),
            state=FLOAT * self._kept_by_optimizer * parameters,
            saved=saved.bytes,
        )

    def _further_backward(self) -> int:
        """Return the operations of an extra backward pass through the network, for the method's loss alone.

        Zero if the loss is added to the losses of the tasks or of XTC, whose pass is already counted.
        """
        objective = self.objective
        if not isinstance(objective.balancer, MGDA) or objective.consistency is not None:
            return 0
        outputs = objective.network(self.images)
        maps = [outputs[task] for task in objective.tasks]
        learning = [parameter for parameter in objective.network.parameters() if parameter.requires_grad]
        operations = Operations()
        with operations:
            torch.autograd.grad(maps, learning, [torch.empty_like(output) for output in maps])
        return operations.total


def _leaf(tensor: Tensor) -> Tensor:
    """Return the tensor as the beginning of a new graph."""
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _learning(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class Operations(TorchDispatchMode):
    """Counts operations by the formulas of torch's FlopCounterMode, without decomposition.

    Tensors have no values here: code that reads a value gets 1 (so a check for finite values passes), and a
    copy to the CPU holds ones. Each gradient of a convolution costs as much as the convolution; torch's
    formula ignores the groups in the gradient of the weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return torch.ones((), dtype=args[0].dtype, device="cpu").item()
        if func is torch.ops.aten._to_copy.default and _leaves(args[0], kwargs or {}):
            kind = (kwargs or {}).get("dtype") or args[0].dtype
            return torch.ones(args[0].shape, dtype=kind, device="cpu")
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if func is torch.ops.aten.convolution_backward.default:
            out_gradient, images, weight, *_ = args
            gradients = sum(args[-1][:2])  # of the image and of the weights
            self.total += gradients * _convolution(out_gradient, images, weight, transposed=args[7])
        elif formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def _leaves(tensor: Tensor, to: dict[str, Any]) -> bool:
    """Return True if a copy leaves the meta device."""
    device = to.get("device")
    return tensor.is_meta and device is not None and torch.device(device).type != "meta"


def _convolution(out: Tensor, images: Tensor, weight: Tensor, transposed: bool) -> int:
    """Return the operations of a convolution: each weight at every output pixel (input, if transposed)."""
    grid = images if transposed else out
    return 2 * weight.numel() * grid[0, 0].numel() * len(grid)


def build(run: Run, meaning: Meaning) -> Objective:
    """Build the run's objective with random weights, without a download."""
    from ..training.data import Data
    from ..training.objective import build_objective

    # Only the meaning of the labels is needed here, not the images.
    data = Data(
        tasks=run.tasks,
        train=None,  # type: ignore[arg-type]
        val=None,  # type: ignore[arg-type]
        classes=meaning.classes,
        ignore_index=meaning.ignore_index,
        categories=meaning.categories,
    )
    return build_objective(_bare(run), 0, data)


def _bare(run: Run) -> Run:
    """Return the run without pretrained weights."""
    options = {key: value for key, value in run.network.options.items() if key != "pretrained"}
    network = run.network.model_copy(update={"options": options})
    return run.model_copy(update={"pretrained": False, "network": network})


def empty_batch(run: Run) -> Batch:
    """Return a batch of zeros of the run's recipe."""
    count, crop = run.train.batch_size, run.train.crop

    def target(task: str) -> Tensor:
        facts = describe(task)
        kind = torch.long if facts.has_classes else torch.float32
        return torch.zeros(facts.target_shape(count, crop), dtype=kind)

    return batch_of(run, torch.zeros(count, 3, *crop), {task: target(task) for task in run.tasks})


def batch_of(run: Run, images: Tensor, targets: dict[str, Tensor]) -> Batch:
    """Return a batch of images and targets as in the run's training; XTC has two views."""
    from ..training.batches import Batch

    target = targets if len(targets) > 1 else targets[run.tasks[0]]
    second = (images, target) if run.consistency is not None else None
    known = None
    if run.train.labelled not in ("full", BESIDE):  # one label for each image, in turn; read on the CPU
        every = torch.eye(len(run.tasks), dtype=torch.bool, device="cpu")
        known = every.repeat(len(images), 1)[: len(images)]
    return Batch(images, target, second, known)
