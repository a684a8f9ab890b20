"""Optional packages: what a user reads where one is missing.

The library needs torch and numpy; all else is brought by an extra of the distribution (pyproject.toml).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ..errors import DejavuError

DISTRIBUTION = "dejavu-dense"


@contextmanager
def extra(name: str, purpose: str, more: str = "") -> Iterator[None]:
    """Import optional packages in this block; a missing one is one sentence that names the extra.

    Args:
        name: the extra that brings them.
        purpose: what needs them, the subject of the sentence.
        more: the end of the sentence.

    Raises DejavuError for a missing package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = missing_package(error)
        if package is None:
            raise
        raise DejavuError(sentence(package, name, purpose) + more) from None


def sentence(package: str, name: str, purpose: str) -> str:
    """Return the message for a missing `package`, which the extra `name` installs.

    >>> sentence("torchvision", "perceptual", "the perceptual term")
    "the perceptual term needs the package torchvision: pip install 'dejavu-dense[perceptual]'"
    """
    return f"{purpose} needs the package {package}: pip install '{DISTRIBUTION}[{name}]'"


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return the package that is not installed; None where one is, and lacks a module.

    >>> missing_package(ModuleNotFoundError(name="no_such_package.inner"))
    'no_such_package'
    >>> missing_package(ModuleNotFoundError(name="dejavu.no_such_module"))
    """
    package = (error.name or "").partition(".")[0]
    return package if package and find_spec(package) is None else None
