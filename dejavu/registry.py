"""Names and options of networks, datasets, redactions, balancers, figures, ..., without importing them.

params.yaml is checked as a whole before every command, and importing torch for that would cost seconds each
time. So names and options are read from the syntax tree of the source: a new network, redaction or dataset
is known as soon as it is written. The constructors check again, with the real objects.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from .errors import DejavuError, closest, is_number, nearest, number_fault, spelling

HERE = Path(__file__).parent


class Kind(NamedTuple):
    """A kind of plug-in."""

    folder: str  # where it is defined, below dejavu/: a module or a package
    noun: str  # what error messages call one
    key: str  # what error messages call its options where no file of parameters is involved


KINDS = {
    "networks": Kind("networks", "network module", "network"),
    "redaction": Kind("method/redaction", "redaction", "redaction"),
    "regeneration": Kind("method/regeneration", "regenerator", "regenerator"),
    "fusion": Kind("evaluation/fusion", "fusion", "fusion"),
    "balancing": Kind("training/multitask/balancing", "balancer", "balance"),
}

# What figures may be drawn from: prepared data; weights, logs and metrics of each row; the table's CSV.
FIGURE_FILES = ("data", "weights", "logs", "metrics", "table")

# Limits that only slips exceed, and that torch and the memory would refuse later and less clearly.
LARGEST = 65_536  # channels, layers, queries, pixels; params.yaml's largest is 640
HIGHEST = 1e9


def band_fault(bands: object) -> str | None:
    """Describe what a list of frequency bands should be; None where it is right.

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
        and all(map(is_number, band))
        and 0 <= band[0] < band[1] <= 1
    )


# Types of options. The function beside a type describes what a value should be; None where it is.
# A name that config/values.py has too is the same range there.
Fraction = Annotated[float, partial(number_fault, low=0, high=1, ends="()")]
Share = Annotated[float, partial(number_fault, low=0, high=1)]
Positive = Annotated[float, partial(number_fault, low=0, ends="(]", limit=HIGHEST)]
NotNegative = Annotated[float, partial(number_fault, low=0, limit=HIGHEST)]
PositiveInt = Annotated[int, partial(number_fault, low=1, whole=True, limit=LARGEST)]
BandList = Annotated[Sequence[Sequence[float]], band_fault]

# What the annotation of an option may be made of.
TYPES: dict[str, Any] = {
    "Fraction": Fraction,
    "Share": Share,
    "Positive": Positive,
    "NotNegative": NotNegative,
    "PositiveInt": PositiveInt,
    "BandList": BandList,
    "Literal": Literal,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
}

# Options of which the first must be below the second, where something has both.
ORDERED = (("low", "high"), ("removed", "count"))

# Arguments that are no options: whoever builds a regenerator or a balancer gives them.
GIVEN_BY_BUILDER = {"self", "condition_channels", "stride", "image_channels", "tasks", "network"}

Built = TypeVar("Built")


class Registry(dict[str, type[Built]], Generic[Built]):
    """Classes by name: `REGISTRY = Registry("redaction", {"low_pass": LowPass, ...})`.

    Args:
        kind: one of `KINDS`, whose module defines this registry.
        classes: written out as a mapping, for `names` and `check` below to read it from the source.
    """

    def __init__(self, kind: str, classes: dict[str, type[Built]]) -> None:
        super().__init__(classes)
        self.kind = kind

    def names(self) -> list[str]:
        """List every name, in the order of the registry."""
        return list(self)

    def build(self, name: str, *given: Any, **options: Any) -> Built:
        """Build by name: `given` are the arguments that are no options.

        Raises DejavuError for an unknown name, option or value.
        """
        require(self.kind, name, options)
        return self[name](*given, **options)


class Option(NamedTuple):
    """An option as it stands in the source."""

    annotation: ast.expr | None
    default: ast.expr | None


Options = dict[str, Option]


def modules(package: str) -> list[str]:
    """List the modules of a package that can be named in params.yaml: those that define its marker."""
    marker = {"networks": "build", "datasets": "DATASET"}[package]
    files = sorted((HERE / package).glob("[a-z]*.py"))
    return [file.stem for file in files if any(marker in _defines(node) for node in _tree(file).body)]


