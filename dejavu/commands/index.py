"""`dejavu index --scale S`: all tables and figures of a scale on one page, results/S/README.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_configuration, read_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--readme`."""
    add_configuration(parser)
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help="also write the short table of results between the marks '<!-- results: begin -->' and "
        "'<!-- results: end -->' of this file",
    )


def run(args: argparse.Namespace) -> None:
    """Write the page, and the short table in the file of `--readme`."""
    from ..config.paths import Paths
    from ..reports.results_page import results_page
    from ..reports.short_table import fill, short_table
    from ..system.files import read_text, write_text

    params, scale = read_configuration(args)
    pages = {Paths(scale).page: results_page(params, scale)}
    if args.readme:
        pages[args.readme] = fill(read_text(args.readme), short_table(params, scale), args.readme)
    for path, page in pages.items():
        write_text(path, page)
        print(path)
