"""The library as people install it: the wheel beside torch, numpy and what these need, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from helpers import ROOT
from packaging.requirements import Requirement

import dejavu

LOOP = """
import torch
from torch import nn
network = nn.Conv2d(3, 19, 3, stride=4, padding=1)
loader = [(torch.randn(2, 3, 32, 64), torch.randint(19, (2, 8, 16)))] * 2
criterion = nn.CrossEntropyLoss()
"""
MISSING = {
    "perceptual": ("torchvision", "dejavu.Perceptual(width=0.25)"),
    "text": ("open_clip", "dejavu.TextSupervision(classes=['road'])"),
    "networks": ("timm", "dejavu.networks.build('hrnet', 19)"),
}


def closure(*names: str) -> dict[str, metadata.Distribution]:
    """Installed distributions that `names` need, directly or not, and their own."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        key = f"{wanted.name}[{','.join(sorted(wanted.extras))}]"
        if key in found:
            continue
        found[key] = metadata.distribution(wanted.name)
        for needed in map(Requirement, found[key].requires or []):
            extras = [{"extra": extra} for extra in ("", *wanted.extras)]
            if needed.marker is None or any(map(needed.marker.evaluate, extras)):
                waiting.append(needed)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, of a copy: setuptools leaves folders where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "dejavu", source / "dejavu", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel; torch and numpy are links, as they take gigabytes."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for package in closure("torch", "numpy").values():
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (packages / top).is_symlink():  # several of NVIDIA's share a folder
                (packages / top).symlink_to(package.locate_file(top))
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)
    return python


def run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Code as a user runs it, in a folder that is no clone, without this process' environment."""
    return subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    information = f"dejavu_dense-{dejavu.__version__}.dist-info"
    own = {name for name in names if not name.startswith(f"{information}/")}
    files = (file for file in (ROOT / "dejavu").rglob("*") if file.is_file() and file.suffix != ".pyc")
    assert own == {file.relative_to(ROOT).as_posix() for file in files}
    assert {name.partition("/")[2] for name in names - own} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt",
    }  # fmt: skip


def test_it_asks_for_torch_and_numpy_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"dejavu_dense-{dejavu.__version__}.dist-info/METADATA").decode()
    needed = map(Requirement, re.findall(r"^Requires-Dist: (.+)$", text, re.M))
    assert {one.name for one in needed if one.marker is None} == {"torch", "numpy"}


def test_the_readmes_loop_runs(clean: Path, tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert code is not None
    done = run(clean, LOOP + code[1], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "network.pt").is_file()


def test_the_example_without_another_library_runs(clean: Path, tmp_path: Path) -> None:
    script = shutil.copy(ROOT / "examples" / "plain_torch_semantic.py", tmp_path)
    done = run(
        clean, f"import runpy, sys; sys.argv[1:] = ['w.pt', '1']; runpy.run_path({script!r})", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch 1: loss ") and (tmp_path / "w.pt").is_file()


@pytest.fixture(scope="module")
def lines(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What needs no extra, then the errors of what needs one: a line each, of one process, for speed."""
    code = [
        "import dejavu, torch",
        "for name in dejavu.__all__: getattr(dejavu, name)",
        "for name in dejavu.redaction.names():",
        "    dejavu.redaction.build(name)(torch.randn(2, 3, 16, 24), torch.Generator())",
        "print('every name and redaction is there')",
        *(f"try: {code}\nexcept dejavu.DejavuError as error: print(error)" for _, code in MISSING.values()),
    ]
    done = run(clean, "\n".join(code), tmp_path_factory.mktemp("elsewhere"))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_public_names_and_redactions_need_torch_and_numpy_alone(lines: list[str]) -> None:
    """Spectral ones use scipy where it is installed, and here it is not."""
    assert lines[0] == "every name and redaction is there"


def test_a_missing_extra_is_one_sentence_that_names_it(lines: list[str]) -> None:
    for line, (extra, (package, _)) in zip(lines[1:], MISSING.items(), strict=True):
        assert line.endswith(f" needs the package {package}: pip install 'dejavu-dense[{extra}]'")


def test_the_import_takes_no_torch(clean: Path, tmp_path: Path) -> None:
    done = run(clean, "import sys, dejavu; print(dejavu.__version__, 'torch' in sys.modules)", tmp_path)
    assert done.stdout == f"{dejavu.__version__} False\n", done.stderr


@pytest.mark.parametrize("command", ["list", "train hrnet18", "tables cityscapes", "plan", "cost"])
def test_the_command_line_says_what_it_needs_and_where(clean: Path, tmp_path: Path, command: str) -> None:
    """Without the pipeline's packages and outside a clone: both in one sentence."""
    done = subprocess.run(
        [clean.parent / "dejavu", *command.split()], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"dejavu: this command needs the package \w+: pip install 'dejavu-dense\[pipeline\]', "
        r"and run it in a clone of the repository, which has params\.yaml\n",
        done.stderr,
    )


def test_help_and_version_need_no_extra(clean: Path, tmp_path: Path) -> None:
    for option, text in (("--help", "usage: dejavu"), ("--version", f"dejavu {dejavu.__version__}")):
        done = subprocess.run(
            [clean.parent / "dejavu", option], cwd=tmp_path, env={}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(text)


def test_list_outside_a_clone_says_where_to_run_it(tmp_path: Path) -> None:
    """With the pipeline's packages."""
    done = subprocess.run(
        [sys.executable, "-m", "dejavu", "list"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "dejavu: params.yaml is missing: run from the repository's root, or name the file with --params\n"
    )


def test_the_named_extra_can_be_installed_by_its_name(clean: Path) -> None:
    """pip takes the extra of the installed distribution, and looks for its packages only."""
    pip = [sys.executable, "-m", "pip", "--python", str(clean), "install", "--dry-run", "--no-index"]
    done = subprocess.run([*pip, "dejavu-dense[perceptual]"], capture_output=True, text=True)
    assert "torchvision" in done.stderr and "for dejavu-dense" not in done.stderr
