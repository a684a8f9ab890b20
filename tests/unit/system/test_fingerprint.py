"""The code that a result depends on is all code that a run can reach, and no other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from helpers import ROOT, copy_params

from dejavu.config import loading
from dejavu.evaluation.measure import measuring_roots
from dejavu.system import fingerprint
from dejavu.training.checkpoint import training_roots

PARAMS = loading.load(ROOT / "params.yaml")
RUN = PARAMS.run("hrnet18_dejavu", "smoke")
ROOTS = {"training": training_roots(RUN), "measurement": measuring_roots(RUN)}


def files(roots: list[str]) -> set[str]:
    """Paths below `dejavu` of an import closure."""
    closure = fingerprint.import_closure(roots)
    return {file.relative_to(fingerprint.PACKAGE).as_posix() for file in closure}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package, which may be edited; fingerprints are those of the copy."""
    package = tmp_path / "dejavu"
    shutil.copytree(fingerprint.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    caches = (fingerprint._code_hash, fingerprint._imported, fingerprint._file)
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    for cached in caches:
        cached.cache_clear()
    yield package
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("kind", ROOTS)
def test_an_edit_of_any_file_that_a_run_reaches_changes_the_hash(kind: str, copy: Path) -> None:
    before = fingerprint.code_hash(ROOTS[kind])
    closure = fingerprint.import_closure(ROOTS[kind])
    assert len(closure) > 40
    for file in closure:
        content = file.read_bytes()
        file.write_bytes(content + b"\n# edited\n")
        fingerprint._code_hash.cache_clear()
        assert fingerprint.code_hash(ROOTS[kind]) != before, file
        file.write_bytes(content)
    fingerprint._code_hash.cache_clear()
    assert fingerprint.code_hash(ROOTS[kind]) == before


NEIGHBOURS = (
    *("networks/new.py", "networks/segformer.py", "datasets/new.py", "datasets/kitti.py", "commands/new.py"),
    *("tasks/new.py", "tasks/normals.py", "metrics/new.py", "metrics/normals.py"),
    *("reports/tables/new.py", "reports/figures/new.py", "reports/statistics.py", "planning/plan.py"),
)


@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_do_not_change_the_hash(name: str, kind: str, copy: Path) -> None:
    before = fingerprint.code_hash(ROOTS[kind])
    with open(copy / name, "a") as file:
        file.write("\n# new or edited\n")
    fingerprint._code_hash.cache_clear()
    fingerprint._file.cache_clear()
    assert fingerprint.code_hash(ROOTS[kind]) == before


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports between the package's modules, by another library; late ones too."""
    return grimp.build_graph("dejavu", exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("kind", ROOTS)
def test_the_closure_is_that_of_another_library(kind: str, graph: grimp.ImportGraph) -> None:
    names = {f"dejavu.{root}" for root in ROOTS[kind]}
    reached = names.union(*(graph.find_upstream_modules(name) for name in names)) - {"dejavu"}
    expected = {name.removeprefix("dejavu.").replace(".", "/") for name in reached}
    own = {name.removesuffix(".py").removesuffix("/__init__") for name in files(ROOTS[kind])}
    assert expected <= own
    # An import also runs the packages above its module, and what these import.
    packages = {parent.as_posix() for name in own for parent in Path(name).parents if parent != Path(".")}
    more = {module for module in own - expected if module not in packages}
    runs = {f"dejavu.{name.replace('/', '.')}" for name in packages}
    assert {f"dejavu.{name.replace('/', '.')}" for name in more} <= set().union(
        *(graph.find_upstream_modules(name) for name in runs)
    )


def test_what_is_imported_by_name_is_known() -> None:
    """Only these modules import others by a name that is made at run time; `training_roots` knows of them."""
    closure = {name for roots in ROOTS.values() for name in files(roots)}
    text = {name: (fingerprint.PACKAGE / name).read_text() for name in closure}
    by_name = {name for name in closure if re.search(r"import_module\(|__import__\(", text[name])}
    assert by_name == BY_NAME


BY_NAME = {
    *("compute/skip_compiler.py", "datasets/__init__.py", "metrics/__init__.py", "networks/__init__.py"),
    *(
        "tasks/__init__.py",
        "system/own_code.py",
    ),  # the latter: a user's own, and its file is hashed
}

# The command line, what reads and checks params.yaml (its result is in the hash of the configuration), and
# checks of the data that only refuse.
BEFORE_A_RUN = (
    *("__main__", "commands", "engines"),
    *("config.loading", "config.file", "config.yaml", "config.cross_checks"),
    *("datasets.prepared.checks", "datasets.prepared.counts"),
)

PROGRAM = """
import json, sys
from dejavu.commands import main
status = [main([command, name, "--scale", "smoke"]) for command, name in json.loads(sys.argv[1])]
print(json.dumps([status, sorted(name for name in sys.modules if name.startswith("dejavu."))]))
"""


@pytest.mark.parametrize("experiment", ["hrnet18_dejavu", "mtl_dejavu"], ids=["one task", "several tasks"])
def test_whatever_a_run_has_loaded_is_in_its_closure(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules of the process that has trained and measured a row, but those of the command line."""
    monkeypatch.chdir(tmp_path)
    copy_params(tmp_path)
    run = PARAMS.run(experiment, "smoke")
    prepare = [["download", run.dataset], ["prepare", run.dataset]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for commands in (prepare, [["train", experiment], ["evaluate", experiment]]):
        command = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    status, loaded = json.loads(done.stdout.splitlines()[-1])
    assert status == [0, 0]
    closure = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for roots in (training_roots(run), measuring_roots(run), ["training.measured"])
        for name in files(roots)
    }
    names = {name.removeprefix("dejavu.") for name in loaded}
    assert not {name for name in names - closure if not name.startswith(BEFORE_A_RUN)}
