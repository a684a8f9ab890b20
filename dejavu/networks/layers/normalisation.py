"""Images as the pipeline gives them, in the range of values that a network was published with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...tasks.images import MEAN, STD


class Renormalise(nn.Module):
    """Images of ImageNet's mean and deviation to those of another `mean` and `std`, (N, 3, H, W).

    The default undoes the normalisation: values are in [0, 1] again.
    """

    offset: Tensor
    factor: Tensor

    def __init__(
        self, mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)
    ) -> None:
        super().__init__()
        offset = [(given - own) / scale for given, own, scale in zip(MEAN, mean, std, strict=True)]
        factor = [given / own for given, own in zip(STD, std, strict=True)]
        for name, values in (("offset", offset), ("factor", factor)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.addcmul(self.offset, images, self.factor)
