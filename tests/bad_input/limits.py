"""What this process may have for a while: files of some size, some memory."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """So much of one of `resource`'s kinds, as long as this lasts."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@contextmanager
def full(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a full disk."""
    with limited(resource.RLIMIT_FSIZE, size):
        yield


@contextmanager
def little_memory(more: int) -> Iterator[None]:
    """So many bytes of memory beside what is taken now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    with limited(resource.RLIMIT_AS, pages * resource.getpagesize() + more):
        yield
