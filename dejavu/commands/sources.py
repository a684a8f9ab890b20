"""`dejavu sources`: notice raw files that have changed since their download, before DVC runs its stages."""

from __future__ import annotations

import argparse

from .common import add_configuration, job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--params` and `--scale`."""
    add_configuration(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    from ..engines import sources
    from ..system import provenance

    provenance.code()  # which says why git does not answer: once for all jobs that follow
    with job(args) as (params, scale):
        sources.renew(params, [scale])
        sources.mark(scale)
