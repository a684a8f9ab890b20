"""`dejavu download DATASET`: obtain the raw files and describe them in a manifest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import add_name, job

if TYPE_CHECKING:
    from ..config import Params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the dataset's name."""
    add_name(parser, "dataset")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    with job(args) as (params, scale):
        download_dataset(params, args.name, scale)


def download_dataset(params: Params, name: str, scale: str) -> None:
    """Obtain dataset `name` (or its substitute at `scale`) and write the manifest, last."""
    from ..datasets.obtain.manifest import obtain
    from ..engines import sources

    raw = sources.raw_files(params, name, scale)
    content = obtain(raw)
    sources.mark(scale)
    counts = ", ".join(f"{count} {split}" for split, count in content["splits"].items())
    print(
        f"{name} at scale {scale}: {counts} from {raw.part.source}, {content['bytes'] / 1e6:.1f} MB "
        f"in {raw.folder}"
    )
