"""Plug-ins are read from their source: what is written otherwise than that needs is one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dejavu import registry
from dejavu.errors import DejavuError

CACHES = (registry._tree, registry._files, registry._registry, registry._options)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that the registry reads."""
    shutil.copytree(registry.HERE, tmp_path / "dejavu", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(registry, "HERE", tmp_path / "dejavu")
    for cached in CACHES:
        cached.cache_clear()
    yield tmp_path / "dejavu"
    for cached in CACHES:
        cached.cache_clear()


def test_an_option_of_another_type_is_named(package: Path) -> None:
    text = "def build(num_classes, width=1.0, depth=1.0, *, sizes: list[int] = (1, 2)): ..."
    (package / "networks/new.py").write_text(text)
    with pytest.raises(DejavuError, match=r"'new': sizes is annotated as list\[int\], .* PositiveInt"):
        registry.check("networks", "new", {"sizes": [1]}, "networks.new")


@pytest.mark.parametrize("line", ["DATASET = Dataset()", "DATASET: Dataset = Dataset()"])
def test_a_dataset_is_known_with_and_without_an_annotation(line: str, package: Path) -> None:
    (package / "datasets/new.py").write_text(line)
    assert "new" in registry.modules("datasets")


@pytest.mark.parametrize("line", ['TASK = Flow(name="flow")', 'TASK: Flow = Flow(name="flow")'])
def test_facts_are_read_with_and_without_an_annotation(line: str, package: Path) -> None:
    file = package / "tasks/flow.py"
    file.write_text(line)
    assert registry.keywords(file, "TASK") == {"name": "flow"}


def test_facts_that_are_no_literals_are_named(package: Path) -> None:
    file = package / "tasks/flow.py"
    file.write_text("TASK = Flow(name=NAME)")
    with pytest.raises(DejavuError, match="dejavu/tasks/flow.py: TASK's name must be written as a literal"):
        registry.keywords(file, "TASK")


def test_a_networks_facts_are_read(package: Path) -> None:
    (package / "networks/new.py").write_text('MULTITASK: bool = True\nTASK = "panoptic"\n')
    assert registry.is_multitask("new") and registry.only_task("new") == "panoptic"
    assert not registry.is_multitask("hrnet") and registry.only_task("hrnet") is None
