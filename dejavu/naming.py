"""Names that point at something: it must be there."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import nearest


def known(name: str, section: Iterable[str], where: str, kind: str) -> None:
    """Raise ValueError, a sentence that starts with the key `where`, unless the name is a section's."""
    if name not in section:
        raise ValueError(f"{where}: unknown {kind} '{name}', {nearest(name, section)}")
