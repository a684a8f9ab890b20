"""`dejavu dvc`: write dvc.yaml, which `make dvc.yaml` calls after a change of params.yaml's tables."""

from __future__ import annotations

import argparse
import sys
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
    hint = no_git(file.parent)
    if hint:
        print(f"dejavu: {hint}", file=sys.stderr)


def no_git(folder: Path) -> str | None:
    """Describe how DVC works in a folder that no git repository holds; None where nothing is to be done."""
    from ..system.files import read_text

    configuration = [folder / ".dvc" / name for name in ("config", "config.local")]
    if any(file.is_file() and "no_scm = true" in read_text(file) for file in configuration):
        return None
    if any((above / ".git").exists() for above in (folder.resolve(), *folder.resolve().parents)):
        return None
    return (
        f"{folder.resolve()} is no git repository, which DVC expects: `dvc config --local core.no_scm true` "
        "makes DVC work without (docs/reproduce.md)"
    )
