"""An experiment: one row that is trained and evaluated."""

from __future__ import annotations

from .method import Balance, Consistency, Method, MethodChanges
from .recipe import Overrides
from .scale import ALL
from .values import Head, Name, Section, Tasks


class _Row(Section):
    task: Tasks
    """The task, or a list of tasks of one network."""
    dataset: Name
    network: Name
    recipe: Name
    head: Head = "classes"
    """binary: of a dataset of two classes the network has one output, the logit of the second class."""
    protocol: Name = "whole"
    """The protocol of the evaluation."""
    train: Overrides = Overrides()
    """Keys of the recipe that this row changes."""
    balance: Balance | None = None
    """The weighting of the tasks' losses. Default: their sum."""
    consistency: Consistency | None = None
    """XTC, for multi-task rows."""
    base: Name | None = None
    """The row that this one is compared with."""


class ExperimentEntry(_Row):
    """An experiment as params.yaml has it."""

    budget: Name
    """The entry of `scales.<scale>.budget` that applies. DVC reads it here, so it has no default."""
    dejavu: MethodChanges | None = None
    """Makes this a DejaVu row: the keys that differ from the top-level `dejavu`, or {}."""


class Experiment(_Row):
    """An experiment with its whole method."""

    budget: Name = ALL
    dejavu: Method | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, one or more."""
        return (self.task,) if isinstance(self.task, str) else self.task
