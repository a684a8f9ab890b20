"""Base network of a run, and its DejaVu wrapper, with the initial weights of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from .. import networks
from ..errors import DejavuError
from ..method.cycle import CyclicConsistency
from ..method.perceptual import Perceptual
from ..method.text import TextSupervision
from ..method.wrapper import DejaVu

if TYPE_CHECKING:
    from ..config import Method, Run

BUILT = {"redaction", "perceptual", "text", "cycle", "share_attention"}
"""Keys of `dejavu` in params.yaml that `DejaVu` does not receive unchanged."""


def build_network(
    run: Run,
    num_channels: int | Mapping[str, int],
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
) -> nn.Module:
    """Build the run's base network at its scale's width, with the run's initial weights.

    `num_channels`: output channels of one task, or of each task by its name (`tasks.channels`).

    `pretrained=False` loads no pretrained weights; use it if other weights are loaded afterwards.
    """
    network = run.network
    options = {key: value for key, value in network.options.items() if pretrained or key != "pretrained"}
    return networks.build(
        network.module, num_channels, width=network.width, depth=network.depth, classes=classes, **options
    )


def build_method(run: Run, network: nn.Module, classes: Sequence[str], seed: int = 0) -> DejaVu:
    """Wrap the run's network in its redaction, regenerator and losses; `classes` are the dataset's."""
    method = run.dejavu
    if method is None:
        raise DejavuError(f"experiment '{run.experiment}' is a baseline: it has no 'dejavu' in params.yaml")
    options = method.model_dump(exclude=BUILT)  # DejaVu's own arguments, by the same names
    return DejaVu(
        network,
        task=run.tasks,
        num_classes=len(classes),
        redaction=[redaction.model_dump() for redaction in method.redactions],
        perceptual=_perceptual(run, method),
        text=_text(run, method, classes),
        cycle=None if method.cycle is None else CyclicConsistency(**method.cycle.model_dump()),
        share_attention=method.share_attention is not False,
        seed=seed,
        **options,
    )


def _perceptual(run: Run, method: Method) -> Perceptual | None:
    if method.perceptual is None:
        return None
    options = method.perceptual.model_dump(exclude=set() if run.pretrained else {"weights"})
    return Perceptual(width=run.frozen_width, **options)


def _text(run: Run, method: Method, classes: Sequence[str]) -> TextSupervision | None:
    if method.text is None:
        return None
    options = method.text.model_dump(exclude=set() if run.pretrained else {"pretrained"})
    return TextSupervision(classes=classes, width=run.frozen_width, **options)
