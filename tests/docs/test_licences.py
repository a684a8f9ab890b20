"""docs/licences.md names the licence of every package that `make all` installs."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from types import ModuleType

import pytest
from helpers import ROOT

PAGE = (ROOT / "docs" / "licences.md").read_text()
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
ROWS = {
    f"{name}=={version}": licence
    for name, version, licence in re.findall(r"^\| (\S+) \| (\d\S*) \| (.+) \|$", PAGE, re.M)
}


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    """docs/tools/licences.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_licences", ROOT / "docs" / "tools" / "licences.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_of_the_lock_is_there_in_its_version() -> None:
    assert list(ROWS) == LOCK, "run: python docs/tools/licences.py"


def test_every_licence_is_stated_but_of_a_package_without_content() -> None:
    assert {line.partition("==")[0] for line, licence in ROWS.items() if licence == "not stated"} == {
        "cuda-toolkit"  # names other packages, and holds no file of its own
    }


@pytest.mark.parametrize(
    ("package", "licence"),
    [
        ("numpy", "BSD-3-Clause"),
        ("torchjd", "MIT License"),
        ("PyYAML", "MIT"),
        ("L2M4M", r"GNU .* v3 \(GPLv3\)"),
    ],
)
def test_licences_are_the_known_ones(package: str, licence: str) -> None:
    """As their projects' pages say."""
    found = next(text for line, text in ROWS.items() if line.startswith(f"{package}=="))
    assert re.match(licence, found)


def test_the_page_is_what_the_script_writes(licences: ModuleType) -> None:
    for line in LOCK:
        name, _, version = line.partition("==")
        try:
            here = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            here = "no version"
        if here != version:
            pytest.skip(f"{name} is here in {here}, not in {version}")
    assert licences.page(ROOT / "requirements.lock") == PAGE


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("no-such-package==1.0", "lock.txt: no-such-package is not installed here, run make all first"),
        ("pytest==0.1", "lock.txt: pytest==0.1 is installed as .+, run make lock first"),
    ],
)
def test_another_environment_is_one_sentence(
    licences: ModuleType, tmp_path, line: str, sentence: str
) -> None:
    (tmp_path / "lock.txt").write_text(f"{line}\n")
    with pytest.raises(licences.DejavuError, match=f"^{sentence}$"):
        licences.page(tmp_path / "lock.txt")


def test_names_are_escaped(licences: ModuleType) -> None:
    assert licences.escaped("GPL|<b>_x_") == r"GPL\|\<b\>\_x\_"
