"""What a fresh machine depends on: dependencies and versions, the Makefile, a command that starts at once."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED_FOR = [
    Requirement(line)
    for lines in (
        PROJECT["build-system"]["requires"],
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
    )
    for line in lines
]
LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCK = {
    canonicalize_name(name): Version(version) for name, _, version in (line.partition("==") for line in LINES)
}


def test_lock_has_names_and_versions_only() -> None:
    """No local versions (1.0+cpu), no addresses, no hashes: those fail on other machines."""
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d+(\.\w+)*", line)] == []
    assert sorted(LINES, key=str.upper) == LINES, "as `make lock` writes it"
    assert len(LOCK) == len(LINES)


@pytest.mark.parametrize("requirement", ASKED_FOR, ids=lambda requirement: requirement.name)
def test_lock_holds_what_pyproject_asks_for(requirement: Requirement) -> None:
    version = LOCK.get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} is not in requirements.lock"
    assert requirement.specifier.contains(version, prereleases=True)


def test_lock_holds_what_its_packages_ask_for() -> None:
    """Set-up installs with --no-deps: what the lock leaves out would be missed at run time."""
    missing, seen = [], 0
    for name, version in LOCK.items():
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(Version(package.version).public) != version:
            continue  # an environment of the user's own
        seen += 1
        for needed in map(Requirement, package.requires or []):
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            held = LOCK.get(canonicalize_name(needed.name))
            if held is None or not needed.specifier.contains(held, prereleases=True):
                missing.append(f"{name} asks for {needed}, the lock holds {held}")
    assert missing == []
    if not seen:
        pytest.skip("nothing of requirements.lock is installed here")


def test_each_dependency_has_its_reason() -> None:
    """A comment of at least two words stands beside each."""
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in ASKED_FOR:
        line = next(
            line for line in text.splitlines() if re.search(rf'"{re.escape(requirement.name)}[<>=]', line)
        )
        assert re.search(r"# \S+ \S+", line), f"no reason beside {requirement}"


def test_help_comes_at_once() -> None:
    """Under half a second. Processor time, because the wall clock counts what else the machine does."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "dejavu", "--help"], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


def test_old_python_stops_make_with_one_sentence(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    fakes = tmp_path / "old"
    fakes.mkdir()
    for name in ("python3.11", "python3"):
        (fakes / name).write_text("#!/bin/sh\nexit 1\n")
        (fakes / name).chmod(0o755)
    environment = {"PATH": f"{fakes}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
    made = subprocess.run(["make", "test"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert made.returncode != 0
    assert "Python 3.11 or later is needed, as python3.11 or python3 on PATH." in made.stderr
    assert not (tmp_path / ".venv").exists()
