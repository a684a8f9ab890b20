"""What the network of XTC is shown: predictions, with their graph, and ground truth in the same form.

All are between 0 and 1: classes one-hot, depth as a share of the image's largest, normals moved from
[-1, 1]. So they are in the published code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-12
TASKS = ("semantic", "depth", "normals")


def of_prediction(task: str, prediction: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """What a network said of a task (N, C, H, W), as maps (N, C, H, W) with a graph to it.

    Args:
        task: "semantic", of logits; "depth"; "normals", of any length.
        generator: of the random numbers that classes are drawn by.

    >>> of_prediction("depth", torch.tensor([1.0, 4.0]).view(1, 1, 1, 2)).flatten()
    tensor([0.2500, 1.0000])
    """
    prediction = prediction.float()
    if task == "semantic":
        return drawn(prediction, generator)
    if task == "depth":
        return _share_of_largest(prediction)
    return (F.normalize(prediction, dim=1, eps=1e-6) + 1) / 2


def of_target(task: str, target: Tensor, channels: int) -> Tensor:
    """Ground truth as maps (N, channels, H, W).

    Args:
        target: labels (N, H, W), of which those that are no class become zero in all channels; depth
            (N, H, W), 0 is unknown and stays 0; normals (N, 3, H, W), of which unknown ones become 0.5.

    >>> of_target("semantic", torch.tensor([[[1, 255]]]), 2)[0, :, 0]
    tensor([[0., 0.],
            [1., 0.]])
    """
    if task == "semantic":
        return one_hot(target, channels)
    if task == "depth":
        return _share_of_largest(target[:, None].float())
    return (target.float() + 1) / 2


def drawn(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Classes drawn by their probabilities, one-hot; the gradient is that of the Gumbel-softmax at 1.

    Jang et al. 2017, "hard": forward a sample, backward its relaxation. The noise is drawn on the
    generator's device (without one, the CPU), so that the network's device changes nothing.

    logits (N, K, H, W) -> (N, K, H, W).
    """
    place = "cpu" if generator is None else generator.device
    waits = torch.empty(logits.shape, device=place).exponential_(generator=generator)
    noise = -waits.clamp_(min=torch.finfo(waits.dtype).tiny).log_()  # Gumbel(0, 1)
    soft = (logits + noise.to(logits.device)).softmax(1)
    return one_hot(soft.argmax(1), logits.shape[1]) + (soft - soft.detach())


def one_hot(ids: Tensor, count: int) -> Tensor:
    """Class ids (N, H, W) -> (N, count, H, W); ids beyond the classes are 0 everywhere."""
    return (ids[:, None] == torch.arange(count, device=ids.device).view(1, -1, 1, 1)).float()


def _share_of_largest(depth: Tensor) -> Tensor:
    """Depth (N, 1, H, W) as a share of each image's largest."""
    return depth / (depth.amax((1, 2, 3), keepdim=True) + TINY)
