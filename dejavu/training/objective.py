"""The training objective: the base network with all that a row adds to it, and the losses of one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ..compute.random import derive, seeded
from ..config.recipe import BESIDE
from ..errors import DejavuError
from ..method.wrapper import DejaVu
from ..models.build import build_method, build_network
from ..tasks import channels
from .batches import Batch
from .data import Data
from .losses import Criterion, TaskLosses
from .multitask.consistency import ConsistencyNetwork, CrossTaskConsistency
from .unlabelled import of_images

if TYPE_CHECKING:
    from ..config import Run
    from .multitask.balancing import Balancer


class Losses(NamedTuple):
    """The losses of one step, all scalars."""

    tasks: dict[str, Tensor]
    """the loss of each task, unweighted"""
    dejavu: Tensor | None
    """DejaVu's loss, weighted"""
    consistency: Tensor | None
    """XTC's loss, weighted"""

    @property
    def task(self) -> Tensor:
        """The sum of all tasks' losses."""
        losses = list(self.tasks.values())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    @property
    def added(self) -> Tensor | None:
        """The sum of DejaVu's and XTC's losses, weighted; None without both."""
        losses = [loss for loss in (self.dejavu, self.consistency) if loss is not None]
        return losses[0] + losses[1] if len(losses) == 2 else losses[0] if losses else None

    @property
    def total(self) -> Tensor:
        """The loss of the step if no balancer weighs the tasks."""
        return self.task if self.added is None else self.task + self.added


class Objective(nn.Module):
    """The losses of a batch in one `forward`, so that distributed wrappers see the whole step.

    Args:
        model: the base network, or DejaVu around it.
        criterion: the recipe's loss, of one or more tasks; a DejaVu model's cycle uses it, too.
        balancer: the weighting of more than one task; None is their sum.
        consistency: the loss of XTC, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion | TaskLosses,
        balancer: Balancer | None = None,
        consistency: CrossTaskConsistency | None = None,
    ) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self.balancer, self.consistency = balancer, consistency
        if isinstance(model, DejaVu):
            model.criterion = criterion.main  # a cycle has the main output only

    @property
    def network(self) -> nn.Module:
        """The plain base network."""
        return self.model.network if isinstance(self.model, DejaVu) else self.model

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the network predicts."""
        criterion = self.criterion
        return criterion.tasks if isinstance(criterion, TaskLosses) else (criterion.task,)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses in the log: the tasks' sum, the added losses, each task of more than one."""
        each = self.tasks if len(self.tasks) > 1 else ()
        return ("task", "dejavu", *(() if self.consistency is None else ("consistency",)), *each)

    def values(self, losses: Losses) -> Tensor:
        """Return the values of `terms`, (len(terms),), without a graph."""
        task = losses.task.detach()
        terms = {"task": task, "dejavu": losses.dejavu, "consistency": losses.consistency} | losses.tasks
        values = [terms[term] for term in self.terms]
        return torch.stack([torch.zeros_like(task) if value is None else value.detach() for value in values])

    def forward(
        self, batch: Batch, progress: float, redact: torch.Generator, gumbel: torch.Generator | None = None
    ) -> Losses:
        """Compute a batch's losses; random numbers of the redaction and of XTC are from the generators."""
        count = len(batch.images)
        if self.consistency is None:
            prediction = self.model(batch.images)  # (N, C, H / stride, W / stride)
            result = self.criterion(*_labelled(prediction, batch))
        else:
            assert batch.second is not None
            both = self.model(torch.cat([batch.images, batch.second[0]]))
            prediction, again = ({key: value[:count] for key, value in both.items()}, both)
            result = self.criterion(prediction, batch.target)
        losses = result if isinstance(result, dict) else {self.tasks[0]: result}
        dejavu = consistency = None
        if isinstance(self.model, DejaVu):
            dejavu = self.model.regeneration_loss(
                batch.images, prediction, redact, progress, labels=batch.target, captions=batch.captions
            )
        if self.consistency is not None:
            assert batch.second is not None
            second = {key: value[count:] for key, value in again.items()}
            features = second.pop("features")
            truths = batch.second[1]
            numbers = None if gumbel is None else _beside(gumbel, features.device)
            consistency = self.consistency(second, truths, features, batch.available, numbers)
        return Losses(losses, dejavu, consistency)


def _labelled(prediction: Any, batch: Batch) -> tuple[Any, Any]:
    """Return the prediction and the target of the images that the tasks learn from."""
    if batch.labelled is None:
        return prediction, batch.target
    return of_images(prediction, batch.labelled), of_images(batch.target, batch.labelled)


def _beside(numbers: torch.Generator, device: torch.device) -> torch.Generator:
    """Return a generator on the device, which draws large noise faster than it can be copied there."""
    if device.type in ("cpu", "meta"):
        return numbers
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=numbers)))


def build_objective(run: Run, seed: int, data: Data) -> Objective:
    """Build the objective; the base network is the same to the bit for a row and its base."""
    torch.manual_seed(derive(seed, "init"))
    outputs = channels(run.task, data.num_classes)
    model = network = build_network(run, outputs, classes=data.classes)
    if run.dejavu is not None:
        model = build_method(run, network, data.classes, seed=derive(seed, "regenerator"))
    if isinstance(outputs, int):
        criterion = Criterion(
            run.train, run.tasks[0], data.num_classes, data.ignore_index, data.categories, network=network
        )
        return Objective(model, criterion)
    partly = run.train.labelled not in ("full", BESIDE)
    by_image = partly or run.consistency is not None  # as in nyu_mtl_xtc.py
    criteria = TaskLosses(run.tasks, data.ignore_index, by_image)
    return Objective(model, criteria, _balancer(run, network), _consistency(run, network, outputs, seed))


def _balancer(run: Run, network: nn.Module) -> Balancer | None:
    if run.balance is None:
        return None
    from .multitask import balancing

    return balancing.build(run.balance.name, run.tasks, network, **run.balance.options)


def _consistency(
    run: Run, network: nn.Module, outputs: dict[str, int], seed: int
) -> CrossTaskConsistency | None:
    if run.consistency is None:
        return None
    features = getattr(network, "feature_channels", None)
    if not isinstance(features, int):
        raise DejavuError(
            f"experiment '{run.experiment}': consistency compares with the network's features, and "
            f"{type(network).__name__} has no feature_channels"
        )
    with seeded(derive(seed, "consistency")):
        mapping = ConsistencyNetwork(outputs, features, run.network.width, run.network.depth)
    return CrossTaskConsistency(mapping, run.consistency.weight, run.consistency.regularisation)
