"""Has DVC refuse, before it touches anything, to work where Snakemake does.

DVC removes a stage's outputs before it starts the command, whose refusal would come too late. What a running
DVC works on stands in `.dvc/tmp/rwlock`, and a second one that wants the same says so and stops; there
Snakemake says that it works on the whole clone. An entry of a process that has gone DVC drops by itself; so
it does with one of another machine, whose processes it cannot see: one_at_a_time.py still refuses.
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
"""held by who reads or writes that file"""
SAID = "Snakemake, which is at work in this clone"


def occupy() -> None:
    """Say that this process works on all of the clone, as long as it lives; nothing where there is no DVC."""
    here = {"pid": os.getpid(), "cmd": SAID}
    _edit(lambda write: write | {str(Path.cwd()): here})


def leave() -> None:
    """Take that back."""
    own = os.getpid()
    _edit(lambda write: {path: who for path, who in write.items() if who != {"pid": own, "cmd": SAID}})


def _edit(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change what is being written to. A file of another form is DVC's affair: it is left as it is."""
    if not FILE.parents[1].is_dir():
        return
    with suppress(OSError), hold(GUARD, alone=True):
        try:
            found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
            found["write"] = change(found.get("write", {}))
        except (ValueError, TypeError, AttributeError):
            return
        write_text(FILE, json.dumps({"read": {}} | found))
