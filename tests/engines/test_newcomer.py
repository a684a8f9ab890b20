"""What CONTRIBUTING.md says about adding things is all there is to it.

Every recipe of the page is carried out in a copy of the repository: its code blocks are the files, and its
`Files:` line names all that may differ. The result runs through both engines at smoke scale.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


@dataclass(frozen=True)
class Recipe:
    """A section "Add a ..." of the page."""

    title: str
    text: str

    @property
    def files(self) -> set[str]:
        """The files that the section says it touches."""
        line = re.search(r"^Files: (.*?)(?:\.\s|\n\n)", self.text, re.M | re.S)
        assert line is not None, self.title
        return set(re.findall(r"`([\w/]+\.\w+)`", line[1]))

    def blocks(self) -> Iterator[tuple[str, str, str]]:
        """(path, place in it, content) of each code block that changes a file."""
        for language, content in re.findall(r"^```(\w+)\n(.*?)^```$", self.text, re.M | re.S):
            if language in ("python", "yaml"):
                head, _, body = content.partition("\n")
                path, _, place = head.removeprefix("# ").partition(", ")
                yield path, place, body

    def carry_out(self, copy: Path) -> set[str]:
        """Do what the section says; returns the files that it touched."""
        touched = set()
        for path, place, body in self.blocks():
            file = copy / path
            if not place:
                assert not file.exists(), f"{path} is there already"
                file.write_text(body)
            elif place.startswith("under "):
                file.write_text(under(file.read_text(), place.removeprefix("under ").split("."), body))
            else:
                file.write_text(below(file.read_text(), place.removeprefix("below: "), body))
            touched.add(path)
        return touched


def under(text: str, keys: list[str], body: str) -> str:
    """YAML with lines added at the end of a mapping."""
    lines = text.splitlines()
    start, indent = 0, -1
    for key in keys:
        start = next(n for n in range(start, len(lines)) if re.match(rf" *{key}:", lines[n]))
        indent = len(lines[start]) - len(lines[start].lstrip())
        start += 1
    end = start
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" " * (indent + 1))):
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    added = [" " * (indent + 2) + line for line in body.splitlines()]
    return "\n".join([*lines[:end], *added, *lines[end:]]) + "\n"


def below(text: str, beginning: str, body: str) -> str:
    """Code with lines added below the one that begins so."""
    lines = text.splitlines(keepends=True)
    (number,) = (n for n, line in enumerate(lines) if line.strip().startswith(beginning))
    return "".join([*lines[: number + 1], body, *lines[number + 1 :]])


RECIPES = [
    Recipe(title, text)
    for title, text in re.findall(r"^### (Add [^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which every recipe was carried out."""
    folder = tmp_path_factory.mktemp("newcomer") / "clone"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.split("\0"):
        if name and not name.startswith(("tests/", "results/", "benchmarks/")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for recipe in RECIPES:
        assert recipe.carry_out(folder) == recipe.files - {"dvc.yaml"}, recipe.title
    run(folder, "dejavu", "dvc")  # what `make dvc.yaml` calls
    return folder


def run(folder: Path, *command: str) -> str:
    """The output of a command of the environment in a copy, which it imports."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_every_recipe() -> None:
    kinds = ("network", "experiment", "redaction", "figure kind", "table", "dataset", "task")
    assert {recipe.title for recipe in RECIPES} == {
        f"Add {'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in kinds
    }


# Everything that the recipes add, at smoke scale; and with the new dataset, at a scale that uses it.
TARGETS = (
    *("results/smoke/tables/tiny.csv", "results/smoke/figures/tiny_curves.png"),
    *("results/smoke/figures/tiny_seeds_seeds.png", "results/squares/tables/tiny_seeds.csv"),
)
STAGES = {"smoke": ["tables_tiny", "figures_tiny", "figures_tiny_seeds"], "squares": ["tables_tiny_seeds"]}


@pytest.mark.slow
def test_both_engines_run_it(copy: Path, tmp_path: Path) -> None:
    run(copy, "snakemake", "--cores", "2", "--quiet", "all", "--", *TARGETS)
    made = {name: (copy / name).read_bytes() for name in TARGETS}
    assert all(made.values())
    for table, last in ((TARGETS[0], "tiny_stripes"), (TARGETS[-1], "tiny_dejavu")):
        row = made[table].decode().splitlines()[-1].split(",")
        assert row[0] == last and "run" in row

    other = tmp_path / "clone"
    ignore = shutil.ignore_patterns("results", "runs", "checkpoints", "data", ".snakemake", "logs")
    shutil.copytree(copy, other, ignore=ignore)
    (other / ".dvc/config").write_text((other / ".dvc/config").read_text() + "    no_scm = true\n")
    text = (other / "params.yaml").read_text()
    for scale, stages in STAGES.items():
        (other / "params.yaml").write_text(re.sub(r"^scale: \*\w+", f"scale: *{scale}", text, flags=re.M))
        run(other, "dvc", "repro", "--quiet", *stages)
    assert {name: (other / name).read_bytes() for name in TARGETS} == made


def test_the_task_is_trained_and_measured(copy: Path) -> None:
    metrics = "results/smoke/metrics/disparity_dejavu/seed0.json"
    run(copy, "snakemake", "--cores", "2", "--quiet", "all", "--", metrics)
    result = json.loads((copy / metrics).read_text())
    assert 0 < result["metrics"]["disparity_error"] < 10
    curve = (copy / "results/smoke/logs/disparity_dejavu/seed0.csv").read_text()
    assert "val_disparity_error" in curve.splitlines()[0]


def test_whatever_was_added_is_listed(copy: Path) -> None:
    listed = run(copy, "dejavu", "list")
    for name in ("tiny_stripes", "squares", "disparity"):
        assert re.search(rf"\b{name}\b", listed), name
