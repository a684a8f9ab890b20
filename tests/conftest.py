"""What the tests share."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# Before anything imports torch: one thread, as in a training job, and none that spins while it waits.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _as_torch_was() -> Iterator[None]:
    """A training in the test's own process makes torch deterministic, which must not reach the next test."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_deterministic_debug_mode("default")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with real data: DEJAVU_MIRROR, or ../shared/data. Tests that need it skip without it."""
    folder = Path(os.environ.get("DEJAVU_MIRROR") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no mirror of real data at {folder} (DEJAVU_MIRROR names another place)")
    return folder


@pytest.fixture
def demo_clone(tmp_path: Path) -> Path:
    """A working directory with params.yaml and smoke scale's data prepared, eight steps long."""
    from dejavu.commands import main

    text = (ROOT / "params.yaml").read_text()
    assert "{epochs: 1, batch_size: 4, " in text
    (tmp_path / "params.yaml").write_text(text.replace("{epochs: 1, ", "{epochs: 4, ", 1))
    shutil.copytree(ROOT / "paper", tmp_path / "paper")
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        for stage in ("download", "prepare"):
            assert main([stage, "cityscapes", "--scale", "smoke"]) == 0
    finally:
        os.chdir(before)
    return tmp_path
