"""Which GPU of a machine a process computes on: one that no other process of this project and user does.

Rows that run at once on one machine, `snakemake --resources gpu=8 all`, would otherwise all take the first.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import DejavuError
from ..lock import Sign, hold

_taken: Sign | None = None  # until the process ends, however it ends
_settled = False


def settle(first: int = 0, share: bool = True) -> None:
    """Have torch compute on a free GPU of this machine from now on, looked for from number `first` on.

    Where all are at work it is the one with the most free memory, if this process may `share` it. Nothing
    happens in a process that has settled.

    Raises DejavuError where it may not.
    """
    global _settled
    if _settled:
        return
    import torch

    seen = torch.cuda.device_count()
    number = claim([str(torch.cuda.get_device_properties(one).uuid) for one in range(seen)], first)
    if number is None:
        if not share:
            raise DejavuError(
                f"each of the {seen} GPUs of this machine is at work for another process of yours: wait for "
                "its end, or give Snakemake `--resources gpu=N`, so that it asks for no more than there are"
            )
        number = max(range(seen), key=lambda one: torch.cuda.mem_get_info(one)[0])
        print(f"each of the {seen} GPUs is at work: GPU {number} is shared", file=sys.stderr)
    torch.cuda.set_device(number)
    _settled = True


def claim(names: Sequence[str], first: int = 0) -> int | None:
    """Take one of these GPUs, which all processes call the same, until this one ends.

    The number of the first that nobody has, from `first` on; None where all are taken.
    """
    global _taken
    folder = Path(tempfile.gettempdir()) / f"dejavu-{os.getuid()}"
    for number in (*range(first, len(names)), *range(min(first, len(names)))):
        try:
            _taken = hold(folder / f"gpu-{names[number]}.lock", alone=True, seconds=0.0)
        except BlockingIOError:
            continue
        except OSError:  # there is no room for locks: as if this was the only process
            pass
        return number
    return None
