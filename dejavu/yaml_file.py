"""YAML that a person has written -> its value, or one sentence that says what is wrong with it.

Stricter than YAML: a key is given once, and is text. What would take all memory or crash Python is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import DejavuError

LARGEST = 1_000_000
"""characters of a file; this project's params.yaml has 53 thousand"""
DEEPEST = 100
"""lists and mappings in each other; below a few thousand libyaml runs out of stack, and Python crashes"""
TOO_DEEP = f"is nested deeper than {DEEPEST} levels"


def read_yaml(path: str | Path) -> Any:
    """The value of a YAML file.

    Raises DejavuError, one sentence that names the file, and FileNotFoundError where there is none.
    """
    try:
        return _parse(_text(path))
    except yaml.YAMLError as error:
        raise DejavuError(f"{path} is not valid YAML: {_reason(error)}") from None
    except RecursionError:
        raise DejavuError(f"{path} {TOO_DEEP}") from None
    except ValueError as error:  # from Python, of a date or a number that is none
        raise DejavuError(f"{path} is not valid YAML: {error}") from None


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError:
        raise DejavuError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise DejavuError(f"{path or 'the empty name'} cannot be read: {error.strerror}") from None
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


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{reason} (line {mark.line + 1})" if mark else reason
