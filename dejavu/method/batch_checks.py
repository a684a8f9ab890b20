"""What the DejaVu loss looks for in a batch, so that a mistake is a sentence and not a wrong training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import DejavuError
from ..tasks.predictions import Prediction, tensors


def same_batch(images: Tensor, predictions: Mapping[str, Prediction]) -> None:
    """Raise DejavuError unless predictions are of as many images as there are."""
    for part in tensors(predictions):
        if len(part) != len(images):
            raise DejavuError(
                f"the network's prediction is of {len(part)} images, but images are {len(images)}"
            )


def has_graph(predictions: Mapping[str, Prediction], network: nn.Module) -> None:
    """Raise DejavuError for a prediction without a graph: it would teach nothing, and nobody would notice."""
    learns = any(parameter.requires_grad for parameter in network.parameters())
    if not torch.is_grad_enabled() or not learns:
        return
    if not any(part.requires_grad for part in tensors(predictions)):
        raise DejavuError(
            "the prediction has no graph, so DejaVu could not teach the network: make it outside of "
            "no_grad, and do not detach it (detach=True is the control)"
        )


def warn_of_range(images: Tensor) -> None:
    """Say so when images look as if nobody had normalised them: gamma would drown the task's loss."""
    size = float(images.detach().abs().mean())
    if 10 < size < math.inf:
        warnings.warn(
            f"images have a mean magnitude of {size:.0f}: normalise them, so that 0 is the mean pixel",
            stacklevel=3,
        )


def is_finite(loss: Tensor, images: Tensor, predictions: Mapping[str, Prediction]) -> None:
    """Raise DejavuError, with the culprit's name, when a loss is not finite."""
    if loss.is_cuda or loss.is_meta or bool(loss.isfinite()):  # on a GPU asking would stall every step
        return
    suspects = [("the network's prediction holds", part) for part in tensors(predictions)]
    for culprit, values in [("images hold", images), *suspects]:
        if not bool(values.isfinite().all()):
            raise DejavuError(
                f"the DejaVu loss is {loss.item()} because {culprit} values that are not finite"
            )
    raise DejavuError(
        f"the DejaVu loss is {loss.item()} though images and prediction are finite: the CRM diverged"
    )
