"""One experiment at one scale, with everything resolved."""

from __future__ import annotations

from typing import Any

from .. import registry
from ..errors import DejavuError
from .data import DataSource, Source
from .method import Balance, Consistency, Method
from .recipe import BESIDE, Protocol, Recipe
from .values import Head, Options, Section, Tasks

FORMAT = 2
"""version of the metrics files' keys, and of the keys of `Run.as_dict` in them"""


class RunNetwork(Section):
    """A network with its size at one scale."""

    name: str
    module: str
    options: Options
    width: float
    depth: float = 1.0


class Run(Section):
    """One experiment at one scale, with everything resolved: all that a job depends on."""

    experiment: str
    scale: str
    seeds: tuple[int, ...]
    task: Tasks
    head: Head = "classes"
    dataset: str
    base: str | None
    data: DataSource
    source: Source
    network: RunNetwork
    pretrained: bool
    frozen_width: float
    gpus: int = 1
    """Processes, one a GPU, that share each batch; 1 is plain training."""
    train: Recipe
    protocol: Protocol = Protocol()
    balance: Balance | None = None
    consistency: Consistency | None = None
    dejavu: Method | None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, one or more."""
        return (self.task,) if isinstance(self.task, str) else self.task

    @property
    def protocol_fault(self) -> str | None:
        """One sentence on a protocol that averages scores which the network does not return; None without."""
        if self.protocol.average == "scores" and not registry.returns_log_scores(self.network.module):
            return (
                f"protocol: average scores is for logits that are logarithms of class scores, as "
                f"mask2former's, and '{self.network.module}' has others: leave it out"
            )
        return None

    @property
    def reads_text(self) -> bool:
        """Return whether it has DejaVu-TS, which compares images with captions or prompts."""
        return self.dejavu is not None and self.dejavu.text is not None

    def chosen(self, seed: int | None) -> tuple[int, ...]:
        """Return all seeds, or only the one of `--seed`. Raises DejavuError if it is not one of them."""
        if seed is None:
            return self.seeds
        if seed not in self.seeds:
            raise DejavuError(
                f"--seed {seed} is not one of {self.experiment}'s seeds at scale {self.scale} "
                f"({', '.join(map(str, self.seeds))}): add it to scales.{self.scale}.seeds in params.yaml"
            )
        return (seed,)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: all that the run's numbers depend on.

        The numbers do not depend on the size for costs or the folder of the images, and on images without
        labels only where the run has them. Pretrained
        weights are in the network's options; both keys matter where a loss has a frozen network. The usual
        `head`, the usual network of a perceptual term and others are left out, so that files that are older
        than these keys stay valid.
        """
        without: dict[str, Any] = {"source": {"cost_input", "folder", "unlabelled"}}
        if self.train.labelled != BESIDE:
            without |= {"data": {"unlabelled"}}
        if self.head == "classes":
            without |= {"head": True}
        if self.train.optimizer.layer_decay == 1:
            without |= {"train": {"optimizer": {"layer_decay"}}}
        if self.protocol.average == "logits":
            without |= {"protocol": {"average"}}
        if self.dejavu is None or (self.dejavu.text is None and self.dejavu.perceptual is None):
            without |= {"pretrained": True, "frozen_width": True}
        elif self.dejavu.perceptual is not None and not self.dejavu.perceptual.backbone:
            without |= {"dejavu": {"perceptual": {"network"}}}
        return self.model_dump(mode="json", exclude=without)
