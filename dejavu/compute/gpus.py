"""The GPU of a process: one that no other process of this project and user computes on.

Rows that run at once on one machine, `snakemake --resources gpu=8 all`, would otherwise all take the first.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.locks import HeldLock, hold

if TYPE_CHECKING:
    import torch

_taken: HeldLock | None = None  # until the process ends, however it ends
_settled = False


def device() -> torch.device:
    """Return the GPU that this process has chosen, or chooses now; the processor where there is none."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    settle()
    return torch.device("cuda", torch.cuda.current_device())


def settle(own: int | None = None) -> None:
    """Have torch compute on a free GPU of this machine from now on, once in a process.

    If all are busy it is any of them. `own` is the number that one of more processes must have, since
    no two of them can share one: others that settle later keep off it.
    """
    global _settled
    if _settled:
        return
    import torch

    visible = range(torch.cuda.device_count()) if own is None else range(own, own + 1)
    number = claim([str(torch.cuda.get_device_properties(device).uuid) for device in visible])
    if number is None:
        number = os.getpid() % len(visible)
        print(
            f"another process of yours computes on each GPU: GPU {visible[number]} is shared", file=sys.stderr
        )
    torch.cuda.set_device(visible[number])
    _settled = True


def claim(names: Sequence[str]) -> int | None:
    """Take the first of these GPUs that nobody has, until this process ends; None where all are taken.

    All processes call them the same.
    """
    global _taken
    folder = Path(tempfile.gettempdir()) / f"dejavu-{os.getuid()}"
    for number, name in enumerate(names):
        try:
            _taken = hold(folder / f"gpu-{name}.lock", alone=True, seconds=0.0, advice="GPUs may be shared")
            return number
        except BlockingIOError:
            continue
        except OSError:  # there is no room for locks: as if this was the only process
            return number
    return None
