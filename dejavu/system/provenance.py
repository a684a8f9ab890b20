"""Provenance: what differs between identical runs, kept beside a result, whose bytes stay the same."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .files import write_json

PACKAGES = ("torch", "timm", "numpy", "scipy", "safetensors")


def write_sidecar(path: Path, **more: Any) -> None:
    """Write the sidecar `path`: where it comes from, and whatever is given (JSON values)."""
    write_json(path, {**provenance(), **more})


def provenance() -> dict[str, Any]:
    """Return what differs between identical runs: commit, versions, machine, date."""
    return {**code(), "versions": _versions(), "machine": _machine(), "date": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def code() -> dict[str, Any]:
    """Return the package's commit, and whether its files differ from it; null where there is no git."""
    folder = Path(__file__).resolve().parents[1]
    # Installed into an environment, the code may lie inside somebody else's repository: not its commit.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"commit": None, "dirty": None}
    status = _git(folder, "status", "--porcelain", "--", ".")
    return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str | None]:
    from .. import __version__

    versions: dict[str, str | None] = {"python": platform.python_version(), "dejavu": __version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def _machine() -> dict[str, Any]:
    torch = sys.modules.get("torch")  # what did not use torch did not use a GPU
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "threads": torch.get_num_threads() if torch is not None else None,
    }


def cpu_name() -> str:
    """Return the processor's name; on Linux `platform` knows the architecture only."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
