"""The loss of a recipe: the losses of the main output and of the auxiliary outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...errors import DejavuError, nearest
from ...tasks import load
from ...tasks.predictions import as_tensor
from ...tasks.resampling import enlarge
from ...tasks.semantic import cross_entropy
from .categories import Categories
from .ohem import ohem_loss
from .rmi import binary_cross_entropy, rmi_loss

if TYPE_CHECKING:
    from ...config import Recipe

OF_CROSS_ENTROPY = ("class_weights", "ohem", "rmi", "auxiliary", "coarse")


class Criterion(nn.Module):
    """The loss of a recipe: (a network's output, target) -> a scalar.

    Segmentation: cross-entropy of the main output at the labels' resolution, with the recipe's class weights,
    upsampling and hard pixels, or RMI; plus each auxiliary output's loss times its weight. Auxiliary outputs
    learn by the loss of plain pixels, as in the published recipes: without hard pixels (HRNet's OCR), and
    by binary cross-entropy where the main output has RMI (NVIDIA's). Those that `coarse` names learn the
    dataset's categories, by cross-entropy without class weights; a dataset without categories has its classes
    there, as any other output. Depth and normals: their own losses, of auxiliary outputs, too.

    In training, every auxiliary output must be there. In evaluation a network returns its main output
    alone, and only that is compared. The mode is the criterion's own, set by `train()` and `eval()` of the
    module that contains it.

    Args:
        recipe: a recipe of params.yaml.
        task: a task of `dejavu.tasks`. A panoptic loss is the network's own.
        num_classes: K.
        ignore_index: the label of pixels that are not compared.
        categories: for each class the name of its category, or None.
        network: the plain base network. Only its own `criterion` is kept, and then used instead.

    Raises:
        DejavuError: options that exclude each other, that do not fit the task, the classes or the network.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        recipe: Recipe,
        task: str,
        num_classes: int,
        ignore_index: int = 255,
        categories: Sequence[str] | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        _check_options(recipe, task, num_classes)
        self.task, self.ignore_index = task, ignore_index
        self._task = load(task)
        self.align_corners, self.ohem, self.rmi = recipe.align_corners, recipe.ohem, recipe.rmi
        self.auxiliary, self.coarse = dict(recipe.auxiliary), recipe.coarse
        weights = None if recipe.class_weights is None else torch.tensor(recipe.class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.categories: Categories | None = None
        if self.coarse and categories is not None:
            self.categories = Categories(categories, num_classes)
        # In a tuple, since a module in an attribute would be one of the criterion's own.
        self._own: tuple[Any, ...] = ()
        if network is not None:
            check_auxiliary(network, recipe)
            self._own = (network.criterion,) if has_own(network) else ()

    def forward(self, prediction: Any, target: Tensor) -> Tensor:
        """Compute the loss of all outputs of a network. Raises DejavuError for wrong auxiliary outputs.

        target: labels or panoptic codes (N, H, W), int64; depth (N, H, W) in metres; normals (N, 3, H, W).
        """
        outputs = prediction.get("auxiliary", {}) if isinstance(prediction, Mapping) else {}
        if not self.training and not outputs:
            return self.main(prediction, target)
        if self._own:
            return self._own[0](prediction, target, self.ignore_index)
        _check_names(outputs, self.auxiliary, "this prediction")
        loss = self.main(prediction, target)
        for name, weight in self.auxiliary.items():
            if weight > 0:
                loss = loss + weight * self._secondary(name, outputs[name], target)
        return loss

    def main(self, prediction: Any, target: Tensor) -> Tensor:
        """Compute the loss of the main output alone, in either mode.

        DejaVu-CL calls it with the task's tensor that the network predicts from the regenerated image. Plain
        cross-entropy stands in there for a network's own criterion.
        """
        if self._task.queries:
            return self._of_queries(prediction, target)
        if self.task != "semantic":
            return self._task.loss(prediction, target)
        logits = self._full(as_tensor(prediction), target)
        if self.rmi is not None:
            rmi = self.rmi
            return rmi_loss(logits, target, rmi.weight, rmi.radius, rmi.pool, self.ignore_index)
        if self.ohem is not None:
            threshold, min_kept = self.ohem.threshold, self.ohem.min_kept
            return ohem_loss(logits, target, threshold, min_kept, self.ignore_index, self._weights(logits))
        return cross_entropy(logits, target, self.ignore_index, self._weights(logits))

    def _of_queries(self, prediction: Any, target: Tensor) -> Tensor:
        """Compute the network's own loss of its last queries, for the cycle of a panoptic network."""
        if not self._own:
            return self._task.loss(prediction, target)  # raises: the task has none
        classes, masks = self._task.read(prediction)
        last = {"class_queries_logits": classes, "masks_queries_logits": masks}
        return self._own[0](last, target, self.ignore_index)

    def _secondary(self, name: str, output: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of one auxiliary output, without its weight."""
        if self.task != "semantic":
            return self._task.loss(output, target)
        logits = self._full(output, target)
        if name in self.coarse and self.categories is not None:
            labels = self.categories.labels(target, self.ignore_index)
            return cross_entropy(self.categories.logits(logits), labels, self.ignore_index)
        if self.rmi is not None:
            return binary_cross_entropy(logits, target, self.ignore_index)
        return cross_entropy(logits, target, self.ignore_index, self._weights(logits))

    def _full(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return logits at the labels' size, in float32 at least: under autocast they are bfloat16."""
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return enlarge(precise, labels, self.align_corners)

    def _weights(self, logits: Tensor) -> Tensor | None:
        return None if self.class_weights is None else self.class_weights.to(logits.dtype)


def has_own(network: nn.Module) -> bool:
    """Return True if a network has its own loss."""
    return callable(getattr(network, "criterion", None))


def check_auxiliary(network: nn.Module, recipe: Recipe) -> None:
    """Raise DejavuError unless a recipe's losses match the outputs of a network."""
    if not has_own(network):
        _check_names(getattr(network, "auxiliary_outputs", ()), recipe.auxiliary, type(network).__name__)
        return
    for option in OF_CROSS_ENTROPY:
        if getattr(recipe, option):
            raise DejavuError(
                f"recipe.{option} is set, but {type(network).__name__} has a loss of its own: leave it out"
            )


def _check_names(outputs: Collection[str], weights: Mapping[str, float], where: str) -> None:
    """Raise DejavuError unless every auxiliary output has a weight, and every weight an output."""
    for name in weights:
        if name not in outputs:
            raise DejavuError(
                f"recipe.auxiliary: {where} has no auxiliary output '{name}', {nearest(name, outputs)}"
            )
    for name in outputs:
        if name not in weights:
            raise DejavuError(
                f"recipe.auxiliary: the auxiliary output '{name}' of {where} has no weight: give it one, "
                "0.0 to leave it out"
            )


def _check_options(recipe: Recipe, task: str, num_classes: int) -> None:
    """Raise DejavuError for options of which some would have no effect."""
    for option in ("class_weights", "ohem", "rmi", "coarse"):
        if task != "semantic" and getattr(recipe, option):
            raise DejavuError(f"recipe.{option} is for segmentation: leave it out for the task {task}")
    weights = recipe.class_weights
    if weights is not None and len(weights) != num_classes:
        raise DejavuError(
            f"recipe.class_weights has {len(weights)} values for a dataset of {num_classes} classes"
        )
