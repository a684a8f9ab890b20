"""Coarser labels for early layers (HS3, Borse et al., BMVC 2021): a class counts as its category.

The paper finds its coarse classes by clustering confusions; here they are the dataset's own categories, such
as the seven groups of Cityscapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import DejavuError


class Categories(nn.Module):
    """The category of each class.

    Args:
        names: for each of the K classes the name of its category.

    >>> Categories(["flat", "flat", "vehicle"]).names
    ['flat', 'vehicle']
    """

    of_class: Tensor

    def __init__(self, names: Sequence[str], num_classes: int | None = None) -> None:
        super().__init__()
        if num_classes is not None and len(names) != num_classes:
            raise DejavuError(
                f"categories has {len(names)} names for a dataset of {num_classes} classes: one a class"
            )
        self.names = list(dict.fromkeys(names))  # in the order of their first classes
        numbers = [self.names.index(name) for name in names]
        self._classes = [[k for k, own in enumerate(numbers) if own == n] for n in range(len(self.names))]
        self.register_buffer("of_class", torch.tensor(numbers), persistent=False)

    def logits(self, logits: Tensor) -> Tensor:
        """Join logits of classes (N, K, H, W) to those of categories (N, C, H, W); their softmaxes add up."""
        by_class = logits.unbind(1)
        return torch.stack(
            [torch.stack([by_class[k] for k in own], 1).logsumexp(1) for own in self._classes], 1
        )

    def labels(self, labels: Tensor, ignore_index: int) -> Tensor:
        """Map labels of classes (N, H, W) to labels of categories; ignored pixels stay ignored."""
        valid = labels != ignore_index
        return self.of_class[labels.where(valid, 0)].where(valid, ignore_index)
