"""`dejavu tables TABLE --scale S`: metrics of all the table's experiments -> CSV, Markdown, LaTeX."""

from __future__ import annotations

import argparse

from .common import add_name, add_partial, job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the table's name and `--partial`."""
    add_name(parser, "table")
    add_partial(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    from ..reports.tables.write import write_table

    with job(args) as (params, scale):
        print(write_table(params, args.name, scale, args.partial))
