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
import yaml
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import dejavu
from dejavu.system import extras

PROGRAMS = ("python3.11", "python3", "python", "pip", "snakemake", "dvc", "mypy", "ruff")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = PROJECT["project"]["name"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DECLARED = [
    Requirement(line)
    for lines in (PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"], *EXTRAS.values())
    for line in lines
]
REQUIRED = list({str(one): one for one in DECLARED if one.name != NAME}.values())
LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCK = {
    canonicalize_name(name): Version(version) for name, _, version in (line.partition("==") for line in LINES)
}


def test_lock_has_names_and_versions_only() -> None:
    """No local versions (1.0+cpu), no addresses, no hashes: those fail on other machines."""
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d+(\.\w+)*", line)] == []
    assert sorted(LINES, key=str.upper) == LINES, "as `make lock` writes it"
    assert len(LOCK) == len(LINES)


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
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
    """A comment of at least two words stands beside each, in every extra."""
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in DECLARED:
        lines = [
            line for line in text.splitlines() if re.search(rf'"{re.escape(requirement.name)}[<>=[]', line)
        ]
        assert lines, requirement
        for line in lines:
            assert re.search(r"# \S+ \S+", line), f"no reason beside {requirement}"


def test_extras_include_each_other_by_names_that_exist() -> None:
    for requirement in DECLARED:
        if requirement.name == NAME:
            assert requirement.extras and requirement.extras <= EXTRAS.keys()
    assert NAME == extras.DISTRIBUTION, "the name that sentences about missing packages give"


def test_extras_that_the_code_names_exist() -> None:
    code = "".join(file.read_text() for file in (ROOT / "dejavu").rglob("*.py"))
    named = set(re.findall(r'\bextra\(\s*"([^"]+)"', code))
    assert {"perceptual", "text", "networks", "pipeline", "tensorboard"} <= named <= EXTRAS.keys()


def test_one_package_has_one_bound() -> None:
    """Where two extras bring a package, they ask for the same versions of it."""
    assert len({one.name for one in REQUIRED}) == len(REQUIRED)


def test_help_comes_at_once() -> None:
    """Under half a second. Processor time, because the wall clock counts what else the machine does."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "dejavu", "--help"], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


def make(target: str, folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder with the Makefile and what .venv is made from, and shell scripts first on PATH."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        if not (folder / name).exists():
            shutil.copy(ROOT / name, folder)
    first = folder / "programs"
    first.mkdir(exist_ok=True)
    for name, script in programs.items():
        (first / name).write_text(f"#!/bin/sh\n{script}\n")
        (first / name).chmod(0o755)
    environment = {"PATH": f"{first}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(["make", target], cwd=folder, env=environment, capture_output=True, text=True)


def test_old_python_stops_make_with_one_sentence(tmp_path: Path) -> None:
    made = make("test", tmp_path, **{"python3.11": "exit 1", "python3": "exit 1"})
    assert made.returncode != 0
    assert "Python 3.11 or later is needed, as python3.11 or python3 on PATH." in made.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    "target", re.findall(r"^([\w.-]+): \$\(READY\)", (ROOT / "Makefile").read_text(), re.M)
)
def test_an_environment_of_the_users_own_is_left_alone(tmp_path: Path, target: str) -> None:
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    made = make(target, tmp_path, **{name: f"touch {tmp_path}/touched" for name in PROGRAMS})
    assert made.returncode != 0
    first, *others = made.stderr.splitlines()
    assert first.startswith("This Makefile did not make .venv and installs nothing into it: ")
    assert [line for line in others if not line.startswith("make: ***")] == []
    assert not (tmp_path / "touched").exists()
    assert [path for path in (tmp_path / ".venv").rglob("*") if path.is_file()] == [own]


def test_setup_makes_the_environment_once_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    """With a Python that makes an empty one, and a pip that notes its calls."""
    pip = f"echo pip $* >> {tmp_path}/calls; [ -e {tmp_path}/enough ]"
    python = f"mkdir -p {tmp_path}/.venv/bin"
    made = make("setup", tmp_path, **{"python3.11": python, "pip": pip})
    assert made.returncode != 0 and not (tmp_path / ".venv" / ".ready").exists()
    (tmp_path / "enough").touch()
    for expected in (3, 3):  # the first call's, and two of the second; the third has nothing to do
        made = make("setup", tmp_path, **{"python3.11": python, "pip": pip})
        assert made.returncode == 0, made.stderr
        assert len((tmp_path / "calls").read_text().splitlines()) == expected


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    releases = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0] == dejavu.__version__
    assert releases == sorted(releases, key=Version, reverse=True)


def test_the_citation_has_what_its_format_requires() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["project"]["license"]
    assert "version" not in citation, "dejavu/__init__.py has the only one"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_of_the_pages_at_the_top_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
