"""No function is too long to be read at once, or takes more arguments than a caller can keep in mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from helpers import ROOT

LONGEST, MOST = 60, 12
FACADE = ("method/wrapper.py", "DejaVu.__init__")  # every option of the method, by its name

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, Function]]:
    """Every function in a syntax tree, methods and nested ones too, with its qualified name."""
    for node in ast.iter_child_nodes(tree):
        name = inside
        if isinstance(node, Function | ast.ClassDef):
            name = f"{inside}.{node.name}" if inside else node.name
        if isinstance(node, Function):
            yield name, node
        yield from functions(node, name)


def parameters(function: Function) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len(named) + (given.vararg is not None) + (given.kwarg is not None)


FILES = {str(path.relative_to(ROOT / "dejavu")): path for path in sorted((ROOT / "dejavu").rglob("*.py"))}


@pytest.mark.parametrize("package", sorted({name.partition("/")[0] for name in FILES}))
def test_functions_are_short(package: str) -> None:
    long, crowded = {}, {}
    for file, path in FILES.items():
        if file.partition("/")[0] != package:
            continue
        for name, function in functions(ast.parse(path.read_text())):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > LONGEST:
                long[file, name] = lines
            if parameters(function) > MOST and (file, name) != FACADE:
                crowded[file, name] = parameters(function)
    assert not long, f"at most {LONGEST} lines a function"
    assert not crowded, f"at most {MOST} parameters a function, but the facade's"


def test_the_facade_is_there() -> None:
    tree = ast.parse(FILES[FACADE[0]].read_text())
    assert FACADE[1] in dict(functions(tree))
