"""Random numbers by purpose.

Every draw comes from a generator that is made anew from (seed, purpose, step). So a resumed run needs no
generator state, and what the redaction draws cannot shift the augmentation or the data order: a baseline
and its DejaVu row see the same batches.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .processes import rank


def derive(seed: int, purpose: str, step: int = 0) -> int:
    """Derive a 63-bit seed for one purpose and step.

    >>> derive(0, "order", 1) == derive(0, "order", 1), derive(0, "order", 1) == derive(0, "augment", 1)
    (True, False)
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Return a CPU generator for one purpose and step."""
    return torch.Generator().manual_seed(derive(seed, purpose, step))


def rows(n: int, *shape: int, generator: torch.Generator | None, **options: Any) -> Tensor:
    """Draw (n, *shape) numbers in [0, 1), a row for each of n images, on the generator's device.

    Each process that shares a batch (torch.distributed) draws the numbers of the whole batch and takes its
    own, so that an image has the same numbers with any number of processes.
    """
    here = rank()
    device = generator.device if generator is not None else torch.device("cpu")
    drawn = torch.rand(n * here.world_size, *shape, generator=generator, device=device, **options)
    return drawn[here.share(n)]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's CPU numbers start from a seed; outside, the global random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))  # torch.manual_seed would reseed the GPUs too
        yield


@contextmanager
def undisturbed(images: Tensor) -> Iterator[None]:
    """Within it anything may be drawn; outside, the global random states are as they were.

    These are Python's, numpy's, torch's on the processor and torch's on the device of the images.
    """
    device = images.device if isinstance(images, Tensor) else torch.device("cpu")
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
