"""`dejavu dvc`: write dvc.yaml, which `make dvc.yaml` calls after a change of params.yaml's tables."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_configuration, read_configuration

FILE = Path("dvc.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing but the configuration."""
    add_configuration(parser)


def run(args: argparse.Namespace) -> None:
    """Write dvc.yaml into the working directory."""
    params, _ = read_configuration(args)
    from ..engines.dvc_yaml import pipeline
    from ..system.files import write_text

    write_text(FILE, pipeline(params))
    print(f"{FILE}: {len(params.tables)} tables")
