"""The place that bad inputs are put into, and their number at the end of the tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from . import samples
from .checks import Refused, check

COUNTED = "bad input"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], record_property: Any) -> Refused:
    """`checks.check` of one command line, counted."""

    def refuse(*arguments: object, named: tuple[str, ...], listed: bool = False, leaves: str = "") -> str:
        sentence = check([str(argument) for argument in arguments], named, capsys, listed, leaves)
        record_property(COUNTED, sentence)
        return sentence

    return refuse


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with nothing but a right params.yaml and an earlier result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    samples.write(tmp_path, samples.params())
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "earlier.json").write_text("{}")
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which both rows were trained and measured."""
    return samples.finished_in(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def done(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of `finished`, to spoil."""
    copy = shutil.copytree(finished, tmp_path / "done")
    monkeypatch.chdir(copy)
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    return copy


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many bad inputs were refused."""
    reports = [report for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    count = sum(key == COUNTED for report in reports for key, _ in report.user_properties)
    if count:
        terminalreporter.write_line(f"bad inputs: {count}, each refused in one sentence")
