"""Build the arguments of `DejaVu`, which may be names, mappings with options, or built objects."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from ..compute.random import seeded
from ..errors import DejavuError, is_number, nearest
from . import redaction as redactions
from . import regeneration
from .attention import SharedAttention, SharedRegeneration
from .redaction import Redaction
from .regeneration import CRM

DEFAULT_STRIDE = 4
SHARED_CHANNELS = 16  # channels that each head of a shared attention adds to the condition
Choice = str | Mapping[str, Any]
"""A name, or a mapping {name: ..., its options}."""


def build_redactions(
    value: Choice | Redaction | Sequence[Choice | Redaction], tasks: Sequence[str]
) -> tuple[list[Redaction], list[tuple[str, ...]]]:
    """Build one redaction or a list of them, each given by name, by a mapping or as a callable.

    Returns the redactions, and for each the tasks whose predictions condition its regeneration: those that
    the mapping names as its `tasks`, else all.
    """
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    chosen = list(value) if is_list else [value]  # type: ignore[arg-type]
    if not chosen:
        raise DejavuError("redaction must be one redaction or several, not an empty list")
    return [_redaction(item) for item in chosen], [_conditions(item, tasks) for item in chosen]


def _conditions(value: Any, tasks: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks that condition a redaction's regeneration."""
    given = value.get("tasks") if isinstance(value, Mapping) else None
    if given is None:
        return tuple(tasks)
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise DejavuError(f"redaction.tasks must be a list of tasks, not {given!r}")
    for task in given:
        if task not in tasks:
            raise DejavuError(
                f"redaction.tasks: the network has no task {task!r}, {nearest(str(task), tasks)}"
            )
    return tuple(given)


def _redaction(value: Any) -> Redaction:
    if isinstance(value, str | Mapping):
        name, options = _named("redaction", value)
        options.pop("tasks", None)
        return redactions.build(name, **options)
    if isinstance(value, type):
        raise DejavuError(f"redaction must be an object: {value.__name__}(), not the class {value.__name__}")
    if not callable(value):
        raise DejavuError(f"redaction must be a name, a mapping or a callable, not {value!r}")
    return value


def build_regenerator(value: Choice | CRM, channels: int, stride: int, seed: int) -> CRM:
    """Build the CRM for a condition of `channels`, or check that a built one fits."""
    if isinstance(value, str | Mapping):
        name, options = _named("regenerator", value)
        with seeded(seed):
            return regeneration.build(name, channels, stride, **options)
    if not isinstance(value, CRM):
        raise DejavuError(f"regenerator must be a name, a mapping or a CRM, not {value!r}")
    if value.condition_channels != channels:
        raise DejavuError(
            f"regenerator has condition_channels={value.condition_channels}, but the condition has "
            f"{channels}: num_classes of a semantic prediction (2 of one channel), 1 of depth, 3 of normals"
        )
    return value


def build_shared(attention: SharedAttention) -> SharedRegeneration:
    """Build the regenerating half of a network's attention."""
    heads = attention.heads
    return SharedRegeneration(SHARED_CHANNELS * heads, stride=attention.stride, heads=heads)


def _named(key: str, value: Choice) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    if "name" not in value:
        raise DejavuError(f"{key}.name is missing: a mapping names what it configures")
    return value["name"], {option: value[option] for option in value if option != "name"}


def stride_of(network: nn.Module) -> int:
    """Return the network's own `stride` if it has one above 1, else `DEFAULT_STRIDE`."""
    stride = getattr(network, "stride", None)
    return int(stride) if is_number(stride, whole=True) and stride > 1 else DEFAULT_STRIDE


def device_and_dtype(network: nn.Module) -> dict[str, Any]:
    """Return device and dtype of a network's first parameter, for the modules that are added to it."""
    for parameter in network.parameters():
        if parameter.is_floating_point():
            return {"device": parameter.device, "dtype": parameter.dtype}
    return {}


def choice(key: str, value: object, known: Collection[str]) -> None:
    """Raise DejavuError unless the value is one of the known ones."""
    if not isinstance(value, str) or value not in known:
        raise DejavuError(f"{key}: unknown {value!r}, {nearest(str(value), known)}")


def weight(gamma: object, warmup: object) -> None:
    """Raise DejavuError unless gamma and its warm-up are numbers in their ranges."""
    if not (is_number(gamma) and is_number(warmup)):
        raise DejavuError(f"gamma and warmup must be numbers, not {gamma!r} and {warmup!r}")
    if not (0 <= gamma < math.inf and 0 <= warmup <= 1):
        raise DejavuError(f"gamma must be at least 0 and warmup within 0 and 1, not {gamma} and {warmup}")


def switches(**values: object) -> None:
    """Raise DejavuError unless each value is a bool: the text "no" would count as true."""
    for key, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise DejavuError(f"{key} must be True or False, not {value!r}")


def instances(given: Mapping[str, object], kinds: Mapping[str, type]) -> None:
    """Raise DejavuError unless each value is None or an object of its kind."""
    for key, value in given.items():
        if value is not None and not isinstance(value, kinds[key]):
            raise DejavuError(f"{key} must be an object, such as {kinds[key].__name__}(...), not {value!r}")
