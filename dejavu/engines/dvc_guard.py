"""Makes DVC refuse to run while Snakemake runs in the same clone, before DVC removes any file.

DVC removes a stage's outputs before it starts the command, so a refusal by the command itself
(one_at_a_time.py) comes too late. A running DVC lists the paths that it works on in `.dvc/tmp/rwlock`, and a
second DVC that needs one of them stops with an error. Snakemake's entry there names the whole clone. DVC
drops entries of processes that have ended, and entries from another machine; in these cases one_at_a_time.py
still refuses.

Upstream: the file is private to DVC (treeverse/dvc#2584; dvc/rwlock.py is the same in 3.60.0 and 3.67.1, the
newest release in 2026-12). Delete this module when pyproject.toml requires a release of DVC that runs a check
of ours before it removes outputs, or that removes them only after the command has ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..system.files import write_text
from ..system.locks import hold

FILE = Path(".dvc/tmp/rwlock")
GUARD = Path(".dvc/tmp/rwlock.lock")
"""lock of the process that reads or writes that file"""
COMMAND = "Snakemake, which is at work in this clone"


def announce() -> None:
    """Add an entry for this process that names the whole clone. Does nothing without a DVC folder."""
    entry = {"pid": os.getpid(), "cmd": COMMAND}
    _edit(lambda write: write | {str(Path.cwd()): entry})


def withdraw() -> None:
    """Remove the entry of `announce`."""
    own = os.getpid()
    _edit(lambda write: {path: who for path, who in write.items() if who != {"pid": own, "cmd": COMMAND}})


def _edit(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the entries of paths with a writer. A file of another format stays unchanged."""
    if not FILE.parents[1].is_dir():
        return
    with suppress(OSError), hold(GUARD, alone=True):
        try:
            entries = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
            entries["write"] = change(entries.get("write", {}))
        except (ValueError, TypeError, AttributeError):
            return
        write_text(FILE, json.dumps({"read": {}} | entries))
