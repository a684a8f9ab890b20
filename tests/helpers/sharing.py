"""Clones that share results: git repositories with the pipeline of one table and a stand-in for `dejavu`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.engines import ROOT, SOURCES_STAND_IN, Snakemake, read_params, workplace, write_both

STAGES = ("download", "prepare", "train", "evaluate", "tables", "figures")
TABLE, ROWS = "pair", ("hrnet18", "hrnet18_dejavu")
# Writes what Snakemake declares: metrics and curves in their form, following from params.yaml and inputs.
STAND_IN = """
import hashlib, json, pathlib, sys
SOURCES
command = " ".join(["dejavu", *sys.argv[1:]])
inputs, outputs = json.loads(pathlib.Path("bin/jobs.json").read_text())[command]
text = b"".join([command.encode(), *(pathlib.Path(file).read_bytes() for file in ["params.yaml", *inputs])])
digest = hashlib.sha256(text).hexdigest()
score = int(digest[:4], 16) / 700
forms = {".json": json.dumps({"metrics": {"miou": score}}), ".csv": f"step,loss\\n10,2.5\\n20,{score}\\n"}
for file in map(pathlib.Path, outputs):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(forms.get(file.suffix, f"{digest} {file.name}"))
with open("ran.txt", "a") as ran:
    print(command, file=ran)
"""


class Clone:
    """A clone of the repository in which commands are typed."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        # Nothing of the machine's own: no proxy, no credentials, no other site's cache.
        self.environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1", "NO_PROXY": "127.0.0.1"}
        self.environment |= {"DVC_SITE_CACHE_DIR": str(folder.parent / "site"), **environment}

    def run(self, *command: str, fails: bool = False) -> str:
        """What the command printed; its exit status must be as expected."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def clone(self, folder: Path) -> Clone:
        """A fresh clone, in which `make` finds its environment set up."""
        subprocess.run(["git", "clone", "--quiet", str(self.folder), str(folder)], check=True)
        (folder / ".venv").mkdir()
        (folder / ".venv" / ".ready").touch()
        return Clone(folder)

    @property
    def ran(self) -> set[str]:
        """The commands that the stand-in was given since it was asked last."""
        file = self.folder / "ran.txt"
        commands = set(file.read_text().splitlines()) if file.exists() else set()
        file.unlink(missing_ok=True)
        return commands

    def make_all(self) -> None:
        """As `make all` leaves it, at a fraction of its time: Snakemake knows that everything is done."""
        jobs = json.loads((self.folder / "bin" / "jobs.json").read_text())
        for command in sorted(jobs, key=lambda job: STAGES.index(job.split()[1])):
            self.run(*command.split())
        Snakemake(self.folder, executor="touch")

    @property
    def to_run(self) -> set[str]:
        """What Snakemake would run now."""
        return Snakemake(self.folder).to_run

    def made(self) -> dict[str, bytes]:
        """Checkpoints and results of smoke by path."""
        files = [*self.folder.glob("checkpoints/smoke/**/*.*"), *self.folder.glob("results/smoke/**/*.*")]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}


def start(folder: Path) -> Clone:
    """A repository with the pipeline of one table at smoke; nothing has been run."""
    folder.mkdir()
    _keep_one_table(workplace(folder))
    for name in ("Makefile", "pyproject.toml", "requirements.lock", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc")
    jobs = {job.command: [sorted(job.inputs), sorted(job.outputs)] for job in Snakemake(folder).jobs}
    stand_in = folder / "bin" / "dejavu"
    stand_in.parent.mkdir()
    (folder / "bin" / "jobs.json").write_text(json.dumps(jobs))
    stand_in.write_text(f"#!{sys.executable} -ISE\n{STAND_IN.replace('SOURCES', SOURCES_STAND_IN)}")
    stand_in.chmod(0o755)
    with open(folder / ".gitignore", "a") as file:
        file.write("ran.txt\n")
    clone = Clone(folder)
    for command in ("init --quiet", "config user.name Somebody", "config user.email some@body", "add --all"):
        clone.run("git", *command.split())
    clone.run("git", "commit", "--quiet", "--message", "The pipeline")
    return clone


def _keep_one_table(folder: Path) -> None:
    params = read_params(folder)
    params["claims"] = {}
    params["tables"] = {TABLE: params["tables"][TABLE]}
    params["experiments"] = {row: params["experiments"][row] for row in ROWS}
    params["experiments"][ROWS[1]]["dejavu"] = {"gamma": params["dejavu"]["gamma"]}  # for `--set-param`
    smoke = params["scales"]["smoke"]
    smoke["data"] = {"cityscapes": smoke["data"]["cityscapes"]}
    write_both(folder, params | {"scales": {"smoke": smoke}, "scale": smoke})
