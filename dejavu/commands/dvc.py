"""`dejavu dvc`: write dvc.yaml, which `make dvc.yaml` calls after a change of params.yaml's tables."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--params`: the pipeline is that of all scales."""
    parser.add_argument("--params", default="params.yaml", metavar="FILE", help="default: params.yaml")


def run(args: argparse.Namespace) -> None:
    """Write dvc.yaml beside the configuration."""
    from ..config.loading import load
    from ..engines.dvc_yaml import pipeline
    from ..system.files import write_text

    params, file = load(args.params), Path(args.params).with_name("dvc.yaml")
    write_text(file, pipeline(params))
    print(f"{file}: {len(params.tables)} tables")
