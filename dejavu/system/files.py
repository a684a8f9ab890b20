"""Files that are whole or absent: atomic writes, canonical JSON, checksums."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DejavuError


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    A block that fails leaves nothing behind and an earlier `path` untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: some writers choose their format by it.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path, temporary):
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let an OSError name `path` that names no file, as that of a full disk in the midst of writing.

    So does one that names `temporary`.
    """
    try:
        yield
    except OSError as error:
        unknown = error.filename is None or str(error.filename) == str(temporary)
        if unknown and error.errno is not None:
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a file's text. Raises DejavuError where it is not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except ValueError as error:
        raise DejavuError(f"{path} is no text in UTF-8 ({error})") from None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` atomically with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str], hint: str = "") -> Any:
    """Read a JSON file.

    Raises DejavuError that names the file (and gives `hint`, how to make it) when it is missing
    or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing{': ' + hint if hint else ''}") from None
    except (ValueError, RecursionError) as error:  # of text, JSON, numbers of thousands of digits, or depth
        raise DejavuError(f"{path} is not valid JSON ({error}){': ' + hint if hint else ''}") from None


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
