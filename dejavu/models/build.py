"""Base network of a run, and its DejaVu wrapper, with the initial weights of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .. import networks
from ..compute.random import seeded
from ..errors import DejavuError
from ..method.cycle import CyclicConsistency
from ..method.perceptual import Perceptual
from ..method.text import TextSupervision
from ..method.wrapper import DejaVu
from ..tasks.activation import two_classes

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

    A binary head has one output z, whose weights are exported. Here it returns the logits (0, z) of both
    classes, whose cross-entropy is the binary one and whose larger one is that above a probability of 0.5: so
    every loss, protocol and figure of two classes is right for it. Raises DejavuError where it cannot be.
    """
    binary, network = run.head == "binary", run.network
    if binary and num_channels != 2:
        raise DejavuError(
            f"experiments.{run.experiment}.head: binary is for 2 classes, and '{run.data.source}', which is "
            f"'{run.dataset}' at scale {run.scale}, has {num_channels}: leave it out"
        )
    if binary:
        num_channels, classes = 1, None if classes is None else classes[1:]
    options = {key: value for key, value in network.options.items() if pretrained or key != "pretrained"}
    built = networks.build(
        network.module, num_channels, width=network.width, depth=network.depth, classes=classes, **options
    )
    if binary:
        if callable(getattr(built, "criterion", None)):
            raise DejavuError(
                f"experiments.{run.experiment}.head: binary is one logit a pixel, and the network "
                f"'{run.network.name}' learns masks by a loss of its own: leave it out"
            )
        built.register_forward_hook(_both_classes)
    return built


def _both_classes(network: nn.Module, images: Any, output: Any) -> Any:
    """Return what a network of one logit returned, auxiliary outputs included, as logits of two classes."""
    if isinstance(output, Tensor):
        return two_classes(output)
    auxiliary = {name: two_classes(logit) for name, logit in output.get("auxiliary", {}).items()}
    return {**output, "out": two_classes(output["out"]), **({"auxiliary": auxiliary} if auxiliary else {})}


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
    term = method.perceptual
    if term.backbone:
        with seeded(0):  # of what is not needed: the backbone's weights are read
            fpn: Any = networks.build(term.backbone, 1, backbone=term.network, pretrained=term.weights)
        return Perceptual(network=nn.Sequential(fpn.unit, fpn.backbone), weight=term.weight)
    return Perceptual(term.weights if run.pretrained else None, width=run.frozen_width, weight=term.weight)


def _text(run: Run, method: Method, classes: Sequence[str]) -> TextSupervision | None:
    if method.text is None:
        return None
    options = method.text.model_dump(exclude=set() if run.pretrained else {"pretrained"})
    return TextSupervision(classes=classes, width=run.frozen_width, **options)
