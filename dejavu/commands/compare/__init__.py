"""`dejavu compare`: whether DejaVu helps on a folder of the user's own, in one command.

It writes a study, a folder with its own params.yaml, and runs the pipeline's stages there. `dejavu` commands
and Snakemake work in that folder, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..common import add_json
from ..parser import number

TASKS = ("semantic", "depth", "normals")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folders, what is trained, and for how long."""
    for name, what in (
        ("--images", "a folder of images, with or without sub-folders"),
        ("--labels", "a folder of the images' ground truth: files of the same names"),
    ):
        parser.add_argument(name, type=Path, metavar="DIR", required=True, help=what)
    parser.add_argument("--task", choices=TASKS, default="semantic", help="default: semantic")
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="names of the classes in the order of their label values, road,car,..., or their number",
    )
    parser.add_argument(
        "--ignore",
        default="255",
        metavar="VALUES",
        help="label values that are of no class, 0,255 for example, or none; default: 255",
    )
    parser.add_argument(
        "--network",
        default="fpn_lite0",
        metavar="NAME",
        help="fpn_lite0 (default), a network of params.yaml, or package.module:function, which makes a "
        "torch module from num_classes",
    )
    parser.add_argument(
        "--seeds", type=number(1, 100, whole=True), default=5, metavar="N", help="pairs; default: 5"
    )
    parser.add_argument(
        "--minutes",
        type=number(0, 100_000, "(]"),
        default=30.0,
        metavar="N",
        help="time for everything, which sets the length of the trainings; default: 30",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="the folder of the study; default: compare-IMAGES"
    )
    parser.add_argument("--epochs", type=number(1, 100_000, whole=True), help=argparse.SUPPRESS)
    parser.add_argument("--short-side", type=number(16, 4096, whole=True), help=argparse.SUPPRESS)
    add_json(parser, "; progress goes to stderr")


def run(args: argparse.Namespace) -> None:
    """Run the command, or go on where the same line was stopped."""
    from .request import Request
    from .whole import compare

    compare(Request.from_arguments(args), args.json)
