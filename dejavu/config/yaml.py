"""Reads YAML files that people write, or reports the first error in one sentence.

It uses PyYAML's safe loader, and is stricter: a key must be text and given once, and a value that DVC reads
differently is refused. So are files that would take all memory or crash Python.
"""

from __future__ import annotations

import re
from math import inf
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from ..errors import DejavuError, as_number

LARGEST = 1_000_000
"""characters of a file; this project's params.yaml has 29 thousand"""
DEEPEST = 100
"""levels of lists and mappings; at a few thousand libyaml runs out of stack, and Python crashes"""
DIGITS = 4000
"""digits of a whole number; Python prints at most 4,300"""
BEYOND = 10**DIGITS
TOO_DEEP = f"is nested deeper than {DEEPEST} levels"
OCTAL = re.compile("0o?[0-7]+")
NUMBER_TO_DVC = re.compile(
    r"""[-+]?([0-9_]+ | ([0-9][0-9_]*\.[0-9_]* | [0-9][0-9_]*)([eE][-+]?[0-9]+)?
    | \.[0-9_]+([eE][-+][0-9]+)?)$""",
    re.VERBOSE,
)
"""decimal numbers of YAML 1.2; PyYAML takes some of them for text, such as 1e-3, 08 and -.5"""
MERGE = "tag:yaml.org,2002:merge"


class TwoReadings(ConstructorError):
    """A value that readers of YAML 1.1, such as PyYAML, and of YAML 1.2, such as DVC, read differently."""

    def __init__(self, node: yaml.ScalarNode, reason: str, write: str) -> None:
        shown = node.value if len(node.value) <= 40 else f"{node.value[:40]}..."
        sentence = f"{shown} is {reason}: write {write}, or '{shown}' in quotes where it is text"
        super().__init__(None, None, sentence, node.start_mark)


