"""Provenance: what differs between identical runs, kept beside a result, whose bytes stay the same."""

from __future__ import annotations

import os
import platform
import re
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
    """Return the package's commit, and whether its files differ from it; null where there is no git.

    Where the package lies in a clone and git does not answer, stderr says why.
    """
    folder = Path(__file__).resolve().parents[1]
    state: dict[str, Any] = {"commit": None, "dirty": None}
    try:
        # Installed into an environment, the code may lie inside somebody else's repository: not its commit.
        if _git(folder, "ls-files", "--", "__init__.py"):
            state["commit"] = _git(folder, "rev-parse", "HEAD")
            state["dirty"] = bool(_git(folder, "status", "--porcelain", "--", "."))
    except _Refused as refused:
        # DVC shows what its jobs print, and the stage `sources` is always the first.
        if (folder.parent / ".git").exists() and os.environ.get("DVC_STAGE", "sources") == "sources":
            missing = ", ".join(key for key in state if state[key] is None)
            print(f"dejavu: results are recorded without {missing}: {refused}", file=sys.stderr)
    return state


class _Refused(Exception):
    """The reason why git does not answer, with what would help."""


def _git(folder: Path, *arguments: str) -> str:
    """Return the answer of git. Raises _Refused where there is none."""
    command = ["git", "-C", str(folder), "--no-optional-locks", *arguments]
    english = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=english)
    except FileNotFoundError:
        raise _Refused("git is not installed") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise _Refused(f"git does not answer ({error})") from None
    if done.returncode == 0:
        return done.stdout.strip()
    reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0].removeprefix("fatal: ")
    command_that_helps = re.search(r"git config --global --add safe.directory .+", done.stderr)
    remedy = f": `{command_that_helps[0]}` allows it, if you trust its owner" if command_that_helps else ""
    raise _Refused(f"git refuses ({reason}){remedy}")


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
