"""Compare requirements.lock with a clone of pypa/advisory-database: which versions have known faults.

    git clone --depth 1 https://github.com/pypa/advisory-database
    python docs/tools/audit.py advisory-database

It works where pip-audit does not: offline, with a clone that came from elsewhere. The exit status is 1
where a version has a fault, and 2 where there is nothing to compare with.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

LOCK = Path(__file__).parents[2] / "requirements.lock"


def locked(text: str) -> dict[str, str]:
    """The versions of a lock file by canonical names."""
    pairs = (line.split("==") for line in text.splitlines() if "==" in line)
    return {canonicalize_name(name.strip()): version.strip() for name, version in pairs}


def affects(advisory: dict[str, Any], name: str, version: str) -> bool:
    """Whether an advisory (in OSV's form) says that this version of a package has its fault."""
    if "withdrawn" in advisory:
        return False
    parts = [part for part in advisory.get("affected", ()) if _named(part, name)]
    return any(
        version in part.get("versions", ())
        or any(_within(span["events"], version) for span in part.get("ranges", ()) if span["type"] != "GIT")
        for part in parts
    )


def _named(part: dict[str, Any], name: str) -> bool:
    return bool(canonicalize_name(part["package"]["name"]) == name)


def _within(events: Iterable[dict[str, str]], version: str) -> bool:
    """Whether a version lies behind the last event that says `introduced`."""
    found = False
    for event in sorted(events, key=_place):
        if "introduced" in event and _number(event["introduced"]) <= _number(version):
            found = True
        if "fixed" in event and _number(event["fixed"]) <= _number(version):
            found = False
        if "last_affected" in event and _number(event["last_affected"]) < _number(version):
            found = False
    return found


def _place(event: dict[str, str]) -> Version:
    return _number(next(iter(event.values())))


def _number(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:  # some old ones: before all others
        return Version("0")


def main(arguments: Sequence[str]) -> int:
    """Print every fault of the locked versions; the exit status."""
    folder = Path(arguments[0]) / "vulns" if len(arguments) == 1 else None
    if folder is None or not folder.is_dir():
        print(
            "audit: give the folder of a clone of pypa/advisory-database, which has vulns/", file=sys.stderr
        )
        return 2
    versions, faults, read = locked(LOCK.read_text()), 0, 0
    for file in sorted(folder.glob("*/*.yaml")):
        read += 1
        name = str(canonicalize_name(file.parent.name))
        if name not in versions:
            continue
        advisory = yaml.safe_load(file.read_text(encoding="utf-8"))
        if affects(advisory, name, versions[name]):
            faults += 1
            first = str(advisory.get("details", "")).split(". ")[0]
            print(f"{name} {versions[name]}: {advisory['id']}: {' '.join(first.split())}")
    if not read:
        print(f"audit: {folder} has no advisories", file=sys.stderr)
        return 2
    date = _git(folder, "log", "-1", "--format=%cs")
    print(f"{len(versions)} packages, {read} advisories of {date or 'unknown date'}: {faults} faults")
    return 1 if faults else 0


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
