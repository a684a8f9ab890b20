"""The code that a result depends on.

A finished training or measurement is published again only if its code is what it was. That is the import
closure of the modules that a run starts from: every module of this package that they import, at their top or
later, and what those import. What no run reaches (a neighbour's network, a table, a figure) is not in it.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .own_code import file_of

PACKAGE = Path(__file__).parents[1]

# Other packages whose version changes numbers.
PACKAGES = (
    *("numpy", "open_clip_torch", "pillow", "scipy", "timm", "torch", "torchjd", "torchvision"),
    "transformers",
)


def code_hash(roots: Iterable[str]) -> str:
    """A hash of the code that some modules reach, and of the versions of the packages that compute for it.

    Args:
        roots: modules below `dejavu`, such as "training.loop"; "networks.package.module:function" is the file
            of a user's function, without what that imports.
    """
    return _code_hash(tuple(sorted(set(roots))))


@cache
def _code_hash(roots: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        digest.update(f"{package} {_version(package)}\n".encode())
    own = [root for root in roots if ":" in root]
    for root in own:
        digest.update(f"{root}\n".encode())
        digest.update(file_of(root.removeprefix("networks.")).read_bytes())
    for file in import_closure(root for root in roots if root not in own):
        digest.update(f"{file.relative_to(PACKAGE).as_posix()}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def import_closure(roots: Iterable[str]) -> tuple[Path, ...]:
    """Return the files of `roots` and of all modules of this package that they import, directly or not.

    Imports for type checkers alone are left out. So is dejavu/__init__.py: it holds the public names, which
    nothing in here is imported through.

    Raises FileNotFoundError where a root is no module.
    """
    files: dict[Path, None] = {}
    roots = tuple(roots)
    waiting = [_file(root) for root in roots]
    while waiting:
        file = waiting.pop()
        if file is None:
            raise FileNotFoundError(f"no module of dejavu: one of {', '.join(roots)}")
        if file in files:
            continue
        files[file] = None
        waiting += _imported(file)
    return tuple(sorted(files))


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    """Return the files of this package that a module's imports run."""
    module = file.relative_to(PACKAGE).with_suffix("").parts
    package = module[:-1]  # of `a/b.py` and of `a/__init__.py` alike: ("a",)
    files: dict[Path, None] = {}
    for name in _names(ast.parse(file.read_bytes()).body, package):
        names = name.split(".") if name else []
        for length in range(1, len(names) + 1):  # an import runs each package above its module, too
            target = _file(".".join(names[:length]))
            if target is not None:
                files[target] = None
    return tuple(files)


def _names(body: Iterable[ast.stmt], package: tuple[str, ...]) -> Iterator[str]:
    """Yield dotted names below `dejavu` that may be modules, of all imports in some statements."""
    for statement in body:
        if isinstance(statement, ast.If) and _is_for_type_checkers(statement.test):
            yield from _names(statement.orelse, package)
            continue
        inner = [node for node in ast.iter_child_nodes(statement) if isinstance(node, _STATEMENTS)]
        yield from _names(inner, package)  # type: ignore[arg-type]
        if isinstance(statement, ast.Import):
            names = (alias.name for alias in statement.names)
            yield from (name.removeprefix("dejavu.") for name in names if name.startswith("dejavu."))
        if isinstance(statement, ast.ImportFrom):
            base = _base(statement, package)
            if base is not None:
                yield from (".".join([*base, alias.name]) for alias in statement.names)


_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)  # the last two hold statements


def _is_for_type_checkers(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _base(node: ast.ImportFrom, package: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the dotted name of X in `from X import ...` below `dejavu`; None for another package."""
    given = tuple(node.module.split(".")) if node.module else ()
    if node.level:
        return (*package[: len(package) - node.level + 1], *given)
    return given[1:] if given[:1] == ("dejavu",) else None


@cache
def _file(module: str) -> Path | None:
    """Return the file of a module or package below `dejavu`, if there is one."""
    path = PACKAGE.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def json_hash(values: list[Any]) -> str:
    """Return the SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
