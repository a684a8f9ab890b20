"""`dejavu cost [ROW ...]`: full-size parameters and GMACs, counted, beside the paper's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import DejavuError
from .common import add_configuration, add_rows, print_json, read_configuration

if TYPE_CHECKING:
    from ..config import Params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the rows to count and `--json`."""
    add_configuration(parser)
    add_rows(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    params, scale = read_configuration(args)
    print_costs(params, args.names, scale, as_json=args.json)


def print_costs(params: Params, names: Sequence[str], scale: str, as_json: bool = False) -> None:
    """Count and print the costs of named rows, experiments or networks, or of all rows with an experiment.

    Raises DejavuError for an unknown name, and at the end if a network could not be counted.
    """
    from ..reports.costs import count, text

    costs = count(params, names, scale)
    if as_json:
        print_json([cost.as_dict() for cost in costs])
    else:
        print(text(costs))
    faults = [cost for cost in costs if cost.fault]
    if faults:
        raise DejavuError(f"could not count {', '.join(cost.network for cost in faults)}: {faults[0].fault}")
