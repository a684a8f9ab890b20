"""`dejavu prepare DATASET`: check the raw files and write the compact form that training reads."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets import IGNORE, UNLABELLED, Dataset, Pair, reader
from ..datasets.prepared.sizes import as_plain, in_words
from ..errors import DejavuError
from ..system.files import naming, read_json, write_json
from ..system.folders import first_of, summary
from ..system.locks import locked
from .common import add_name, job, print_remark

if TYPE_CHECKING:
    from ..config import DataSource, Params, Source
    from ..datasets.obtain.manifest import RawFiles
    from ..datasets.prepared.checks import Subject


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the dataset's name."""
    add_name(parser, "dataset")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    with job(args) as (params, scale):
        prepare_dataset(params, args.name, scale)


def prepare_dataset(params: Params, name: str, scale: str) -> None:
    """Check and convert dataset `name` at `scale`; `report.json` is written last.

    Oddities of the ground truth are printed on stderr, and are in the report's `remarks`.

    Raises DejavuError with the first unusable file and the number of such files; stderr lists all of them. It
    is raised for ground truth that is useless, too (datasets/prepared/checks.py). Then nothing is written,
    and an earlier result stays.
    """
    from ..config.paths import Paths
    from ..datasets.prepared.captions import write_captions
    from ..datasets.prepared.checks import check
    from ..datasets.prepared.convert import convert
    from ..datasets.prepared.unlabelled import write_unlabelled
    from ..engines import sources

    part, paths = params.data_source(name, scale), Paths(scale)
    manifest = _manifest(sources.raw_files(params, name, scale), scale)
    dataset = reader(name, part.source, params.datasets[part.source])
    target = paths.prepared(name)
    unfinished = target.with_name(f".{name}.partial")
    with locked(target.with_name(f".{name}.lock")):
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir(parents=True)
            pairs, left_out = _all_pairs(dataset, paths.raw(name), part, manifest)
            _same_colours(pairs)
            images = _unlabelled(dataset, paths.raw(name), part, params.datasets[part.source], pairs)
            meaning = _meaning(dataset, part.source, paths.raw(name))
            with naming(unfinished):
                captions = write_captions(dataset, paths.raw(name), pairs, unfinished)
                splits, counts = convert(dataset, pairs, part.size, unfinished, meaning["classes"])
                splits = {split: entry | captions.get(split, {}) for split, entry in splits.items()}
                if images:
                    splits[UNLABELLED] = write_unlabelled(dataset, images, part.size, unfinished)
            subject = _subject(dataset, part, name, scale)
            remarks = check(subject, counts, lambda split: [pair.label for pair in pairs[split]])
            if remarks:
                meaning["remarks"] = [*meaning.get("remarks", ()), *remarks]
            paths.report(name).unlink(missing_ok=True)  # it would be wrong while the arrays change
            _publish(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        about = {key: manifest[key] for key in ("dataset", "source", "stands_in_for", "licence")}
        files = {"left_out": summary(left_out)} if left_out else {}
        write_json(
            paths.report(name), about | meaning | files | {"size": as_plain(part.size), "splits": splits}
        )
    counted = ", ".join(f"{split['count']} {key}" for key, split in splits.items())
    print(f"{name} at scale {scale}: {counted} at {in_words(part.size)} in {target}, none unreadable")
    if left_out:
        print(f"left out in {paths.raw(name)}, as no image's files: {first_of(left_out)}", file=sys.stderr)
    if remarks:
        print_remark(f"{name} at scale {scale}: {' '.join(remarks)}")


def _subject(dataset: Dataset, part: DataSource, name: str, scale: str) -> Subject:
    """Return the dataset as the checks of its ground truth name it."""
    from ..datasets.prepared.checks import Subject

    return Subject(
        dataset,
        name=f"{name} at scale {scale}",
        size=in_words(part.size),
        size_key=f"scales.{scale}.data.{name}.size",
        classes=dataset.classes_of(part.source).names,
        rendered=part.source == "synthetic",
    )


def _manifest(raw: RawFiles, scale: str) -> dict[str, Any]:
    """Read the manifest of the download. Raises DejavuError where it has a fault, or other settings now."""
    path = raw.manifest
    again = f"run `dejavu download {raw.name} --scale {scale}`"
    manifest = read_json(path, again)
    needed = {"dataset", "source", "stands_in_for", "licence", "splits"}
    if not isinstance(manifest, dict) or needed - manifest.keys() or not isinstance(manifest["splits"], dict):
        raise DejavuError(f"{path} is not a manifest of `dejavu download`: {again}")
    if "fault" in manifest:
        raise DejavuError(str(manifest["fault"]))
    for key, value in raw.origin.items():
        if manifest.get(key) != value:
            raise DejavuError(
                f"{path} has {key} {manifest.get(key)}, and params.yaml asks for {value}: {again}"
            )
    return manifest


def _all_pairs(
    dataset: Dataset, raw: Path, part: DataSource, manifest: dict[str, Any]
) -> tuple[dict[str, list[Pair]], list[str]]:
    """Return each split's pairs (the first ones if the scale limits them), and the files of no pair."""
    splits = {split: _pairs(dataset, raw, split, part, manifest) for split in dataset.splits}
    left_out = dataset.left_out(raw, [pair for items in splits.values() for pair in items])
    limits = {split: part.train if split == "train" else part.val for split in splits}
    return {split: items[: limits[split]] for split, items in splits.items()}, left_out


def _pairs(dataset: Dataset, raw: Path, split: str, part: DataSource, manifest: dict[str, Any]) -> list[Pair]:
    """Return the pairs of the split. Raises DejavuError if they are not those of the manifest."""
    from ..datasets.prepared.store import command

    pairs = dataset.checked_pairs(raw, split)
    if len(pairs) != manifest["splits"][split]:
        raise DejavuError(
            f"{raw} has {len(pairs)} {split} pairs, and its manifest says {manifest['splits'][split]}: "
            f"run {command(raw, 'download')} again"
        )
    limit = part.train if split == "train" else part.val
    if part.source == "synthetic" and len(pairs) < (limit or 0):
        raise DejavuError(
            f"{raw} has {len(pairs)} {split} scenes, and params.yaml asks for {limit}: "
            f"run {command(raw, 'download')} again"
        )
    return pairs


def _unlabelled(
    dataset: Dataset, raw: Path, part: DataSource, source: Source, pairs: dict[str, list[Pair]]
) -> list[Path]:
    """Return the images without labels, none where params.yaml asks for none; none of them is measured."""
    from ..datasets.obtain import unlabelled
    from ..datasets.prepared.unlabelled import check_overlap

    if not unlabelled.requested(part, source):
        return []
    images = unlabelled.images(raw)[: part.unlabelled]
    check_overlap(dataset, images, pairs)
    return images


def _same_colours(pairs: dict[str, list[Pair]]) -> None:
    """Raise DejavuError where label files show the same index in different colours."""
    from ..datasets.formats.label_colours import contradiction

    fault = contradiction(pair.label for items in pairs.values() for pair in items)
    if fault:
        raise DejavuError(f"{fault}: one index has to be one class, so store the labels with one palette")


def _meaning(dataset: Dataset, source: str, raw: Path) -> dict[str, Any]:
    """Return the meaning of the arrays. Keys that only some datasets need are optional."""
    classes = dataset.classes_of(source)
    content: dict[str, Any] = {
        "task": dataset.task,
        "classes": list(classes.names),
        "palette": [list(colour) for colour in classes.palette],
        "ignore_index": IGNORE,
        "evaluate": dataset.evaluate,
        "unreadable": [],  # a set with unreadable files is refused
    }
    if dataset.targets != ("labels",):
        content["targets"] = list(dataset.targets)
    if dataset.validate != "val":
        content["validate"] = dataset.validate
    if source != "synthetic" and dataset.remarks is not None:
        content["remarks"] = list(dataset.remarks(raw))
    if classes.categories is not None:
        content["categories"] = list(classes.categories)
    if classes.things is not None:
        content["things"] = list(classes.things)
    return content


def _publish(unfinished: Path, target: Path) -> None:
    """Move the finished files to the target, and remove other files of an earlier run."""
    target.mkdir(parents=True, exist_ok=True)
    new = {path.name for path in unfinished.iterdir()}
    for path in target.iterdir():
        if path.name not in new:
            path.unlink()
    for name in sorted(new):
        os.replace(unfinished / name, target / name)
