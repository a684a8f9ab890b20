"""Random numbers by purpose.

Every draw comes from a generator that is made anew from (seed, purpose, step). So a resumed run needs no
generator state, and what the redaction draws cannot shift the augmentation or the data order: a baseline
and its DejaVu row see the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, purpose: str, step: int = 0) -> int:
    """A 63-bit seed for one purpose and step.

    >>> derive(0, "order", 1) == derive(0, "order", 1), derive(0, "order", 1) == derive(0, "augment", 1)
    (True, False)
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A CPU generator for one purpose and step."""
    return torch.Generator().manual_seed(derive(seed, purpose, step))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's CPU numbers start from a seed; outside, the global random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs too
        yield
