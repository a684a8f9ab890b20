"""The text of each image in a step: one of its captions, drawn anew in each epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..compute.random import generator


def drawn(captions: Sequence[Sequence[str]], chosen: np.ndarray, seed: int, epoch: int) -> list[str]:
    """Return one caption of each of the `chosen` images (n,), all of an image's equally likely.

    It depends on nothing but the arguments: rows of one seed have the same texts, and a killed run goes on
    with those that it would have had. An image that comes twice in an epoch has one text there.

    captions: of all images of the training set; images numbered behind them have none, and get ''.
    """
    numbers = torch.rand(len(captions), generator=generator(seed, "captions", epoch), dtype=torch.float64)
    texts = []
    for image in chosen.tolist():
        its = captions[image] if image < len(captions) else ("",)
        texts.append(its[int(float(numbers[image]) * len(its))] if len(its) > 1 else its[0])
    return texts
