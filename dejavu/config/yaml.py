"""YAML that a person has written -> its value, or one sentence that says what is wrong with it.

Stricter than YAML: a key is given once, and is text. What would take all memory or crash Python is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import DejavuError

LARGEST = 1_000_000
"""characters of a file; this project's params.yaml has 53 thousand"""
DEEPEST = 100
"""lists and mappings in each other; below a few thousand libyaml runs out of stack, and Python crashes"""
DIGITS = 4000
"""of a whole number; Python prints none of more than 4,300"""
BEYOND = 10**DIGITS
TOO_MANY = f"its aliases stand for more than {LARGEST} values, or for themselves"
TOO_DEEP = f"is nested deeper than {DEEPEST} levels"
MERGE = "tag:yaml.org,2002:merge"


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
    except (AttributeError, LookupError, TypeError):  # from PyYAML, of `!!bool maybe`
        raise DejavuError(
            f"{path} is not valid YAML: it has a value that is not what its tag (!!) says"
        ) from None


def _text(path: str | Path) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(LARGEST + 1)  # a device or a pipe may have no end
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
        raise yaml.YAMLError(f"it has more than {LARGEST} characters")
    if _is_deep(text):
        raise RecursionError
    try:
        value = yaml.load(text, Loader=_FastLoader)
    except yaml.YAMLError:
        value = yaml.load(text, Loader=_StrictLoader)
    if _spelt_out(value, {}) > LARGEST:
        raise yaml.YAMLError(TOO_MANY)
    return value


def _spelt_out(value: Any, known: dict[int, float]) -> float:
    """How many values there are when each alias is replaced by what it stands for.

    >>> nine = ["x"] * 9
    >>> _spelt_out([nine, {"a": nine}], {}), _spelt_out([("a", nine)], {})  # !!pairs and !!omap are tuples
    (23.0, 13.0)
    """
    if not isinstance(value, list | tuple | dict):
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
    """Refuses a key given twice, of which YAML would silently keep the last, sets, and what is endless."""

    merged = 0
    """keys that `<<` has brought into mappings"""

    def flatten_mapping(self: Any, node: Any) -> None:
        """What PyYAML does to each mapping before it makes it, and to one that is merged before that.

        Its keys are looked at the first time only: later those that were merged are among them.
        """
        if getattr(node, "flat", False):
            return
        node.flat = True
        self.refuse_keys(node)
        for key, value in node.value:
            if key.tag == MERGE:
                for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(one, yaml.MappingNode):
                        self.flatten_mapping(one)
                        self.merged += len(one.value)
                    if self.merged > LARGEST:  # merges of merges are endless before there is any value
                        raise yaml.constructor.ConstructorError(None, None, TOO_MANY, node.start_mark)
        yaml.SafeLoader.flatten_mapping(self, node)

    def refuse_keys(self: Any, node: yaml.MappingNode) -> None:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
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

    def number(self: Any, node: yaml.ScalarNode) -> int:
        """A whole number; one of base 16, or of base 60 as 1:30 is, has more digits than it is long."""
        if len(node.value) <= DIGITS:
            value: int = yaml.SafeLoader.construct_yaml_int(self, node)
            if abs(value) < BEYOND:
                return value
        raise yaml.constructor.ConstructorError(
            None, None, f"a number has more than {DIGITS} digits", node.start_mark
        )

    def unordered(self: Any, node: yaml.Node) -> None:
        raise yaml.constructor.ConstructorError(
            None, None, "a set has no order: write a list", node.start_mark
        )


class _StrictLoader(_Strict, yaml.SafeLoader):
    """PyYAML's own loader: slow, and with the better messages."""


class _FastLoader(_Strict, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's, where PyYAML was built with it: every command and job pays for this."""


for _loader in (_StrictLoader, _FastLoader):
    _loader.add_constructor("tag:yaml.org,2002:int", _Strict.number)
    _loader.add_constructor("tag:yaml.org,2002:set", _Strict.unordered)


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{reason} (line {mark.line + 1})" if mark else reason
