"""The user's own images that change: both engines make again what depends on them, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_input import samples
from helpers.engines import COMPARED, ROOT, Snakemake, workplace, write_both
from PIL import Image

from dejavu.commands import main

# Downloads and compares as the project does, and writes what Snakemake declares for all other commands.
STAND_IN = f"""
import hashlib, json, os, pathlib, sys
command = " ".join(["dejavu", *sys.argv[1:]])
if sys.argv[1] != "sources":
    with open("ran.txt", "a") as ran:
        print(command, file=ran)
if sys.argv[1] in ("sources", "download"):
    os.environ["PYTHONPATH"] = "{ROOT}"
    os.execv(sys.executable, [sys.executable, "-m", "dejavu", *sys.argv[1:]])
inputs, outputs = json.loads(pathlib.Path("jobs.json").read_text())[command]
text = b"".join(pathlib.Path(file).read_bytes() for file in inputs)
for file in map(pathlib.Path, outputs):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(hashlib.sha256(text).hexdigest())
"""
ROWS = ("hrnet18", "hrnet18_dejavu")
STALE = {f"dejavu {stage} {row} --scale smoke" for stage in ("train", "evaluate") for row in ROWS}
STALE |= {
    "dejavu prepare cityscapes --scale smoke",
    "dejavu tables pair --scale smoke",
    "dejavu verdicts --scale smoke",
}


def draw(folder: Path, split: str, name: str, seed: int = 0) -> None:
    """Write an image and its label; files of all seeds have the same size."""
    generator = np.random.default_rng(seed)
    for kind, shape, most in (("images", (16, 32, 3), 256), ("labels", (16, 32), 2)):
        path = folder / kind / split / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, most, shape).astype(np.uint8)
        Image.fromarray(pixels).save(path, compress_level=0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of images, each with a table, that both engines have run."""
    place = workplace(tmp_path_factory.mktemp("finished"))
    params = samples.params()
    folder = {"images": "images/{split}/{name}.png", "labels": "labels/{split}/{name}.png"}
    for name, dataset in (("mine", "cityscapes"), ("other", "ade20k")):
        for split, count in (("train", 2), ("val", 1)):
            for number in range(count):
                draw(place / name, split, str(number), number)
        params["datasets"][name] = {
            "licence": "mine",
            "folder": {"path": name, "classes": ["a", "b"], **folder},
        }
        params["scales"]["smoke"]["data"][dataset] = {"source": name, "size": [16, 32]}
    params["scales"] = {"smoke": params["scales"]["smoke"]}
    for row in ROWS:
        params["experiments"][f"{row}_other"] = params["experiments"][row] | {"dataset": "ade20k"}
    params["experiments"][f"{ROWS[1]}_other"]["base"] = f"{ROWS[0]}_other"
    pair = params["tables"]["pair"]
    pair["figures"] = []
    other = {"dataset": "ade20k", "rows": {f"{row}_other": title for row, title in pair["rows"].items()}}
    params["tables"]["other"] = pair | other
    write_both(place, params | {"scale": params["scales"]["smoke"]})
    jobs = {job.command: [sorted(job.inputs), sorted(job.outputs)] for job in Snakemake(place).jobs}
    (place / "jobs.json").write_text(json.dumps(jobs))
    stand_in = place / "bin" / "dejavu"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!{sys.executable} -ISE\n{STAND_IN}")
    stand_in.chmod(0o755)
    assert repro(place) == set(jobs)
    Snakemake(place, executor="touch")
    return place


def repro(place: Path) -> set[str]:
    """`dvc repro`: the commands that it ran, except the comparison itself."""
    from dvc.repo import Repo

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
        with Repo(place) as repo:
            repo.reproduce()
    ran = place / "ran.txt"
    commands = set(ran.read_text().splitlines()) if ran.exists() else set()
    ran.unlink(missing_ok=True)
    return commands


def edit(mine: Path) -> None:
    """Change a label in place, with the same size and time of modification."""
    path = mine / "labels/train/1.png"
    before = path.stat()
    draw(mine, "train", "1", 7)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add(mine: Path) -> None:
    draw(mine, "train", "2")


def remove(mine: Path) -> None:
    for kind in ("images", "labels"):
        (mine / kind / "train/1.png").unlink()


def rename(mine: Path) -> None:
    for kind in ("images", "labels"):
        (mine / kind / "train/1.png").rename(mine / kind / "train/5.png")


