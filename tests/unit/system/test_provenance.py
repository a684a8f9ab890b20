"""The commit that is recorded with results, and what is printed where git does not answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dejavu.system import provenance


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone of a package, as which the project's own takes itself."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    package = tmp_path / "clone" / "dejavu"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(
            ["git", "-C", str(package.parent), *identity, *command], check=True, capture_output=True
        )
    monkeypatch.setattr(provenance, "__file__", str(package / "system" / "provenance.py"))
    provenance.code.cache_clear()
    yield package.parent
    provenance.code.cache_clear()


def other_owner(clone: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return (
        f"dubious ownership in repository at '{clone}'): `git config --global --add safe.directory {clone}`"
    )


def broken(clone: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (clone / ".git" / "config").write_text("[core")
    return "git refuses (bad config line"


def not_installed(clone: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", str(clone))
    return "git is not installed"


Fault = Callable[[Path, pytest.MonkeyPatch], str]


@pytest.mark.parametrize("fault", [other_owner, broken, not_installed])
def test_a_clone_whose_git_does_not_answer_is_named_once(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Fault
) -> None:
    """In a process; and in DVC, which shows the output of all jobs, by its first stage alone."""
    sentence = fault(clone, monkeypatch)
    assert provenance.provenance()["commit"] is provenance.provenance()["dirty"] is None
    printed = capsys.readouterr().err
    assert printed.startswith("dejavu: results are recorded without commit, dirty: ")
    assert sentence in printed and printed.count("\n") == 1
    for stage, lines in (("train@hrnet18", 0), ("sources", 1)):
        provenance.code.cache_clear()
        monkeypatch.setenv("DVC_STAGE", stage)
        provenance.provenance()
        assert capsys.readouterr().err.count("\n") == lines


def test_no_word_about_code_that_is_no_clone(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(clone / ".git")
    assert provenance.provenance()["commit"] is None
    not_installed(clone, monkeypatch)
    provenance.code.cache_clear()
    assert provenance.provenance()["commit"] is None
    assert capsys.readouterr().err == ""
