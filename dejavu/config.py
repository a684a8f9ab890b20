"""params.yaml -> validated objects, or one sentence that says what is wrong with it.

The whole file is checked before any job starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from . import references
from .errors import DejavuError, nearest
from .schema import Params


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml.

    Raises DejavuError: one sentence that names the file, the key and what would be right.
    """
    try:
        value = _parse(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DejavuError(
            f"{path} is missing: run from the repository's root, or name the file with --params"
        ) from None
    except UnicodeDecodeError:
        raise DejavuError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise DejavuError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise DejavuError(f"{path} is not valid YAML: {_yaml_reason(error)}") from None
    if not isinstance(value, dict):
        raise DejavuError(f"{path} must be a mapping with the keys {', '.join(Params.model_fields)}")
    try:
        params = Params.model_validate(value)
        references.check(params)
    except ValidationError as error:
        raise DejavuError(f"{path}: {_one_sentence(error)}") from None
    except ValueError as error:
        raise DejavuError(f"{path}: {error}") from None
    return params


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_FastLoader)
    except yaml.YAMLError:
        return yaml.load(text, Loader=_StrictLoader)


class _Strict:
    """Refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self: Any, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return yaml.SafeLoader.construct_mapping(self, node, deep=deep)


class _StrictLoader(_Strict, yaml.SafeLoader):
    """PyYAML's own loader: slow, and with the better messages."""


class _FastLoader(_Strict, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's, where PyYAML was built with it: every command and job pays for this."""


def _yaml_reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{reason} (line {mark.line + 1})" if mark else reason


def _one_sentence(error: ValidationError) -> str:
    """The first fault, as 'key.path: what is wrong, what would be right'."""
    fault = error.errors()[0]
    # pydantic names the branch of a union in the path: those are not keys of the file.
    keys = [str(key) for key in fault["loc"] if not _is_branch(str(key))]
    where = ".".join(keys)
    value = fault.get("input")
    if fault["type"] == "value_error":
        return f"{where + ': ' if where else ''}{str(fault['ctx']['error'])}"
    if fault["type"] == "missing":
        return f"{where} is missing"
    message = fault["msg"].removeprefix("Input ").replace("Value error, ", "")
    if fault["type"] == "model_type":
        message = "should be a mapping of keys"
    shown = repr(value) if len(repr(value)) < 80 else type(value).__name__
    hint = ""
    if isinstance(value, str) and fault["type"].startswith(("float", "int")):
        try:
            number = repr(float(value))  # YAML wants a point in what has an exponent
            number = number if "." in number or "e" not in number else number.replace("e", ".0e")
            hint = f" (write {number}: YAML reads {value} as text)"
        except ValueError:
            hint = ""
    elif isinstance(value, str) and fault["type"] == "literal_error":
        known = [part.strip("'") for part in fault["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        hint = f" ({nearest(value, known)})"
    elif fault["type"] == "string_pattern_mismatch" and where.endswith("[key]"):
        hint = " (a name: letters, digits, '_' and '-')"
    return f"{where}: {shown} {message}{hint}"


def _is_branch(key: str) -> bool:
    """Whether pydantic means a branch of a union, such as 'constrained-float' or 'int', and no key."""
    return key in ("int", "float", "str", "bool", "Redaction") or key.startswith(
        ("constrained-", "tuple[", "function-")
    )
