"""What networks, redactions and regenerators offer, read from their source without importing it.

params.yaml is checked as a whole in front of every command, and importing torch for that would cost
seconds each time. So names and options are read from the syntax tree: a new network, redaction or
regenerator is known as soon as it is written. The constructors check again, with the real objects.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

from .errors import nearest

HERE = Path(__file__).parent

# Annotations that carry a range. In code they are plain numbers.
Fraction = float  # 0 < value < 1
Positive = int  # value >= 1


def modules(package: str) -> list[str]:
    """Names of the modules of a package that define what `dejavu.<package>` looks up by file name."""
    marker = {"networks": "build", "datasets": "pairs"}[package]
    found = []
    for file in sorted((HERE / package).glob("[a-z]*.py")):
        if any(isinstance(node, ast.FunctionDef) and node.name == marker for node in _tree(file).body):
            found.append(file.stem)
    return found


def names(module: str) -> list[str]:
    """Names that the `REGISTRY` of dejavu/<module>.py offers (redaction, regeneration)."""
    return list(_registry(HERE / f"{module}.py"))


def check(kind: str, name: str, given: dict[str, Any], where: str) -> None:
    """Check `given` options of a named network, redaction or regenerator.

    Raises ValueError, one sentence that starts with the key `where`.
    """
    known = modules(kind) if kind == "networks" else names(kind)
    noun = {"networks": "network module", "redaction": "redaction", "regeneration": "regenerator"}[kind]
    if name not in known:
        raise ValueError(f"{where}: unknown {noun} '{name}', {nearest(name, known)}")
    offered = _offered(kind, name)
    for key, value in given.items():
        if key not in offered:
            raise ValueError(f"{where}.{key}: '{name}' has no such option, {nearest(key, offered)}")
        fault = _fault(value, offered[key])
        if fault:
            raise ValueError(f"{where}.{key}: {fault}, not {value!r}")


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _registry(file: Path) -> dict[str, str]:
    """`REGISTRY = {"name": Class, ...}` as {name: class name}."""
    for node in _tree(file).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "REGISTRY":
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {ast.literal_eval(key): ast.unparse(value) for key, value in pairs if key is not None}
    return {}


def _offered(kind: str, name: str) -> dict[str, ast.expr | None]:
    """Option name -> annotation, for what params.yaml may set."""
    if kind == "networks":
        function = _find(HERE / "networks" / f"{name}.py", "build")
        assert isinstance(function, ast.FunctionDef)
        return _arguments(function, skip={"num_classes", "width"})
    file = HERE / f"{kind}.py"
    return _class_options(file, _registry(file)[name])


def _class_options(file: Path, name: str) -> dict[str, ast.expr | None]:
    """Dataclass fields, or the arguments of `__init__`, own ones over inherited ones."""
    node = _find(file, name)
    if not isinstance(node, ast.ClassDef):
        return {}
    found: dict[str, ast.expr | None] = {}
    for base in node.bases:
        found |= _class_options(file, ast.unparse(base))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = item.annotation
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            found |= _arguments(item, skip={"self", "condition_channels", "stride", "image_channels"})
    return found


def _arguments(function: ast.FunctionDef, skip: set[str]) -> dict[str, ast.expr | None]:
    every = [*function.args.args, *function.args.kwonlyargs]
    return {argument.arg: argument.annotation for argument in every if argument.arg not in skip}


def _find(file: Path, name: str) -> ast.stmt | None:
    for node in _tree(file).body:
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
    if "Positive" in allowed and not (isinstance(value, int) and number and value >= 1):
        return "must be a whole number of at least 1"
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
