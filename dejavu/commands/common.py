"""Arguments that commands share: those that name a configuration, and reading it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .completion import completed, datasets, names_of

if TYPE_CHECKING:
    from ..config import Params


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add `--params` and `--scale`."""
    parser.add_argument("--params", default="params.yaml", metavar="FILE", help="default: params.yaml")
    scale = parser.add_argument("--scale", metavar="SCALE", help="default: the scale that params.yaml names")
    completed(scale, names_of("scales"))


def add_name(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add `--params`, `--scale` and the name of a dataset, experiment or table, as `args.name`."""
    add_configuration(parser)
    name = parser.add_argument("name", metavar=kind.upper(), help="see `dejavu list`")
    completed(name, datasets if kind == "dataset" else names_of(f"{kind}s"))


def add_partial(parser: argparse.ArgumentParser) -> None:
    """Add `--partial`, for commands that read the results of a table."""
    parser.add_argument(
        "--partial",
        action="store_true",
        help="rows and seeds that are not there yet are 'not run', and no error",
    )


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Add the rows that a command counts, as `args.names`, and `--json`."""
    names = parser.add_argument(
        "names",
        nargs="*",
        metavar="ROW",
        help="a row of a table, an experiment or a network; default: every row that has an experiment",
    )
    completed(names, names_of("experiments", "networks"))
    add_json(parser)


def add_json(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add `--json`, for commands that print numbers; `print_json` prints them."""
    parser.add_argument("--json", action="store_true", help=f"print JSON{more}")


def print_json(values: Any) -> None:
    """Print values as JSON, with null for numbers that JSON does not have (infinity and not a number)."""
    print(json.dumps(_finite(values), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_configuration(args: argparse.Namespace) -> tuple[Params, str]:
    """Return params.yaml and the name of the chosen scale. Raises DejavuError where either cannot be used."""
    from ..config.loading import load

    params = load(args.params)
    return params, params.get_scale(args.scale).name


@contextmanager
def job(args: argparse.Namespace) -> Iterator[tuple[Params, str]]:
    """Read the configuration for a job of an engine; a job of DVC keeps Snakemake out while it runs."""
    from ..engines.one_at_a_time import job_of_dvc

    params, scale = read_configuration(args)
    with job_of_dvc():
        yield params, scale


def print_remark(text: str) -> None:
    """Print a line on stderr about input that is odd, and may be meant."""
    print(f"dejavu: {text}", file=sys.stderr)
