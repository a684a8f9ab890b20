"""What networks, redactions, regenerators and balancers offer, read from their source without importing it.

params.yaml is checked as a whole in front of every command, and importing torch for that would cost
seconds each time. So names and options are read from the syntax tree: a new network, redaction or
regenerator is known as soon as it is written. The constructors check again, with the real objects.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .errors import nearest

HERE = Path(__file__).parent
# Where a kind of plug-in is defined, where that is not the package or module of its name.
WHERE = {
    "redaction": "method/redaction",
    "regeneration": "method/regeneration",
    "balancing": "training/multitask/balancing",
}

# Annotations that carry a range. In code they are plain numbers.
Fraction = float  # 0 < value < 1
Positive = int  # 1 <= value <= LARGEST
Edge = float  # 0 <= value <= 1
AboveZero = float  # 0 < value <= HIGHEST
AtLeastZero = float  # 0 <= value <= HIGHEST
BandList = Sequence[Sequence[float]]  # [low, high] pairs, 0 <= low < high <= 1

# Limits that only slips exceed, and that torch and the memory would refuse later and less clearly.
LARGEST = 65_536  # channels, layers, queries, pixels; params.yaml's largest is 640
HIGHEST = 1e9

# Options of which the first must be below the second, where something offers both.
ORDERED = (("low", "high"), ("removed", "count"))

# Arguments that are no options: they are given by whoever builds a regenerator or a balancer.
MADE = {"self", "condition_channels", "stride", "image_channels", "tasks", "network"}

# Option name -> its annotation and its default, as they stand in the source.
Offered = dict[str, tuple[ast.expr | None, ast.expr | None]]


def modules(package: str) -> list[str]:
    """Names of the modules of a package that define what `dejavu.<package>` looks up by file name."""
    marker = {"networks": "build", "datasets": "pairs"}[package]
    found = []
    for file in sorted((HERE / package).glob("[a-z]*.py")):
        if any(isinstance(node, ast.FunctionDef) and node.name == marker for node in _tree(file).body):
            found.append(file.stem)
    return found


def names(module: str) -> list[str]:
    """Names that the `REGISTRY` of a module or package of dejavu offers, such as redaction."""
    return list(_registry(module))


def reads_classes(module: str) -> bool:
    """Whether a network's `build` is given the names of the classes."""
    function = _find((HERE / "networks" / f"{module}.py",), "build")
    return isinstance(function, ast.FunctionDef) and "classes" in _arguments(function, skip=set())


def does_several_tasks(module: str) -> bool:
    """Whether a network's module says `SEVERAL_TASKS = True`."""
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node) == "SEVERAL_TASKS = True"
        for node in _tree(HERE / "networks" / f"{module}.py").body
    )


def only_task(module: str) -> str | None:
    """The task of a network that does that one only: `TASK = "panoptic"` in its module; else None."""
    for node in _tree(HERE / "networks" / f"{module}.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TASK":
            return str(ast.literal_eval(node.value))
    return None


def check(kind: str, name: str, given: dict[str, Any], where: str) -> None:
    """Check `given` options of a named network, redaction, regenerator or balancer.

    Raises ValueError, one sentence that starts with the key `where`.
    """
    known = modules(kind) if kind == "networks" else names(kind)
    nouns = {"networks": "network module", "regeneration": "regenerator", "balancing": "balancer"}
    noun = nouns.get(kind, kind)
    if name not in known:
        raise ValueError(f"{where}: unknown {noun} '{name}', {nearest(name, known)}")
    offered = _offered(kind, name)
    for key, value in given.items():
        if key not in offered:
            raise ValueError(f"{where}.{key}: '{name}' has no such option, {nearest(key, offered)}")
        fault = _fault(value, offered[key][0])
        if fault:
            raise ValueError(f"{where}.{key}: {fault}, not {value!r}")
    _check_order(given, offered, where)


def band_fault(bands: object) -> str | None:
    """What a list of frequency bands should be, if it is not that.

    >>> band_fault([[0, 0.1], [0.5, 1]])
    >>> band_fault([[0.5, 0.1]])
    'must be a list of [low, high] pairs with 0 <= low < high <= 1'
    """
    if isinstance(bands, list | tuple) and bands and all(map(_is_band, bands)):
        return None
    return "must be a list of [low, high] pairs with 0 <= low < high <= 1"


def _is_band(band: object) -> bool:
    return (
        isinstance(band, list | tuple)
        and len(band) == 2
        and all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in band)
        and 0 <= band[0] < band[1] <= 1
    )