def read_yaml(path: str | Path) -> Any:
    """Read the value of a YAML file.

    Raises DejavuError, one sentence that names the file, and FileNotFoundError where there is none.
    """
    text = _text(path)
    try:
        try:
            return _value(text, _FastLoader)
        except yaml.YAMLError:
            return _value(text, _ClearLoader)
    except TwoReadings as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DejavuError(f"{path}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        reason = " ".join(str(problem or error).split()) + (f" (line {mark.line + 1})" if mark else "")
        raise DejavuError(f"{path} is not valid YAML: {reason}") from None
    except RecursionError:
        raise DejavuError(f"{path} {TOO_DEEP}") from None
    except ValueError as error:  # from Python, for an invalid date or number
        raise DejavuError(f"{path} is not valid YAML: {error}") from None
    except (AttributeError, LookupError, TypeError):  # from PyYAML, for `!!bool maybe`
        raise DejavuError(
            f"{path} is not valid YAML: it has a value that is not what its tag (!!) says"
        ) from None


def _text(path: str | Path) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)  # a device or a pipe may have no end
    except FileNotFoundError:
        raise
    except UnicodeDecodeError:
        raise DejavuError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise DejavuError(f"{path or 'the empty name'} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise DejavuError(f"'{path}' is no file's name: {error}") from None
    if len(text) > LARGEST:
        raise DejavuError(f"{path} is not valid YAML: it has more than {LARGEST} characters")
    return text


def _value(text: str, kind: type[_FastLoader | _ClearLoader]) -> Any:
    depth = 0
    for event in yaml.parse(text, Loader=kind):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise RecursionError
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if _values(node, loader, {}) > LARGEST:
            raise yaml.YAMLError(f"its aliases stand for more than {LARGEST} values, or for themselves")
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _values(node: yaml.Node | None, loader: Any, known: dict[yaml.Node, float]) -> float:
    """Count the values when each alias and each merge is replaced by its target.

    Raises ConstructorError for a key that is no text, or is given twice in one mapping.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1.0
    if node not in known:
        known[node] = inf  # until it is counted: a node that contains itself is endless
        inner = node.value
        if isinstance(node, yaml.MappingNode):
            inner = [one for pair in node.value for one in pair]
            _check_keys([key for key, _ in node.value if key.tag != MERGE], loader)
        known[node] = 1 + sum(_values(one, loader, known) for one in inner)
    return known[node]


def _check_keys(nodes: list[yaml.Node], loader: Any) -> None:
    keys = set()
    for node in nodes:
        key = loader.construct_object(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            quotes = f": write '{node.value}', in quotes" if isinstance(node, yaml.ScalarNode) else ""
            reason = f"the key {key!r} is not text{quotes if len(quotes) < 100 else ''}"
            raise ConstructorError(None, None, reason, node.start_mark)
        if key in keys:
            raise ConstructorError(None, None, f"the key '{key}' is given twice", node.start_mark)
        keys.add(key)


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's loader, where PyYAML was built with it: every command and job waits for it."""


class _ClearLoader(yaml.SafeLoader):
    """PyYAML's own loader, with better messages."""


def _whole_number(loader: Any, node: yaml.ScalarNode) -> int:
    """Read a whole number. In base 16 it has more decimal digits than characters."""
    if len(node.value) <= DIGITS:
        _check_base(node)
        value = int(loader.construct_yaml_int(node))
    else:
        value = BEYOND
    if abs(value) >= BEYOND:
        raise ConstructorError(None, None, f"a number has more than {DIGITS} digits", node.start_mark)
    return value


def _number(loader: Any, node: yaml.ScalarNode) -> float:
    _check_base(node)
    return float(loader.construct_yaml_float(node))


def _check_base(node: yaml.ScalarNode) -> None:
    """Raise TwoReadings for a number to the base 8 or 60."""
    sign, digits = re.sub("[^-]", "", node.value[:1]), node.value.replace("_", "").lstrip("+-")
    if ":" in digits:
        reason = "a number to the base 60 to some readers of YAML and text to others"
        raise TwoReadings(node, reason, "it to the base 10")
    if OCTAL.fullmatch(digits) and (octal := int(digits.replace("o", ""), 8)) > 7 or "o" in digits:
        write = f"{sign}{octal}" if "o" in digits else f"{sign}{octal} or {sign}{int(digits)}"
        raise TwoReadings(node, "octal to some readers of YAML, and not to others", write)


def _only_to_dvc(loader: Any, node: yaml.ScalarNode) -> None:
    write = as_number(node.value.replace("_", ""), whole=True) or as_number(node.value.replace("_", ""))
    reason = "a number to some readers of YAML and text to others"
    raise TwoReadings(node, reason, write or "it with a point and a signed exponent")


def _flag(loader: Any, node: yaml.ScalarNode) -> bool:
    flag = bool(loader.construct_yaml_bool(node))
    word = str(flag).lower()
    if node.value.lower() != word:
        raise TwoReadings(node, f"{word} to some readers of YAML and text to others", word)
    return flag


def _no_set(loader: Any, node: yaml.Node) -> None:
    raise ConstructorError(None, None, "a set has no order: write a list", node.start_mark)


for _loader in (_FastLoader, _ClearLoader):
    _loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
    _loader.add_constructor("tag:yaml.org,2002:float", _number)
    _loader.add_constructor("tag:yaml.org,2002:bool", _flag)
    # YAML 1.2 writes octal numbers so; to PyYAML, which reads YAML 1.1, it would be text.
    _loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("[-+]?0o[0-7]+$"), list("-+0"))
    # Tried after PyYAML's own patterns: what those match is the same number to both, where it is not refused.
    _loader.add_implicit_resolver("!number", NUMBER_TO_DVC, list("-+.0123456789"))
    _loader.add_constructor("!number", _only_to_dvc)
    _loader.add_constructor("tag:yaml.org,2002:set", _no_set)
