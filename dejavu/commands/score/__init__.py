"""`dejavu score TASK`: score predictions in the field's file formats, whoever made them.

The numbers come from the metric code that fills the tables. The module of a task's name reads its files.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ...tasks import names
from ..common import add_json, print_json

HERE = Path(__file__).parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command a task; the parsed arguments carry `run`."""
    parser.set_defaults(run=run)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for task in names():
        reader = _reader(task)
        if reader is not None:
            command = tasks.add_parser(task, help=reader.SUMMARY, description=reader.TEXT)
            reader.add_arguments(command)
            add_json(command, ", which is always so")


def run(args: argparse.Namespace) -> None:
    """Print the scores as JSON on stdout. Raises DejavuError that names the file at fault."""
    reader = _reader(args.task)
    assert reader is not None
    print_json({"task": args.task, **reader.scores(args)})


def command(task: str, truth: Path, predictions: Path, classes: int) -> str | None:
    """The command that scores what `dejavu predict` wrote; None where there is none for the task."""
    reader = _reader(task)
    if reader is None:
        return None
    return f"dejavu score {task} {reader.arguments_for(truth, predictions, classes)}"


def _reader(task: str) -> ModuleType | None:
    """The module that reads a task's files, if there is one."""
    return import_module(f".{task}", __name__) if (HERE / f"{task}.py").is_file() else None