def _defines(node: ast.stmt) -> list[str]:
    """List the names that a statement defines: a function's, or the targets of an assignment."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets]
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [ast.unparse(node.target)]
    return [node.name] if isinstance(node, ast.FunctionDef) else []


def names(kind: str) -> list[str]:
    """List the names of a kind of plug-in, such as redaction: those of its `REGISTRY`, or of its files."""
    return modules(kind) if kind == "networks" else list(_registry(kind))


def takes_class_names(module: str) -> bool:
    """Return whether a network's `build` takes the names of the classes."""
    if ":" in module:  # the user's own function
        return False
    function = _find((HERE / "networks" / f"{module}.py",), "build")
    return isinstance(function, ast.FunctionDef) and "classes" in _arguments(function, skip=set())


def is_multitask(module: str) -> bool:
    """Return whether a network's module has the line `MULTITASK = True`."""
    return ":" not in module and _literal(HERE / "networks" / f"{module}.py", "MULTITASK") is True


def returns_log_scores(module: str) -> bool:
    """Return whether a network's module has the line `LOG_SCORES = True`; of a user's own function, True."""
    return ":" in module or _literal(HERE / "networks" / f"{module}.py", "LOG_SCORES") is True


def only_task(module: str) -> str | None:
    """Return a network's only task, from the line `TASK = "panoptic"` of its module; None without it."""
    task = None if ":" in module else _literal(HERE / "networks" / f"{module}.py", "TASK")
    return None if task is None else str(task)


def keywords(file: Path, name: str) -> dict[str, Any] | None:
    """The arguments of `NAME = Something(key=literal, ...)` at the top of a file; None where it is not there.

    So facts are read from a module without running it. Raises DejavuError where one is no literal.
    """
    value = _assigned(file, name)
    if not isinstance(value, ast.Call):
        return None
    return {str(item.arg): _evaluate(item.value, file, f"{name}'s {item.arg}") for item in value.keywords}


def _assigned(file: Path, name: str) -> ast.expr | None:
    """The expression that a file assigns to a name at its top; None where there is none."""
    for node in _tree(file).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _defines(node):
            return node.value
    return None


def _literal(file: Path, name: str) -> Any:
    """The literal that a file assigns to a name at its top; None where there is none."""
    value = _assigned(file, name)
    return None if value is None else _evaluate(value, file, name)


def _evaluate(value: ast.expr, file: Path, what: str) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise DejavuError(
            f"dejavu/{file.relative_to(HERE).as_posix()}: {what} must be written as a literal, since it is "
            f"read without running the file, not as {ast.unparse(value)}"
        ) from None


def figure_kinds() -> list[str]:
    """Kinds of figures: each file of dejavu/reports/figures is one."""
    return sorted(file.stem for file in (HERE / "reports/figures").glob("[a-z]*.py"))


def figure_needs(kind: str) -> tuple[str, ...]:
    """Which files of the pipeline a kind of figure is drawn from: its `NEEDS`, of `FIGURE_FILES`.

    Raises DejavuError where its file states none or other ones.
    """
    file = HERE / "reports/figures" / f"{kind}.py"
    needs = _literal(file, "NEEDS")
    if isinstance(needs, tuple) and needs and {*needs} <= {*FIGURE_FILES}:
        return needs
    raise DejavuError(
        f"dejavu/{file.relative_to(HERE).as_posix()} must hold NEEDS = (...), a tuple of some of "
        f"{', '.join(FIGURE_FILES)}"
    )


def check(kind: str, name: str, given: dict[str, Any], where: str) -> None:
    """Check the options `given` of a named network, redaction, regenerator or balancer.

    Raises ValueError, one sentence that starts with the key `where`.
    """
    known = names(kind)
    if kind == "networks" and ":" in name:
        return  # the user's own function, which takes what it takes
    if name not in known:
        raise ValueError(f"{where}: unknown {KINDS[kind].noun} '{name}', {nearest(name, known)}")
    options = _options(kind, name)
    for key, value in given.items():
        if key not in options:
            raise ValueError(f"{where}.{key}: '{name}' has no such option, {nearest(key, options)}")
        type_ = _type(options[key].annotation, f"{kind}: '{name}': {key}")
        fault = _fault(value, type_)
        if fault:
            raise ValueError(f"{where}.{key}: {fault}, not {value!r}{_hint(value, type_)}")
    _check_order(given, options, where)


def require(kind: str, name: str, given: dict[str, Any]) -> None:
    """Check as `check` does, for Python's users: raises DejavuError."""
    try:
        check(kind, name, given, KINDS[kind].key)
    except ValueError as error:
        raise DejavuError(str(error)) from None


