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
    """Draw the order of `count` images (count,), and the class that each was drawn for, or -1, both int64.

    Without `class_uniform` every image comes once. With it, that share of the images is drawn by class
    instead: all classes that occur equally often, up to one, and all images of a class equally likely. The
    rest is a random subset of the images. `presence` (count, K), bool, is True where an image contains a
    class.

    This follows NVIDIA's semantic-segmentation, which counts tiles of images instead of images.

    Raises DejavuError where images are to be drawn by class and none contains any.
    """
    order = torch.randperm(count, generator=generator)
    if class_uniform == 0:
        return order.numpy(), np.full(count, -1)
    if presence is None or presence.shape[0] != count or not presence.any():
        given = "none" if presence is None else f"{list(presence.shape)}, {int(presence.sum())} of them true"
        raise DejavuError(
            f"class_uniform {class_uniform} needs to know which of {count} images contains which class, "
            f"and at least one that contains one: given is {given}"
        )
    by_class = round(class_uniform * count)
    classes = _evenly(torch.from_numpy(presence.any(0)).nonzero()[:, 0], by_class, generator)
    positions = torch.rand(by_class, generator=generator, dtype=torch.float64).tolist()
    containing = {int(wanted): presence[:, wanted].nonzero()[0] for wanted in classes.unique()}
    drawn = [
        int(containing[wanted][int(position * len(containing[wanted]))])
        for wanted, position in zip(classes.tolist(), positions, strict=True)
    ]
    images = torch.cat([order[: count - by_class], torch.tensor(drawn, dtype=torch.int64)])
    wanted = torch.cat([torch.full((count - by_class,), -1), classes])
    mixed = torch.randperm(count, generator=generator)
    return images[mixed].numpy(), wanted[mixed].numpy()


def half_labelled_order(known: np.ndarray, batch_size: int, generator: torch.Generator) -> np.ndarray:
    """Draw the images of an epoch's batches so that half of each batch, rounded down, have labels.

    Within an epoch all images with labels come equally often, up to one; so do those without. An epoch has as
    many batches as with all labels: (number of images // batch_size * batch_size,), int64, images with labels
    first in every batch.

    Args:
        known: (count,) bool, the images that have labels.
        batch_size: at least 2.
        generator: of the epoch.
    """
    batches, half = len(known) // batch_size, batch_size // 2
    rows = []
    for images, each in ((known, half), (~known, batch_size - half)):
        numbers = torch.from_numpy(images.nonzero()[0])
        rows.append(_evenly(numbers, batches * each, generator).view(batches, each))
    return torch.cat(rows, 1).flatten().numpy()


def order_beside_unlabelled(
    labelled: tuple[np.ndarray, np.ndarray], more: int, size: int, batches: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the images of an epoch so that every second one of each batch has no labels.

    So half of what each process has of a batch, rounded down, have labels. Within an epoch all images without
    labels come equally often, up to one.

    Args:
        labelled: an epoch's order of the images with labels, and the class that each was drawn for; the first
            ones are used.
        more: number of images without labels, which are numbered behind those with.
        size: images of a batch.
        batches: of an epoch.

    Returns the order and the classes, -1 without one, both (batches * size,) int64.
    """
    count, half = len(labelled[0]), size // 2
    behind = _evenly(torch.arange(count, count + more), batches * (size - half), generator).numpy()
    order, classes = np.empty((batches, size), np.int64), np.full((batches, size), -1)
    odd = np.arange(size) % 2 == 1
    order[:, ~odd] = behind.reshape(batches, -1)
    for result, values in zip((order, classes), labelled, strict=True):
        result[:, odd] = values[: batches * half].reshape(batches, half)
    return order.ravel(), classes.ravel()


def _evenly(values: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Repeat the values in random orders up to `count`: all equally often, up to one."""
    rounds = -(-count // len(values))
    shuffled = [values[torch.randperm(len(values), generator=generator)] for _ in range(rounds)]
    return torch.cat([values[:0], *shuffled])[:count]