def _check_order(given: dict[str, Any], offered: Offered, where: str) -> None:
    for lower, upper in ORDERED:
        if not (lower in offered and upper in offered):
            continue
        low, high = (given.get(key, _default(offered[key][1])) for key in (lower, upper))
        if low is not None and high is not None and not low < high:
            key, rule = (lower, f"below {upper}, which is {high!r}")
            if lower not in given:
                key, rule = (upper, f"above {lower}, which is {low!r}")
            raise ValueError(f"{where}.{key}: must be {rule}, not {given[key]!r}")


def _default(node: ast.expr | None) -> Any:
    return None if node is None else ast.literal_eval(node)


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _files(module: str) -> tuple[Path, ...]:
    """The files of dejavu/<module>.py, or of the package of that name, where it is one."""
    path = HERE / WHERE.get(module, module)
    return tuple(sorted(path.glob("*.py"))) if path.is_dir() else (path.with_suffix(".py"),)


@cache
def _registry(module: str) -> dict[str, str]:
    """`REGISTRY = {"name": Class, ...}` as {name: class name}, with or without an annotation."""
    for node in (node for file in _files(module) for node in _tree(file).body):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if isinstance(target, ast.Name) and target.id == "REGISTRY":
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {ast.literal_eval(key): ast.unparse(value) for key, value in pairs if key is not None}
    return {}


def _offered(kind: str, name: str) -> Offered:
    """What params.yaml may set."""
    if kind == "networks":
        function = _find((HERE / "networks" / f"{name}.py",), "build")
        assert isinstance(function, ast.FunctionDef)
        return _arguments(function, skip={"num_classes", "width", "depth", "classes"})
    return _class_options(_files(kind), _registry(kind)[name])


def _class_options(files: tuple[Path, ...], name: str) -> Offered:
    """Dataclass fields, or the arguments of `__init__`, own ones over inherited ones."""
    node = _find(files, name)
    if not isinstance(node, ast.ClassDef):
        return {}
    found: Offered = {}
    for base in node.bases:
        found |= _class_options(files, ast.unparse(base))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = (item.annotation, item.value)
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            found |= _arguments(item, skip=MADE)
    return found


def _arguments(function: ast.FunctionDef, skip: set[str]) -> Offered:
    every = [*function.args.args, *function.args.kwonlyargs]
    return {argument.arg: (argument.annotation, None) for argument in every if argument.arg not in skip}


def _find(files: tuple[Path, ...], name: str) -> ast.stmt | None:
    for node in (node for file in files for node in _tree(file).body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    return None


def _fault(value: Any, annotation: ast.expr | None) -> str | None:
    """What `value` should be, if it is not that."""
    kind = ast.unparse(annotation) if annotation is not None else ""
    allowed = [part.strip() for part in kind.split("|")]
    if value is None and "None" in allowed:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if "Fraction" in allowed and not (number and 0 < value < 1):
        return "must be a number between 0 and 1"
    if "Edge" in allowed and not (number and 0 <= value <= 1):
        return "must be a number from 0 to 1"
    if "AboveZero" in allowed and not (number and 0 < value < math.inf):
        return "must be a number above 0"
    if "AtLeastZero" in allowed and not (number and 0 <= value < math.inf):
        return "must be a number of at least 0"
    if {"AboveZero", "AtLeastZero"} & {*allowed} and value > HIGHEST:
        return f"must be a number of at most {HIGHEST:g}"
    if "BandList" in allowed:
        return band_fault(value)
    if "Positive" in allowed and not (isinstance(value, int) and number and value >= 1):
        return "must be a whole number of at least 1"
    if "Positive" in allowed and value > LARGEST:
        return f"must be a whole number of at most {LARGEST}"
    if "int" in allowed and "float" not in allowed and not (isinstance(value, int) and number):
        return "must be a whole number"
    if "float" in allowed and not number:
        return "must be a number"
    if "bool" in allowed and not isinstance(value, bool):
        return "must be true or false"
    if "str" in allowed and not isinstance(value, str):
        return "must be text"
    if kind.startswith("Literal["):
        choices = ast.literal_eval(kind.removeprefix("Literal").strip())
        if value not in choices:
            return f"must be one of {', '.join(map(str, choices))}"
    return None
