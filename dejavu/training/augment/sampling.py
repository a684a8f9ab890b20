"""The order of images in an epoch."""

from __future__ import annotations

import numpy as np
import torch

from ...errors import DejavuError


def epoch_order(
    count: int,
    generator: torch.Generator,
    class_uniform: float = 0.0,
    presence: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of `count` images (count,), and for each the class that it was drawn for, or -1, both int64.

    Without `class_uniform` every image comes once. With it, that share of the images is drawn by class
    instead, each class that there is as often as the others, give or take one, and each of the images that
    contain it as likely; the rest is a random part of the images. `presence` (count, K), bool, says which
    image contains which class.

    After NVIDIA's semantic-segmentation, which counts tiles of images instead of images.

    Raises DejavuError where images are to be drawn by class and none contains any.
    """
    order = torch.randperm(count, generator=generator)
    if class_uniform == 0:
        return order.numpy(), np.full(count, -1)
    if presence is None or presence.shape[0] != count or not presence.any():
        found = "none" if presence is None else f"{list(presence.shape)}, {int(presence.sum())} of them true"
        raise DejavuError(
            f"class_uniform {class_uniform} needs to know which of {count} images contains which class, "
            f"and at least one that contains one: given is {found}"
        )
    by_class = round(class_uniform * count)
    classes = _evenly(torch.from_numpy(presence.any(0)).nonzero()[:, 0], by_class, generator)
    places = torch.rand(by_class, generator=generator, dtype=torch.float64).tolist()
    containing = {int(wanted): presence[:, wanted].nonzero()[0] for wanted in classes.unique()}
    drawn = [
        int(containing[wanted][int(place * len(containing[wanted]))])
        for wanted, place in zip(classes.tolist(), places, strict=True)
    ]
    images = torch.cat([order[: count - by_class], torch.tensor(drawn, dtype=torch.int64)])
    wanted = torch.cat([torch.full((count - by_class,), -1), classes])
    mixed = torch.randperm(count, generator=generator)
    return images[mixed].numpy(), wanted[mixed].numpy()


def _evenly(values: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` of the values, each as often as the others, give or take one: in random order, over again."""
    rounds = -(-count // len(values))
    shuffled = [values[torch.randperm(len(values), generator=generator)] for _ in range(rounds)]
    return torch.cat([values[:0], *shuffled])[:count]
