"""Region mutual information (Zhao et al., NeurIPS 2019, arXiv 1910.12037): regions instead of pixels.

A square of r x r neighbours is one point of r^2 dimensions, of the labels (Y) and of the probabilities (P) of
each class. The uncertainty of Y given P has, if both are Gaussian, the bound

    H(Y | P) <= 0.5 * log det(S_Y - S_YP S_P^-1 S_PY) + constant

which becomes smaller as the mutual information of the regions becomes larger. Facts of the published code
(ZJULearning/RMI, NVIDIA/semantic-segmentation): probabilities are sigmoids; covariances are sums over points,
not means; 5e-4 is added to their diagonals; double precision; divided by r^2, summed over classes, averaged
over images; beside it, binary cross-entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...compute.processes import across
from ...errors import DejavuError

DIAGONAL = 5e-4


def rmi_loss(
    logits: Tensor,
    labels: Tensor,
    weight: float = 0.5,
    radius: int = 3,
    pool: int = 4,
    ignore_index: int = 255,
) -> Tensor:
    """Compute weight * RMI + (1 - weight) * binary cross-entropy.

    logits (N, K, H, W), labels (N, H, W). Raises DejavuError for images that are smaller than a region.
    """
    truth, valid = one_hot(labels, logits.shape[1], ignore_index)
    probabilities = logits.sigmoid() * valid[:, None]  # ignored pixels have no class in both
    regions = region_loss(truth.to(logits.dtype), probabilities, radius, pool)
    return weight * regions + (1 - weight) * binary_cross_entropy(logits, labels, ignore_index)


def binary_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int = 255) -> Tensor:
    """Compare each class with all others: summed over classes, averaged over pixels that are not ignored.

    logits (N, K, H, W), labels (N, H, W).
    """
    truth, valid = one_hot(labels, logits.shape[1], ignore_index)
    losses = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    return (losses * valid[:, None]).sum() / across(valid.sum())


def one_hot(labels: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Return labels (N, H, W) by class (N, K, H, W), and the pixels not ignored (N, H, W), both bool."""
    valid = labels != ignore_index
    classes = torch.arange(num_classes, device=labels.device)[:, None, None]
    return (labels[:, None] == classes) & valid[:, None], valid


def region_loss(truth: Tensor, probabilities: Tensor, radius: int = 3, pool: int = 4) -> Tensor:
    """Compute the uncertainty of the labels' regions given the probabilities, at least 0.

    It is the published loss plus the constant 0.5 * K * log(1 / 5e-4): the gradient is the same, and what is
    nothing (a class that an image lacks, an image of ignored pixels) costs nothing. A perfect prediction of
    all else costs at most 0.5 * K * log 2, for the number on the diagonal is added twice.

    truth and probabilities (N, K, H, W), floating.
    """
    _check_size(truth, radius, pool)
    with torch.autocast(truth.device.type, enabled=False):
        known = _points(probabilities, radius, pool)  # (N, K, d, points), d = radius^2
        targets = _points(truth, radius, pool)
        unit = torch.eye(known.shape[2], dtype=known.dtype, device=known.device)
        # `cholesky_ex` leaves NaN where there is no root: the training reports it once an epoch, and a GPU
        # need not stall in every step.
        root = torch.linalg.cholesky_ex(known @ known.mT + unit).L  # (N, K, d, d)
        explained = torch.linalg.solve_triangular(root, known @ targets.mT, upper=False)
        left = targets @ targets.mT - explained.mT @ explained + unit
        # log det = 2 * sum of log diagonal of the root; the loss has half of it.
        diagonal = torch.linalg.cholesky_ex(left).L.diagonal(dim1=-2, dim2=-1)
        per_class = diagonal.log().mean(-1)  # (N, K)
        return per_class.sum(1).mean().to(truth.dtype)


def _points(maps: Tensor, radius: int, pool: int) -> Tensor:
    """Return the regions of maps (N, K, H, W) around their mean: (N, K, radius^2, points), double.

    The units are such that the number added to the diagonal is 1.
    """
    if pool > 1:
        maps = F.avg_pool2d(maps, pool, stride=pool, padding=pool // 2)
    maps = maps.double()
    points = F.unfold(maps, radius).view(*maps.shape[:2], radius**2, -1)
    return (points - points.mean(-1, keepdim=True)) / DIAGONAL**0.5


def _check_size(maps: Tensor, radius: int, pool: int) -> None:
    height, width = maps.shape[-2:]
    pooled = [(side + 2 * (pool // 2) - pool) // pool + 1 if pool > 1 else side for side in (height, width)]
    if min(pooled) < radius:
        raise DejavuError(
            f"rmi: images of {height} x {width} are {pooled[0]} x {pooled[1]} after pooling by {pool}, "
            f"smaller than a region of {radius} x {radius}: choose a larger crop, or a smaller pool or radius"
        )
