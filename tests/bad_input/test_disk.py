"""Places that cannot be written to, and disks that are full.

Root may write anywhere, so what is in the way is a file where a folder should be; a limit on the size of
files stands for a full disk.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .checks import Refused, tree
from .limits import full


def in_the_way(place: str) -> None:
    if Path(place).is_dir():
        shutil.rmtree(place)
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text("in the way")


BLOCKED = {
    "download cityscapes": ("data", "data/smoke", "data/smoke/raw", "data/smoke/raw/cityscapes"),
    "prepare cityscapes": ("data/smoke/prepared", "data/smoke/prepared/cityscapes"),
    "train hrnet18": (
        "checkpoints",
        "checkpoints/smoke",
        "checkpoints/smoke/hrnet18",
        "results/smoke/logs",
        "runs",
    ),
    "evaluate hrnet18": ("results", "results/smoke", "results/smoke/metrics/hrnet18"),
    "predict hrnet18": ("predictions", "predictions/smoke", "predictions/smoke/hrnet18/truth"),
    "predict hrnet18 --out results/earlier": ("results/earlier",),
    "tables pair": ("results/smoke/tables",),
    "figures pair": ("results/smoke/figures",),
}


@pytest.mark.parametrize(
    ("line", "place"), [(line, place) for line, places in BLOCKED.items() for place in places]
)
def test_a_file_in_the_place_of_a_folder_is_named(
    done: Path, line: str, place: str, refused: Refused
) -> None:
    in_the_way(place)
    # Weights are published before logs, each whole or not at all.
    leaves = "runs/*" if place == "runs" else "checkpoints/*"
    refused(*line.split(), named=(place,), leaves=leaves)


@pytest.mark.parametrize(
    ("line", "size", "named", "leaves"),
    [
        # What is whole of a download may stay: the next attempt goes on from there.
        ("download cityscapes", 100, "data/smoke/raw/cityscapes", "data/smoke/raw/cityscapes/*"),
        ("prepare cityscapes", 1000, "data/smoke/prepared", ""),
        ("predict hrnet18", 100, "predictions/smoke/hrnet18/truth", ""),
        ("tables pair", 100, "results/smoke/tables/pair.csv", ""),
        ("figures pair", 1000, "results/smoke/figures/pair_curves.png", ""),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing_half(
    done: Path, line: str, size: int, named: str, leaves: str, refused: Refused
) -> None:
    if line.startswith("download"):
        shutil.rmtree("data")
    with full(size):
        refused(*line.split(), named=(named, "File too large"), leaves=leaves)


def test_an_output_that_takes_nothing(empty: Path) -> None:
    before = tree(empty)
    with open("/dev/full", "w") as nowhere:
        told = subprocess.run(
            [sys.executable, "-m", "dejavu", "list"], stdout=nowhere, stderr=subprocess.PIPE, text=True
        )
    assert told.returncode == 2
    assert told.stderr.splitlines() == ["dejavu: the operating system: No space left on device"]
    assert tree(empty) == before
