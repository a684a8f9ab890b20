"""A scale: the data, the size of the networks, and the length of the trainings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from .data import DataSource
from .recipe import Budget
from .values import Flag, Name, Section, Seed, Width

ALL = "all"
"""The name of the budget that applies to all experiments; others replace its values."""


class Scale(Section):
    """The data, sizes and lengths of all experiments at one scale."""

    name: Name
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    width: Width
    """Width of the networks, as a share of their full width."""
    depth: Width = 1.0
    """Depth of the networks: the share of each stage's blocks that is kept, at least one block."""
    pretrained: Flag = False
    """true: networks start from their `pretrained` weights, which are of full size. A budget may differ."""
    frozen_width: Width = 1.0
    """Width of the frozen networks in losses (CLIP, VGG). Below 1 they have random weights."""
    data: dict[Name, DataSource]
    """For each dataset: the source, number and size of its images."""
    budget: dict[Name, Budget] = {}
    """Changes of the recipes, by the `budget` of an experiment; `all` applies first, to every experiment."""

    @model_validator(mode="after")
    def _pretrained_is_full_width(self) -> Scale:
        for name in self.budget or (ALL,):
            if self.value(name, "pretrained", self.pretrained):
                sizes = {self.value(name, key, getattr(self, key)) for key in ("width", "depth")}
                if self.pretrained:  # the frozen networks of losses, too
                    sizes.add(self.frozen_width)
                if sizes != {1.0}:
                    raise ValueError(
                        "pretrained weights exist at full size only: set width, depth and frozen_width to "
                        f"1.0 or pretrained to false (budget {name})"
                    )
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Scale:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ from each other, not {list(self.seeds)}")
        for name, budget in self.budget.items():
            if (budget.seeds or 1) > len(self.seeds):
                raise ValueError(
                    f"budget.{name}.seeds must be at most {len(self.seeds)}, the seeds of the scale, "
                    f"not {budget.seeds}"
                )
        return self

    def layers(self, budget: str) -> list[Budget]:
        """The budgets that apply to an experiment, the later over the earlier."""
        return [self.budget[name] for name in dict.fromkeys((ALL, budget)) if name in self.budget]

    def value(self, budget: str, key: str, default: Any) -> Any:
        """Return the last value of a key that a budget's layers give and that is not null, else `default`."""
        given = [getattr(layer, key) for layer in self.layers(budget) if key in layer.model_fields_set]
        return next((value for value in reversed(given) if value is not None), default)
