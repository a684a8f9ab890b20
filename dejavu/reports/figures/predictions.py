"""What the panel of segmentation shows: predictions of pairs of networks, one pair's regenerated images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...config import Params, Run
from ...config.paths import Paths
from ...errors import DejavuError
from ..pairs import Pair, evenly

if TYPE_CHECKING:
    import numpy as np

    from ...datasets.prepared.store import Split
    from ...method.wrapper import DejaVu
    from .panel import Block

IMAGES = 4
FURTHER = 2  # pairs beside the first: with input and ground truth they fill its six columns
FIRST = ("input", "ground truth", "baseline", "DejaVu", "redacted", "regenerated")


@dataclass(frozen=True)
class Shown:
    """The images of a panel, each of its own size: (H, W, 3) uint8, and their classes (H, W) uint8."""

    names: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]


def choose(params: Params, scale: str, pairs: Sequence[Pair]) -> tuple[Pair, list[Pair]]:
    """The pair whose images are regenerated, and further ones, evenly chosen.

    With shared attention regeneration needs the network in training mode, so another pair is taken for it.
    Raises DejavuError where there is none.
    """
    for first in pairs:
        if not _shares_attention(params.run(first.experiment, scale)):
            rest = [pair for pair in pairs if pair is not first]
            return first, [rest[place] for place in evenly(FURTHER, len(rest))]
    raise DejavuError(
        "figures: 'panel' shows regenerated images, and every pair's network has an attention that shares in "
        "regenerating: leave 'panel' out, or add a pair without attention"
    )


def _shares_attention(run: Run) -> bool:
    assert run.dejavu is not None
    return bool(run.network.options.get("attention")) and run.dejavu.share_attention is not False


def shown(split: Split) -> Shown:
    """Evenly spaced images; their labels at the images' size, whatever the files' is."""
    import numpy as np

    from ...datasets.prepared.sizes import nearest

    places = evenly(IMAGES, len(split.images))
    images = [np.asarray(split.images[place]) for place in places]
    labels = [
        nearest(split.labels[place], image.shape[:2]) for place, image in zip(places, images, strict=True)
    ]
    return Shown([split.names[place] for place in places], images, labels)


def first_block(params: Params, scale: str, pair: Pair, images: Shown, classes: Sequence[str]) -> Block:
    """Predictions of both networks, and the redacted and regenerated images."""
    from ...models.load import load_method
    from .panel import Block

    paired, paths = params.run(pair.experiment, scale), Paths(scale)
    seed = paired.seeds[0]
    weights, regenerator = paths.weights(pair.experiment, seed), paths.regenerator(pair.experiment, seed)
    method = load_method(paired, classes, weights, regenerator)
    plain = baseline(params, scale, pair, images.images, classes)
    ours = predictions(paired, method.network, images.images)
    pictures = regenerated(method, images.images, seed)
    rows = [
        [image, label, before, after, *regeneration]
        for image, label, before, after, regeneration in zip(
            images.images, images.labels, plain, ours, pictures, strict=True
        )
    ]
    return Block(FIRST, images.names, rows, [("", 2), (pair.title, 4)])


def further_block(
    params: Params, scale: str, pairs: Sequence[Pair], images: Shown, classes: Sequence[str]
) -> Block:
    """Predictions of further pairs for the same images."""
    from ...models.load import load_network
    from ...tasks import channels
    from .panel import Block

    columns = [images.images, images.labels]
    for pair in pairs:
        run = params.run(pair.experiment, scale)
        weights = Paths(scale).weights(run.experiment, run.seeds[0])
        network = load_network(run, channels(run.task, len(classes)), weights, classes)
        columns.append(baseline(params, scale, pair, images.images, classes))
        columns.append(predictions(run, network, images.images))
    names = (*FIRST[:2], *FIRST[2:4] * len(pairs))
    groups = [("", 2), *((pair.title, 2) for pair in pairs)]
    return Block(names, images.names, list(zip(*columns, strict=True)), groups)


def baseline(
    params: Params,
    scale: str,
    pair: Pair,
    images: Sequence[np.ndarray],
    classes: Sequence[str],
    things: Sequence[bool] = (),
) -> list[Any]:
    """What the pair's base says of images (H, W, 3), trained with the seed that is shown of the pair."""
    from ...models.load import load_network
    from ...tasks import channels

    run, seed = params.run(pair.base, scale), params.run(pair.experiment, scale).seeds[0]
    weights = Paths(scale).weights(run.experiment, seed)
    network = load_network(run, channels(run.task, len(classes)), weights, classes)
    return predictions(run, network, images, things)


def predictions(
    run: Run, network: object, images: Sequence[np.ndarray], things: Sequence[bool] = ()
) -> list[Any]:
    """What `predict` says of images (H, W, 3) of any sizes, as the run's protocol asks."""
    from ...evaluation.protocols import predict

    recipe = run.train
    return [
        next(
            predict(
                network,  # type: ignore[arg-type]
                image[None],
                run.task,
                protocol=run.protocol,
                crop=recipe.crop,
                align_corners=recipe.align_corners,
                things=things,
            )
        )
        for image in images
    ]


def regenerated(
    method: DejaVu, images: Sequence[np.ndarray], seed: int, redaction: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What a redaction left of each image (H, W, 3), and what was regenerated from it."""
    import numpy as np
    import torch

    from ...compute.random import generator
    from ...tasks.images import denormalise, normalise

    found = []
    with torch.inference_mode():
        for place, image in enumerate(images):
            inputs = normalise(torch.from_numpy(np.array(image))[None])
            numbers = generator(seed, "figure", place)
            pictures = method.regenerate(inputs, method(inputs), numbers, redaction)
            redacted, regenerated = (np.asarray(denormalise(picture))[0] for picture in pictures)
            found.append((redacted, regenerated))
    return found
