"""The loss of XTC: maps of two tasks must agree in the space of their pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....errors import DejavuError, nearest
from ....tasks import describe, load, names
from ....tasks.predictions import check, read_all
from ....tasks.resampling import enlarge
from .network import ConsistencyNetwork


class Comparison(NamedTuple):
    """The prediction of one task and the ground truth of another, of one image."""

    image: int
    pair: int  # its index in the network's `pairs`
    source: str
    target: str


class CrossTaskConsistency(nn.Module):
    """The weighted disagreement of predictions with the other tasks' ground truth.

        (1 - cos(m(prediction), m(truth)))
            + regularisation * ((1 - cos(m(prediction), features)) + (1 - cos(m(truth), features)))

    m is the network in the pair's space, cos the cosine along channels, averaged over positions; summed over
    the pairs of an image, averaged over the images. The features have no gradient: they keep the maps from
    becoming all alike.

    The published code draws the classes of a semantic prediction anew for each pair; here it is once for an
    image, which leaves the mean as it is. All else is computed for all images and pairs at once, and equal.

    Args:
        network: what maps tasks into the pairs' spaces. Its order of tasks is that of `available`.
        weight: of all of it.
        regularisation: of the distances to the features.

    Raises:
        DejavuError: a task that is predicted by queries; negative weights.
    """

    def __init__(self, network: ConsistencyNetwork, weight: float = 2.0, regularisation: float = 0.5) -> None:
        super().__init__()
        known = [task for task in names() if not describe(task).queries]
        for task in network.tasks:
            if task not in known:
                raise DejavuError(f"consistency: unknown task '{task}', {nearest(task, known)}")
        for name, value in (("weight", weight), ("regularisation", regularisation)):
            if value < 0:
                raise DejavuError(f"consistency.{name} must be at least 0, not {value:g}")
        self.network, self.weight, self.regularisation = network, weight, regularisation

    def forward(
        self,
        predictions: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        features: Tensor,
        available: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Compute a scalar to be added to the tasks' losses, with a graph to the predictions and the network.

        Args:
            predictions: of each task (N, C, h, w): logits, depth, normals of any length. Those of another
                size than the targets are interpolated bilinearly.
            targets: labels (N, H, W), depth (N, H, W), normals (N, 3, H, W), by task.
            features: the base network's bottleneck (N, F, h, w), averaged to the size of the maps where it
                differs.
            available: (N, T) bool, which labels each image has, in the order of the network's tasks. Tasks
                without label then learn from those with one. None: all have all, and all ordered pairs count.
            generator: of the random numbers that classes are drawn by; None takes torch's own.

        Raises:
            DejavuError: a task that is missing; shapes that do not fit.
        """
        checked = self._check(predictions, targets, features, available)
        comparisons = self._comparisons(len(features), available)
        if not comparisons:
            return features.new_zeros(())
        predicted, known = self._entered(comparisons, checked, targets, generator)
        entered = torch.stack(
            [predicted[one.source][one.image] for one in comparisons]
            + [known[one.target][one.image] for one in comparisons]
        )  # (2P, 64, H, W)
        pairs = torch.tensor([one.pair for one in comparisons], device=features.device)
        sources, truths = self.network.shared(entered, pairs.repeat(2)).float().chunk(2)  # (P, F, h, w) each
        size = (sources.shape[-2], sources.shape[-1])
        wanted = F.adaptive_avg_pool2d(features.detach().float(), size)
        wanted = wanted[[one.image for one in comparisons]]
        apart = _apart(sources, truths)
        if self.regularisation:
            apart = apart + self.regularisation * (_apart(sources, wanted) + _apart(truths, wanted))
        return self.weight * apart.sum() / len(features)

    def _entered(
        self,
        comparisons: list[Comparison],
        predictions: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        generator: torch.Generator | None,
    ) -> tuple[dict[str, tuple[Tensor, ...]], dict[str, tuple[Tensor, ...]]]:
        """Return each task's input layer's output (64, H, W) for each image: of predictions, of targets."""
        predicted, known = {}, {}
        for task in self.network.tasks:
            target = targets[task]
            if any(one.source == task for one in comparisons):
                maps = load(task).consistency_prediction(_enlarged(predictions[task], target), generator)
                predicted[task] = self.network.enter(maps, task).unbind()
            if any(one.target == task for one in comparisons):
                maps = load(task).consistency_target(target, self.network.channels[task])
                known[task] = self.network.enter(maps, task).unbind()
        return predicted, known

    def _comparisons(self, images: int, available: Tensor | None) -> list[Comparison]:
        """List the comparisons in a batch of so many images."""
        tasks = self.network.tasks
        rows = [[True] * len(tasks)] * images if available is None else available.tolist()
        comparisons = []
        for image, row in enumerate(rows):
            labelled = dict(zip(tasks, row, strict=True))
            for pair, (source, target) in enumerate(self.network.pairs):
                if labelled[target] and (available is None or not labelled[source]):
                    comparisons.append(Comparison(image, pair, source, target))
        return comparisons

    def _check(
        self,
        predictions: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        features: Tensor,
        available: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the prediction of each task after a check of all shapes."""
        network = self.network
        if features.ndim != 4 or features.shape[1] != network.features:
            raise DejavuError(
                f"consistency needs features (N, {network.features}, h, w), not {tuple(features.shape)}"
            )
        checked: dict[str, Tensor] = {}
        size = None
        for task, value in read_all(network.tasks, predictions).items():
            assert isinstance(value, Tensor)
            check(task, value, network.channels[task])
            if task not in targets:
                raise DejavuError(f"consistency needs the target of {task}, {nearest(task, targets)}")
            checked[task], target = value, targets[task]
            size = size or (target.shape[-2], target.shape[-1])
            wanted = describe(task).target_shape(len(features), size)
            if len(value) != len(features) or tuple(target.shape) != wanted:
                raise DejavuError(
                    f"consistency: with {len(features)} features, the target of {task} must be {wanted} and "
                    f"its prediction as many, not {tuple(target.shape)} and {len(value)}"
                )
        expected = (len(features), len(network.tasks))
        if available is not None and (tuple(available.shape) != expected or available.dtype != torch.bool):
            raise DejavuError(
                f"consistency: available must be {expected} booleans of images and tasks, not "
                f"{tuple(available.shape)} of {available.dtype}"
            )
        return checked


def _apart(maps: Tensor, others: Tensor) -> Tensor:
    """Compute 1 - the mean cosine over positions of two stacks (P, F, h, w): (P,)."""
    return 1 - F.cosine_similarity(maps, others, dim=1, eps=1e-12).mean((1, 2))


def _enlarged(prediction: Tensor, target: Tensor) -> Tensor:
    """Resize a prediction (N, C, h, w) to its target's size."""
    return prediction if prediction.shape[-2:] == target.shape[-2:] else enlarge(prediction, target)