def touch(mine: Path) -> None:
    """Give all files other times and inodes, and add one that is no image."""
    for path in mine.rglob("*.png"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    (mine / "notes.txt").write_text("about them")


def copied(finished: Path, place: Path) -> Path:
    """A copy of the clone that reads its own images: a copied link leads to those of the other one."""
    shutil.copytree(finished, place, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["sources", "--scale", "smoke"]) == 0
    return place


def stale_in_dvc(place: Path) -> set[str]:
    """`dvc status` after the stage that always runs: the stages whose files are not those of dvc.lock."""
    from dvc.repo import Repo

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["sources", "--scale", "smoke"]) == 0
        with Repo(place) as repo:
            changed = repo.status()
    assert changed.pop("sources") == ["always changed"]
    return set(changed)


CHANGES = [edit, add, remove, rename, touch]


def content(place: Path) -> dict[Path, tuple[int, int, bytes]]:
    """Inode, time and content of all files, except Snakemake's own."""
    files = [path for path in place.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.parametrize("records", [True, False], ids=["records", "no records"])
def test_a_dry_run_writes_nothing_and_a_change_that_is_undone_is_none(
    finished: Path, tmp_path: Path, records: bool
) -> None:
    """Also where Snakemake has no records of its jobs, because the stages were run by hand or by DVC."""
    place = copied(finished, tmp_path / "changed")
    if not records:
        shutil.rmtree(place / ".snakemake" / "metadata")
    assert Snakemake(place).to_run == set()
    before = shutil.copytree(place / "mine", tmp_path / "before")
    for change in (edit, add):
        change(place / "mine")
        if not records:  # then times decide, and `edit` has kept them
            os.utime(place / "mine/labels/train/1.png")
        start = content(place)
        for _ in range(2):
            assert Snakemake(place).to_run == STALE
        assert content(place) == start
        shutil.rmtree(place / "mine")
        shutil.copytree(before, place / "mine")
        assert Snakemake(place).to_run == set()


def test_a_run_after_a_change_makes_it_again_once(finished: Path, tmp_path: Path) -> None:
    place = copied(finished, tmp_path / "changed")
    snakefile = place / "workflow/Snakefile"
    own = snakefile.read_text().replace("{os.path.dirname(sys.executable)}", str(place / "bin"))
    snakefile.write_text(own)
    edit(place / "mine")
    assert Snakemake(place).to_run == STALE
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    assert set((place / "ran.txt").read_text().splitlines()) == STALE
    assert Snakemake(place).to_run == set()
    assert (place / COMPARED).is_file()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_again_what_depends_on_it_and_nothing_else(
    finished: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    place = copied(finished, tmp_path / "changed")
    assert Snakemake(place).to_run == set()
    change(place / "mine")
    other = shutil.copytree(place, tmp_path / "dvc", symlinks=True)
    assert Snakemake(place).to_run == (set() if change is touch else STALE)
    # Of later stages DVC knows when it has run these: the next test.
    assert stale_in_dvc(other) == (
        set() if change is touch else {"download@cityscapes", "prepare@cityscapes"}
    )


def test_dvc_follows_a_change_to_the_table(finished: Path, tmp_path: Path) -> None:
    place = copied(finished, tmp_path / "changed")
    edit(place / "mine")
    assert repro(place) == STALE | {"dejavu download cityscapes --scale smoke"}
    assert repro(place) == set()


def test_what_does_not_belong_together_stops_where_it_is_read(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And mended again, nothing has to be made."""
    place = copied(finished, tmp_path / "changed")
    label = place / "mine/labels/train/1.png"
    label.rename(place / "label.png")
    assert Snakemake(place).to_run == STALE
    monkeypatch.chdir(place)
    capsys.readouterr()
    assert main(["prepare", "cityscapes", "--scale", "smoke"]) == 2
    assert "labels/train/1.png is missing: it is the label of" in capsys.readouterr().err
    (place / "label.png").rename(label)
    assert Snakemake(place).to_run == set()


def test_images_out_of_reach_change_nothing(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those on a disk that is not mounted."""
    place = copied(finished, tmp_path / "changed")
    assert Snakemake(place).to_run == set()
    (place / "mine").rename(place / "elsewhere")
    capsys.readouterr()
    assert Snakemake(place).to_run == set()
    assert "changes of cityscapes go unnoticed" in capsys.readouterr().err
    (place / "elsewhere").rename(place / "mine")
    assert Snakemake(place).to_run == set()


def test_the_output_of_the_comparison_is_there_for_dvc_commit(finished: Path) -> None:
    """After a run of Snakemake alone, which does not declare it."""
    (finished / COMPARED).unlink()
    Snakemake(finished)
    assert not (finished / COMPARED).exists(), "a dry run writes nothing"
    Snakemake(finished, executor="touch")
    assert (finished / COMPARED).is_file()
