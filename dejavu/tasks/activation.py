"""Activations: how a network's values (N, K, h, w) of K classes become probabilities.

    softmax    logits of classes that exclude each other: a pixel has one of them
    sigmoid    logits of labels that do not: a pixel has any number of them
    none       probabilities already, of either kind

A network of one channel (K = 1) predicts the second of two classes: its logit z is the pair (0, z), its
probability p the pair (1 - p, p). So all three activations of one channel come to two classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import DejavuError

ACTIVATIONS = ("softmax", "sigmoid", "none")
TOLERANCE = 0.01  # of probabilities in half precision
EPSILON = 1e-6  # added to probabilities before the logarithm


def two_classes(values: Tensor, activation: str = "softmax") -> Tensor:
    """Values of two classes (N, 2, h, w) from those of the second (N, 1, h, w).

    >>> two_classes(torch.full((1, 1, 1, 1), 0.25), "none").flatten().tolist()
    [0.75, 0.25]
    """
    first = 1 - values if activation == "none" else torch.zeros_like(values)
    return torch.cat([first, values], 1)


def probabilities(values: Tensor, activation: str) -> Tensor:
    """Probabilities (N, K, h, w) of K >= 2 classes or labels."""
    if activation == "softmax":
        return values.softmax(1)
    return values.sigmoid() if activation == "sigmoid" else values


def divergence(values: Tensor, expected: Tensor, activation: str) -> Tensor:
    """KL(expected || values), K >= 2: summed over classes or labels, the mean over pixels.

    Of probabilities it is the generalised divergence, sum p log(p / q) - p + q: the usual one where they sum
    to 1, and also right where they do not.
    """
    if activation == "none":
        q, p = values + EPSILON, expected + EPSILON
        return (p * (p.log() - q.log()) - p + q).sum(1).mean()
    if activation == "sigmoid":  # each label is a pair (0, z)
        values, expected = (torch.stack([torch.zeros_like(one), one], 1) for one in (values, expected))
    target = expected.log_softmax(1)
    difference = (target.exp() * (target - values.log_softmax(1))).sum(1)
    return (difference.sum(1) if activation == "sigmoid" else difference).mean()


def check_probabilities(values: Tensor) -> None:
    """Raise DejavuError for values outside of 0 and 1, which are no probabilities."""
    if not values.numel():
        return
    smallest, largest = (float(edge) for edge in values.detach().aminmax())
    if smallest < -TOLERANCE or largest > 1 + TOLERANCE:
        raise DejavuError(
            f"the network's prediction has values from {smallest:.3g} to {largest:.3g}, and probabilities, "
            "which activation='none' is for, lie within 0 and 1: leave activation out, or give 'sigmoid' for "
            "labels that do not exclude each other"
        )


def are_probabilities(values: Tensor) -> bool:
    """Return True if the values, which should be logits, are probabilities already.

    Those that sum to 1 over dimension 1 are. Others within 0 and 1 may be logits of a new network, and are
    only if a sigmoid has made them.
    """
    plain = values.detach().float()
    if not values.numel() or bool(plain.min() < 0) or bool(plain.max() > 1 + TOLERANCE):
        return False
    if values.shape[1] > 1 and bool((plain.sum(1) - 1).abs().max() < TOLERANCE):
        return True
    return "Sigmoid" in type(values.grad_fn).__name__
