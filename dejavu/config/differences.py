"""What a row changes: against its base and the default method, as keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .method import Method

if TYPE_CHECKING:
    from .experiment import Experiment
    from .params import Params

UNCHANGED = ("base", "dejavu", "budget", "recipe")
"""keys that name another entry of params.yaml, and are no change of what is learnt by themselves"""


def differences(params: Params, name: str) -> dict[str, Any]:
    """Return what an experiment changes, by key ('train.labelled', 'dejavu.gamma').

    A row with a base is compared with it, and its method with the top-level `dejavu`. A row without a base is
    compared with a row that has nothing but the required keys. A value of None is the default.
    """
    row = params.experiments[name]
    base = _values(params.experiments[row.base]) if row.base in params.experiments else {}
    changed = _changed(_values(row) if base else _optional(row), base)
    if row.dejavu is not None:
        changed |= _method(row.dejavu, params)
    return changed


def _values(row: Experiment) -> dict[str, Any]:
    values: dict[str, Any] = row.model_dump(mode="json", exclude={*UNCHANGED})
    return values | {"train": row.train.model_dump(mode="json", exclude_unset=True)}


def _optional(row: Experiment) -> dict[str, Any]:
    """Return the keys that a row need not have, where they have other values than the default."""
    fields = type(row).model_fields
    return {
        key: value
        for key, value in _values(row).items()
        if not fields[key].is_required() and getattr(row, key) != fields[key].get_default()
    }


def _method(method: Method, params: Params) -> dict[str, Any]:
    default = {key: field.get_default() for key, field in Method.model_fields.items()}
    default |= params.dejavu.model_dump(mode="json", exclude_unset=True)
    ours = method.model_dump(mode="json")
    return {f"dejavu.{key}": value for key, value in _changed(ours, default).items()}


def _changed(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the values that differ; of two mappings with the same name the options that do."""
    changed: dict[str, Any] = {}
    for key, value in ours.items():
        other = theirs.get(key)
        if value == other:
            continue
        if isinstance(value, dict) and (key == "train" or _named_alike(value, other)):
            inner = other if isinstance(other, dict) else {}
            options = {**inner, **value}
            changed |= {f"{key}.{one}": value.get(one) for one in options if value.get(one) != inner.get(one)}
        else:
            changed[key] = value
    return changed


def _named_alike(value: dict[str, Any], other: Any) -> bool:
    return isinstance(other, dict) and "name" in value and value["name"] == other.get("name")