def _check_order(given: dict[str, Any], options: Options, where: str) -> None:
    for lower, upper in ORDERED:
        if not (lower in options and upper in options):
            continue
        low, high = (given.get(key, _default(options[key])) for key in (lower, upper))
        if low is not None and high is not None and not low < high:
            key, rule = (lower, f"below {upper}, which is {high!r}")
            if lower not in given:
                key, rule = (upper, f"above {lower}, which is {low!r}")
            raise ValueError(f"{where}.{key}: must be {rule}, not {given[key]!r}")


def _default(option: Option) -> Any:
    return None if option.default is None else ast.literal_eval(option.default)


def _type(annotation: ast.expr | None, where: str) -> Any:
    """Evaluate an annotation; Any where there is none. Raises DejavuError for one of other types."""
    if annotation is None:
        return Any
    try:
        return eval(compile(ast.Expression(annotation), "annotation", "eval"), {"__builtins__": {}}, TYPES)
    except (NameError, TypeError):
        raise DejavuError(
            f"{where} is annotated as {ast.unparse(annotation)}, and an option's annotation is made of "
            f"{', '.join(TYPES)} and None"
        ) from None


def _fault(value: Any, kind: Any) -> str | None:
    """Describe what a value of the type `kind` should be; None where it is right."""
    if get_origin(kind) in (Union, UnionType):
        faults = [_fault(value, one) for one in get_args(kind)]
        return None if None in faults else faults[0]
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        return None if value in choices else f"must be one of {', '.join(map(str, choices))}"
    if get_origin(kind) is Annotated:
        fault: str | None = kind.__metadata__[0](value)
        return fault
    if kind in (int, float):
        return number_fault(value, whole=kind is int)
    noun = {bool: "true or false", str: "text", type(None): "null"}.get(kind)
    return None if noun is None or isinstance(value, kind) else f"must be {noun}"


def _hint(value: Any, kind: Any) -> str:
    """Return how the intended value is written, or the nearest of the names; '' where neither is known."""
    if get_origin(kind) in (Union, UnionType):
        return next((hint for hint in (_hint(value, one) for one in get_args(kind)) if hint), "")
    if get_origin(kind) is Literal:
        close = closest(value, map(str, get_args(kind)))
        return f" (did you mean '{close}'?)" if close else ""
    if get_origin(kind) is Annotated:
        return _hint(value, get_args(kind)[0])
    return spelling(value, kind) if kind in (int, float, bool, str) else ""


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _files(kind: str) -> tuple[Path, ...]:
    """List the files that define a kind of plug-in: those of a package, or the one of a module."""
    path = HERE / KINDS[kind].folder
    return tuple(sorted(path.glob("*.py"))) if path.is_dir() else (path.with_suffix(".py"),)


@cache
def _registry(kind: str) -> dict[str, str]:
    """Read `REGISTRY: Registry[X] = Registry(kind, {"name": Class, ...})` as {name: class name}."""
    for node in (node for file in _files(kind) for node in _tree(file).body):
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target) != "REGISTRY":
            continue
        if isinstance(node.value, ast.Call) and isinstance(classes := node.value.args[-1], ast.Dict):
            pairs = zip(classes.keys, classes.values, strict=True)
            return {ast.literal_eval(key): ast.unparse(value) for key, value in pairs if key is not None}
    raise LookupError(f"dejavu/{KINDS[kind].folder}: 'REGISTRY: Registry[X] = Registry({kind!r}, {{...}})'")


@cache
def _options(kind: str, name: str) -> Options:
    """Read the options that params.yaml may set."""
    if kind == "networks":
        function = _find((HERE / "networks" / f"{name}.py",), "build")
        assert isinstance(function, ast.FunctionDef)
        return _arguments(function, skip={"num_classes", "width", "depth", "classes"})
    return _class_options(_files(kind), _registry(kind)[name])


def _class_options(files: tuple[Path, ...], name: str) -> Options:
    """Read a class's options: dataclass fields or arguments of `__init__`; own ones over inherited ones."""
    node = _find(files, name)
    if not isinstance(node, ast.ClassDef):
        return {}
    options: Options = {}
    for base in node.bases:
        options |= _class_options(files, ast.unparse(base))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            options[item.target.id] = Option(item.annotation, item.value)
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            options |= _arguments(item, skip=GIVEN_BY_BUILDER)
    return options


def _arguments(function: ast.FunctionDef, skip: set[str]) -> Options:
    every = [*function.args.args, *function.args.kwonlyargs]
    return {argument.arg: Option(argument.annotation, None) for argument in every if argument.arg not in skip}


def _find(files: tuple[Path, ...], name: str) -> ast.stmt | None:
    for node in (node for file in files for node in _tree(file).body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    return None
