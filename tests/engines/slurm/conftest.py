"""The cluster, and what was counted on it at the end of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .cluster import Cluster, NotHere, running

TOLD = "slurm"
Tell = Callable[[str], None]


@contextmanager
def had(cluster: Cluster) -> Iterator[Cluster]:
    try:
        with running(cluster):
            yield cluster
    except NotHere as reason:
        pytest.fail(str(reason), pytrace=False)  # who asks for these tests wants them run


def _base(request: pytest.FixtureRequest) -> Path:
    """The same folder each time, so that a run finds what a killed one has left; short, for sockets."""
    return Path("/tmp") / f"dejavu-{request.module.__name__.rpartition('.')[2]}"


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One node with two processors and two stand-in GPUs, and no accounting."""
    with had(Cluster(_base(request))) as made:
        yield made


@pytest.fixture(scope="module")
def accounting(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The same with slurmdbd, so that sacct answers."""
    with had(Cluster(_base(request), accounting=True)) as made:
        yield made


@pytest.fixture
def tell(record_property: Any) -> Tell:
    """Say a line at the end of the tests."""
    return lambda line: record_property(TOLD, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the tests counted and measured."""
    for report in terminalreporter.stats.get("passed", ()):
        if report.when == "call":
            for key, line in report.user_properties:
                if key == TOLD:
                    terminalreporter.write_line(f"slurm: {line}")
