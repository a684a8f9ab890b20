"""`dejavu verdicts --scale S`: the claims of params.yaml, decided from the metrics of their rows."""

from __future__ import annotations

import argparse

from .common import add_configuration, job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--params` and `--scale`."""
    add_configuration(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    from ..reports.verdicts.write import write_verdicts

    with job(args) as (params, scale):
        print(write_verdicts(params, scale))
