"""Checks of a batch before the DejaVu loss: a mistake is reported and does not spoil the training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.module_tracker import ModuleTracker

from ..errors import DejavuError
from ..tasks import describe
from ..tasks.activation import are_probabilities, check_probabilities
from ..tasks.predictions import Prediction, Queries, tensors


def same_batch(images: Tensor, predictions: Mapping[str, Prediction]) -> None:
    """Raise DejavuError unless there are as many predictions as images, made for a gradient to pass."""
    for kind, values in [
        ("images were", images),
        *[("the prediction was", one) for one in tensors(predictions)],
    ]:
        if values.is_inference() and torch.is_grad_enabled():
            raise DejavuError(
                f"{kind} made in inference_mode, which allows no training: make them outside of it"
            )
    for prediction in tensors(predictions):
        if 0 in prediction.shape:
            raise DejavuError(f"the network's prediction is empty, of shape {tuple(prediction.shape)}")
        if len(prediction) != len(images):
            raise DejavuError(
                f"the network's prediction is of {len(prediction)} images, but images are {len(images)}"
            )


def in_forward_pass() -> None:
    """Raise DejavuError where activation checkpointing computes the loss again: it would draw other masks."""
    if ModuleTracker().is_bw:
        raise DejavuError(
            "regeneration_loss runs in a backward pass, where activation checkpointing would draw other "
            "masks: checkpoint the network or model.regenerator, not the loss"
        )


def has_graph(predictions: Mapping[str, Prediction], network: nn.Module) -> None:
    """Raise DejavuError for predictions without a graph: they would teach the network nothing, silently."""
    learns = any(parameter.requires_grad for parameter in network.parameters())
    if not torch.is_grad_enabled() or not learns:
        return
    if not any(prediction.requires_grad for prediction in tensors(predictions)):
        raise DejavuError(
            "the prediction has no graph, so DejaVu could not teach the network: make it outside of "
            "no_grad, and do not detach it (detach=True is the control)"
        )


def fits_activation(predictions: Mapping[str, Prediction], activation: str, first: bool) -> None:
    """Check the values of classes: a second softmax, or a missing one, would teach little, silently.

    Raises DejavuError where they should be probabilities and are not. Warns, in the `first` call, of
    probabilities where logits are expected.
    """
    for task, prediction in predictions.items():
        if not describe(task).has_classes or any(one.is_meta for one in tensors({task: prediction})):
            continue
        if activation == "none" and isinstance(prediction, Tensor):
            if first or not prediction.is_cuda:  # on a GPU reading it would stall every step
                check_probabilities(prediction)
        elif first and _are_probabilities(prediction):
            remedy = "give activation='none'" if isinstance(prediction, Tensor) else "return logits"
            warnings.warn(
                f"the network's {task} prediction holds probabilities where logits are expected, and another "
                f"activation makes them nearly equal: {remedy}",
                stacklevel=3,
            )


def _are_probabilities(prediction: Prediction) -> bool:
    if isinstance(prediction, Queries):
        return are_probabilities(prediction.classes.transpose(1, 2)) or are_probabilities(prediction.masks)
    return are_probabilities(prediction)


def is_finite(loss: Tensor, images: Tensor, predictions: Mapping[str, Prediction]) -> None:
    """Raise DejavuError that names the cause when a loss is not finite."""
    if loss.is_cuda or loss.is_meta or bool(loss.isfinite()):  # on a GPU reading it would stall every step
        return
    predicted = [("the network's prediction holds", prediction) for prediction in tensors(predictions)]
    for cause, values in [("images hold", images), *predicted]:
        if not bool(values.isfinite().all()):
            raise DejavuError(f"the DejaVu loss is {loss.item()} because {cause} values that are not finite")
    raise DejavuError(
        f"the DejaVu loss is {loss.item()} though images and prediction are finite: the CRM diverged"
    )
