"""params.yaml -> validated objects, or one sentence that says what is wrong with it.

The whole file is checked before any job starts.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from . import references
from .errors import DejavuError, nearest
from .schema import Params

LARGEST = 1_000_000
"""characters of a params.yaml; this project's has 53 thousand"""
DEEPEST = 100
"""lists and mappings in each other; below a few thousand libyaml runs out of stack, and Python crashes"""

PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$": "is no name: letters, digits, '_' and '-', at most 64, are needed",
    r"^https?://": "must begin with http:// or https://",
    r"^[0-9a-f]{64}$": "must be 64 hexadecimal digits, in lower case",
}
"""What the patterns of dejavu/schema want, in words."""


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml.

    Raises DejavuError: one sentence that names the file, the key and what would be right.
    """
    text = _read(path)
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        raise DejavuError(f"{path} is not valid YAML: {_yaml_reason(error)}") from None
    except RecursionError:
        raise DejavuError(f"{path} is nested deeper than {DEEPEST} levels") from None
    except ValueError as error:  # from Python, of a date or a number that is none
        raise DejavuError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(value, dict):
        raise DejavuError(f"{path} must be a mapping with the keys {', '.join(Params.model_fields)}")
    try:
        params = Params.model_validate(value)
        references.check(params)
    except RecursionError:
        raise DejavuError(f"{path} is nested deeper than {DEEPEST} levels") from None
    except ValidationError as error:
        raise DejavuError(f"{path}: {one_sentence(error)}") from None
    except ValueError as error:
        raise DejavuError(f"{path}: {error}") from None
    return params


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DejavuError(
            f"{path} is missing: run from the repository's root, or name the file with --params"
        ) from None
    except UnicodeDecodeError:
        raise DejavuError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise DejavuError(f"{path or 'params.yaml'} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise DejavuError(f"'{path}' is no file's name: {error}") from None


def _parse(text: str) -> Any:
    if len(text) > LARGEST:
        raise yaml.YAMLError(f"it has {len(text)} characters, and at most {LARGEST} are read")
    if _is_deep(text):
        raise RecursionError
    try:
        value = yaml.load(text, Loader=_FastLoader)
    except yaml.YAMLError:
        value = yaml.load(text, Loader=_StrictLoader)
    if _spelt_out(value, {}) > LARGEST:
        raise yaml.YAMLError(f"its aliases stand for more than {LARGEST} values, or for themselves")
    return value


def _spelt_out(value: Any, known: dict[int, float]) -> float:
    """How many values there are when each alias is replaced by what it stands for.

    >>> nine = ["x"] * 9
    >>> _spelt_out([nine, {"a": nine}], {})
    23.0
    """
    if not isinstance(value, list | dict):
        return 1.0
    if id(value) not in known:
        known[id(value)] = float("inf")  # until it is counted: what contains itself has no end
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = (
            1 + sum(_spelt_out(one, known) for one in inner) + len(value) * isinstance(value, dict)
        )
    return known[id(value)]


def _is_deep(text: str) -> bool:
    """Whether a text this short can be nested too deeply: by brackets, or by dashes in a line.

    >>> _is_deep("a: [{b: 1}]"), _is_deep("[" * 200), _is_deep("- " * 200)
    (False, True, True)
    """
    depth = 0
    for bracket in re.findall(r"[][{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            return True
    return re.search(rf"(?:[-?:]\s+){{{DEEPEST}}}", text) is not None


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


def one_sentence(error: ValidationError) -> str:
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
    if fault["type"] == "string_pattern_mismatch":
        where = ".".join(keys[:-2]) if keys[-1] == "[key]" else where
        message = PATTERNS.get(fault["ctx"]["pattern"], message)
    shown = _shown(value)
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
    return f"{where}: {shown} {message}{hint}"


def _shown(value: Any) -> str:
    """A value that is wrong, if it is short; else its type. Never spelt out: aliases can make it endless.

    >>> _shown([0, 0]), _shown(list(range(100)))
    ('[0, 0]', 'list')
    """
    bounded = reprlib.Repr()
    bounded.maxlevel, bounded.maxstring, bounded.maxother, bounded.maxlong = 3, 100, 100, 100
    text = bounded.repr(value)
    return text if len(text) < 80 and "..." not in text else type(value).__name__


def _is_branch(key: str) -> bool:
    """Whether pydantic means a branch of a union, such as 'constrained-float' or 'int', and no key."""
    return key in ("int", "float", "str", "bool", "Redaction", "KeepAspect") or key.startswith(
        ("constrained-", "tuple[", "function-")
    )
