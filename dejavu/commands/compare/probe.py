"""How long a row's training takes on this machine: `python -m dejavu.commands.compare.probe ROW`, in a study.

A few steps of the real training are run, data and validation included, and thrown away.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ...system.extras import extra
from .study import SCALE

if TYPE_CHECKING:
    from ...config import Run

FIRST, FURTHER = 2, 6
"""steps of the first training, and how many more the second one has"""


def probe(name: str) -> dict[str, float]:
    """Return seconds: `step`, `validation`, and `fixed`, which is what a training takes beside its steps."""
    from ...config.loading import load
    from ...config.paths import Paths
    from ...datasets.prepared.store import read_report

    run = load("params.yaml").run(name, SCALE)
    report = read_report(Paths(SCALE).prepared(run.dataset), run.data)
    from ...compute.skip_compiler import leave_compiler_out

    leave_compiler_out()
    from ...models.build import build_network
    from ...tasks import channels
    from ...training.data import read_data
    from ...training.validation import validate

    data = read_data(Paths(SCALE).prepared(run.dataset), report, run.tasks)
    network = build_network(run, channels(run.task, len(data.classes)), classes=data.classes)
    began = time.monotonic()
    validate(network, data, run.train.align_corners)
    validation = time.monotonic() - began
    first = _seconds(run, FIRST, data)
    step = max(0.0, _seconds(run, FIRST + FURTHER, data) - first) / FURTHER
    return {"step": step, "validation": validation, "fixed": max(0.0, first - FIRST * step)}


def _seconds(run: Run, steps: int, data: object) -> float:
    """Train for so many steps in a folder that is removed; return the seconds."""
    from ...training.checkpoint import RunFolder
    from ...training.loop import train

    recipe = run.train.model_copy(update={"epochs": None, "iterations": steps, "evaluations": 1})
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        train(run.model_copy(update={"train": recipe}), 0, data, RunFolder(Path(folder), "", ""))  # type: ignore[arg-type]
        return time.monotonic() - began


if __name__ == "__main__":
    with extra("pipeline", "this command"):
        print(json.dumps(probe(sys.argv[1])))
