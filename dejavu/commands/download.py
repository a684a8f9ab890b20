"""`dejavu download DATASET`: obtain the raw files and describe them in a manifest."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets import Dataset, folder_settings, reader, stands_in_for
from ..datasets.prepared.sizes import as_plain
from ..system.files import naming, sha256, write_json
from ..system.locks import locked
from .common import add_name, job

if TYPE_CHECKING:
    from ..config import DataSource, Params, Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the dataset's name."""
    add_name(parser, "dataset")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    with job(args) as (params, scale):
        download_dataset(params, args.name, scale)


def download_dataset(params: Params, name: str, scale: str) -> None:
    """Obtain dataset `name` (or its substitute at `scale`) and write the manifest, last.

    The manifest depends on the files alone: a repeated download writes the same bytes.
    """
    from ..config.paths import Paths

    part = params.data_source(name, scale)
    source = params.datasets[part.source]
    raw, manifest = Paths(scale).raw(name), Paths(scale).raw_manifest(name)
    dataset = reader(name, part.source, source)
    with locked(raw.with_name(f".{name}.lock")):
        raw.mkdir(parents=True, exist_ok=True)
        manifest.unlink(missing_ok=True)  # it must not describe a folder that changes now
        with naming(raw):
            files = dataset.download(raw, part, source)
        content = describe(dataset, raw, files) | {
            "dataset": name,
            "stands_in_for": stands_in_for(name, part.source),
            "licence": source.licence,
        }
        write_json(manifest, content | origin(part, source))
    counts = ", ".join(f"{count} {split}" for split, count in content["splits"].items())
    print(f"{name} at scale {scale}: {counts} from {part.source}, {content['bytes'] / 1e6:.1f} MB in {raw}")


def origin(part: DataSource, source: Source) -> dict[str, Any]:
    """Return the settings that determine the raw files; a manifest with other settings is out of date."""
    scenes = {"seed": source.seed, "size": as_plain(part.size)} if part.source == "synthetic" else None
    settings = {"source": part.source, "scenes": scenes}
    folder = folder_settings(source)
    return settings if folder is None else settings | {"folder": folder.model_dump(mode="json")}


def describe(dataset: Dataset, raw: Path, files: list[str]) -> dict[str, Any]:
    """Return counts, bytes and one checksum over all `files` below `raw`.

    For files in a linked folder (a large data set outside the clone) the checksum uses the size, for all
    other files the content.
    """
    splits = {split: len(dataset.checked_pairs(raw, split)) for split in dataset.splits}
    linked = {entry.name for entry in raw.iterdir() if entry.is_symlink()}
    digest, size = hashlib.sha256(), 0
    for file in sorted(files):
        path = raw / file
        bytes_ = path.stat().st_size
        size += bytes_
        mark = str(bytes_) if file.split("/")[0] in linked else sha256(path)
        digest.update(f"{mark}  {file}\n".encode("utf-8", "surrogateescape"))
    return {"splits": splits, "files": len(files), "bytes": size, "sha256": digest.hexdigest()}
