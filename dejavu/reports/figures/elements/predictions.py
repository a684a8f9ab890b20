"""Predictions of a pair of networks for images, and the images that DejaVu regenerates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....config import Params, Run
from ....config.paths import Paths
from ....errors import DejavuError
from ...pairs import Pair, evenly

if TYPE_CHECKING:
    import numpy as np

    from ....method.wrapper import DejaVu

FURTHER = 2  # pairs beside the first: with input and ground truth they fill its six columns


def choose(params: Params, scale: str, pairs: Sequence[Pair]) -> tuple[Pair, list[Pair]]:
    """Return the pair whose images are regenerated, and further pairs, evenly spaced.

    With shared attention, regeneration needs the network in training mode, so a pair without it is chosen.
    Raises DejavuError if there is none.
    """
    for first in pairs:
        if not _shares_attention(params.run(first.experiment, scale)):
            rest = [pair for pair in pairs if pair is not first]
            return first, [rest[index] for index in evenly(FURTHER, len(rest))]
    raise DejavuError(
        "figures: 'panel' shows regenerated images, and every pair's network has an attention that shares in "
        "regenerating: leave 'panel' out, or add a pair without attention"
    )


def _shares_attention(run: Run) -> bool:
    assert run.dejavu is not None
    return bool(run.network.options.get("attention")) and run.dejavu.share_attention is not False


def baseline(
    params: Params,
    scale: str,
    pair: Pair,
    images: Sequence[np.ndarray],
    classes: Sequence[str],
    things: Sequence[bool] = (),
) -> list[Any]:
    """Return predictions of the pair's base for images (H, W, 3), with the seed shown for the pair."""
    from ....models.load import load_network
    from ....tasks import channels

    run, seed = params.run(pair.base, scale), params.run(pair.experiment, scale).seeds[0]
    weights = Paths(scale).weights(run.experiment, seed)
    network = load_network(run, channels(run.task, len(classes)), weights, classes)
    return predictions(run, network, images, things)


def predictions(
    run: Run, network: object, images: Sequence[np.ndarray], things: Sequence[bool] = ()
) -> list[Any]:
    """Return predictions for images (H, W, 3) of any sizes, with the run's protocol."""
    from ....evaluation.predictor import Predictor

    predictor = Predictor(
        network,  # type: ignore[arg-type]
        run.task,
        run.protocol,
        crop=run.train.crop,
        align_corners=run.train.align_corners,
        things=things,
    )
    return [next(predictor.predict(image[None])) for image in images]


def regenerated(
    method: DejaVu, images: Sequence[np.ndarray], seed: int, redaction: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each image (H, W, 3) redacted and regenerated."""
    import numpy as np
    import torch

    from ....compute.random import generator
    from ....tasks.images import denormalise, normalise

    result = []
    with torch.inference_mode():
        for index, image in enumerate(images):
            inputs = normalise(torch.from_numpy(np.array(image))[None])
            numbers = generator(seed, "figure", index)
            pictures = method.regenerate(inputs, method(inputs), numbers, redaction)
            redacted, regenerated = (np.asarray(denormalise(picture))[0] for picture in pictures)
            result.append((redacted, regenerated))
    return result
