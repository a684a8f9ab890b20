"""One experiment at one scale, with everything resolved."""

from __future__ import annotations

from typing import Any

from ..errors import DejavuError
from .data import Part, Source
from .method import Balance, Consistency, Method
from .recipe import Protocol, Recipe
from .values import Options, Section, Tasks


class RunNetwork(Section):
    """A network as one scale builds it."""

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
    dataset: str
    base: str | None
    data: Part
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
        """What is predicted, one or several."""
        return (self.task,) if isinstance(self.task, str) else self.task

    def chosen(self, seed: int | None) -> tuple[int, ...]:
        """All seeds, or the one that `--seed` names. Raises DejavuError where that is none of them."""
        if seed is None:
            return self.seeds
        if seed not in self.seeds:
            raise DejavuError(
                f"--seed {seed} is not one of {self.experiment}'s seeds at scale {self.scale} "
                f"({', '.join(map(str, self.seeds))}): add it to scales.{self.scale}.seeds in params.yaml"
            )
        return (seed,)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what the run depends on.

        Where costs are counted is no part of that, nor parts of the method that the run does not have.
        """
        without: dict[str, Any] = {"source": {"cost_input", "folder"}}
        if self.dejavu is None or (self.dejavu.text is None and self.dejavu.perceptual is None):
            without |= {"pretrained": True, "frozen_width": True}
        if self.dejavu is not None:
            without["dejavu"] = {key for key, value in self.dejavu if value is None}
        # What came later and says nothing is left out: results of before it remain those of their run.
        without["train"] = _unsaid(self.train, LATER) | {
            "optimizer": _unsaid(self.train.optimizer, LATER),
            "schedule": _unsaid(self.train.schedule, LATER),
        }
        for key in ("balance", "consistency"):
            if getattr(self, key) is None:
                without[key] = True
        if self.gpus == 1:
            without["gpus"] = True
        without["network"] = _unsaid(self.network, LATER)
        if self.protocol == Protocol():
            without["protocol"] = True
        else:
            without["protocol"] = {
                key for key in ("fit", "depth", "panoptic") if getattr(self.protocol, key) is None
            }
        return self.model_dump(mode="json", exclude=without)


LATER = frozenset(
    (
        *("depth", "iterations", "photometric", "cat_max_ratio", "class_uniform", "align_corners", "ohem"),
        *("rmi", "auxiliary", "coarse", "backbone", "head", "decay_norms", "clip"),
        *("scale_choices", "labelled", "every", "factor", "at", "sync_norm"),
    )
)


def _unsaid(section: Section, keys: frozenset[str]) -> dict[str, Any]:
    """Those of the keys that have their default's value, to be excluded."""
    fields = type(section).model_fields
    return {key: True for key in keys & fields.keys() if getattr(section, key) == fields[key].default}
