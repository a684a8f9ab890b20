"""Reads params.yaml into validated objects, or reports its first error in one sentence.

The whole file is checked before any job starts.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import config
from ..errors import DejavuError, closest, spelling
from . import Params, cross_checks
from .file import ParamsFile
from .values import MODULE, NAME, NO_NAME
from .yaml import TOO_DEEP, read_yaml

PATTERNS = {
    NAME: NO_NAME,
    MODULE: "must be the name of a file in dejavu/networks, or package.module:function",
    r"^https?://": "must begin with http:// or https://",
    r"^[0-9a-f]{64}$": "must be 64 hexadecimal digits, in lower case",
}
"""The requirements of the patterns in values.py and data.py, in words."""


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml.

    Raises DejavuError: one sentence that names the file, the key and what would be right.
    """
    try:
        value = read_yaml(path)
    except FileNotFoundError:
        raise DejavuError(
            f"{path} is missing: run from the repository's root, or name the file with --params"
        ) from None
    if not isinstance(value, dict):
        raise DejavuError(f"{path} must be a mapping with the keys {', '.join(ParamsFile.model_fields)}")
    try:
        file = ParamsFile.model_validate(value)
        cross_checks.check_file(file)
        params = file.complete(Path(path).parent)
        cross_checks.check(params)
    except RecursionError:
        raise DejavuError(f"{path} {TOO_DEEP}") from None
    except ValidationError as error:
        raise DejavuError(f"{path}: {one_sentence(error)}") from None
    except ValueError as error:
        raise DejavuError(f"{path}: {error}") from None
    return params


def one_sentence(error: ValidationError) -> str:
    """Return the first error as 'key.path: what is wrong, what would be right'."""
    fault = error.errors()[0]
    # pydantic puts the branches of unions into the path: these are not keys of the file.
    keys = [str(key) for key in fault["loc"] if not _is_branch(str(key))]
    where = ".".join(keys)
    value = fault.get("input")
    if fault["type"] == "value_error":
        return f"{where + ': ' if where else ''}{str(fault['ctx']['error'])}"
    if fault["type"] == "missing":
        return f"{where} is missing"
    message = fault["msg"].removeprefix("Input ").replace("Value error, ", "")
    if fault["type"] in WORDS:
        message = WORDS[fault["type"]].format(**fault.get("ctx", {}))
    if fault["type"] == "string_pattern_mismatch":
        where = ".".join(keys[:-2]) if keys[-1] == "[key]" else where
        message = PATTERNS.get(fault["ctx"]["pattern"], message)
    return f"{where}: {_shown(value)} {message}{_hint(fault)}"


WORDS = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be a mapping of keys",
    "model_type": "should be a mapping of keys",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "too_short": "should have at least {min_length} items, not {actual_length}",
    "too_long": "should have at most {max_length} items, not {actual_length}",
}
"""What pydantic says in Python's words, in YAML's."""
KINDS = {"int": int, "float": float, "bool": bool, "string": str}
"""What pydantic's names of faults begin with, and the kind of the right value."""


def _hint(fault: Any) -> str:
    """Return how the intended value is written, or the nearest name; '' where neither is known."""
    value, type_ = fault.get("input"), fault["type"]
    kind = KINDS.get(type_.partition("_")[0])
    if kind is not None and (kind is not str or type_ == "string_type"):
        return spelling(value, kind)
    if type_ == "tuple_type" and isinstance(value, str):
        numbers = re.findall(r"[0-9.]+", value)
        return f" (write [{', '.join(numbers) if len(numbers) > 1 else value}])" if len(value) < 40 else ""
    if type_ == "model_type":
        return _as_section(value, fault["ctx"]["class_name"])
    if type_ == "literal_error":
        known = [choice.strip("'") for choice in fault["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        close = closest(value, known)
        return f" (did you mean '{close}'?)" if close else ""
    return ""


def _as_section(value: Any, section: str) -> str:
    """Return how a section is written whose name, or whose only value, stands in its place."""
    if section == "KeepAspect":
        return ", as {short: 640, long: 2560}, or a list of height and width, as [96, 128]"
    fields = getattr(getattr(config, section, None), "model_fields", ())
    named = isinstance(value, str) and re.fullmatch(NAME, value) and "name" in fields
    return f" (write {{name: {value}}} and its options)" if named else ""


def _shown(value: Any) -> str:
    """Return a wrong value if it is short, else its type.

    It is never expanded: aliases can make a value endless.

    >>> _shown([0, 0]), _shown(list(range(100)))
    ('[0, 0]', 'list')
    """
    bounded = reprlib.Repr()
    bounded.maxlevel, bounded.maxstring, bounded.maxother, bounded.maxlong = 3, 100, 100, 100
    text = bounded.repr(value)
    return text if len(text) < 80 and "..." not in text else type(value).__name__


def _is_branch(key: str) -> bool:
    """Return True for a union's branch in pydantic's path ('constrained-float', 'int'), False for a key."""
    return key in ("int", "float", "str", "bool", "Redaction", "KeepAspect") or key.startswith(
        ("constrained-", "tuple[", "dict[", "function-")
    )
