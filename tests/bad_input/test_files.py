"""Files that must not be passed over: folders that may not be read, names of every form, palettes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import main
from dejavu.datasets.formats.coco import Category, Entry, Panoptic, write_panoptic
from dejavu.tasks.segments import Segment

from .checks import Refused

FOLDERS = ["--gt", "gt", "--pred", "pred"]
COCO = ["--gt", "gt.json", "--pred", "pred.json", "--gt-dir", "gt", "--pred-dir", "pred"]
SCORE = {
    "semantic": ["score", "semantic", *FOLDERS, "--classes", "2"],
    "depth": ["score", "depth", *FOLDERS],
    "normals": ["score", "normals", *FOLDERS],
    "panoptic": ["score", "panoptic", *COCO],
}
DOWNLOAD, PREPARE = (["download", "mine", "--scale", "open"], ["prepare", "mine", "--scale", "open"])
LATIN, NFC, NFD = "caf\udce9", "caf\u00e9", "cafe\u0301"


def array_of(task: str, right: bool = True) -> np.ndarray:
    """Pixels of a file: of a truth, or of a prediction that is wrong."""
    if task == "semantic":
        return np.full((8, 8), 0 if right else 1, np.uint8) + np.arange(2, dtype=np.uint8).repeat(4) * right
    if task == "depth":
        return np.full((8, 8), 2560 if right else 5120, np.uint16)
    colours = np.zeros((8, 8, 3), np.uint8)
    if task == "panoptic":
        colours[:, :4, 0], colours[:, 4:, 0] = 1, 2
        return colours
    return colours + np.array((127, 127, 255) if right else (255, 127, 127), np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, format="PNG")


def scored(task: str, names: tuple[str, ...] = ("a/0", "b/0")) -> None:
    """Files of both sides here; every prediction but the first is wrong."""
    for side in ("gt", "pred"):
        for number, name in enumerate(names):
            save(Path(side, f"{name}.png"), array_of(task, side == "gt" or number == 0))
        entries: dict[int | str, Entry] = {}
        for number, name in enumerate(names):
            first = int(side == "pred" and number > 0)
            entries[number] = Entry(number, f"{name}.png", {1: Segment(first), 2: Segment(1 - first)})
        categories = (Category(1, "thing", True), Category(2, "stuff", False))
        if task == "panoptic":
            write_panoptic(Path(f"{side}.json"), Panoptic(categories, entries, {}))


def own_data() -> None:
    """Two pairs a split in the folder that params.yaml calls `mine`."""
    for split in ("train", "val"):
        for number, name in enumerate(("a", "b")):
            rng = np.random.default_rng(number)
            save(Path("mine", split, f"{name}.jpg"), rng.integers(0, 256, (24, 32, 3), np.uint8))
            save(Path("mine", split, f"{name}.png"), rng.integers(0, 2, (24, 32), np.uint8))


def renamed(folder: str, old: str, new: str) -> None:
    for path in sorted(Path(folder).rglob(f"{old}.*")):
        path.rename(path.with_name(path.name.replace(old, new, 1)))


# folders that may not be read


def deny(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    scandir = os.scandir

    def denied(path: str | int) -> object:
        if not isinstance(path, int) and Path(path).resolve() == Path(folder).resolve():
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)


@pytest.mark.parametrize("task", SCORE)
@pytest.mark.parametrize("side", ["gt", "pred"])
def test_a_folder_of_scored_files_that_may_not_be_read(
    empty: Path, task: str, side: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(task)
    with monkeypatch.context() as patch:
        deny(patch, f"{side}/b")
        sentence = refused_with(patch, refused, SCORE[task], f"{side}/b cannot be read (Permission denied)")
    assert "may be left out" in sentence


def refused_with(patch: pytest.MonkeyPatch, refused: Refused, command: list[str], named: str) -> str:
    """`refused`, whose own look at the tree must see all of it."""
    denied, walk = os.scandir, os.walk

    def whole(folder: object) -> object:
        patch.undo()
        try:
            yield from list(walk(folder))  # type: ignore[call-overload]
        finally:
            patch.setattr(os, "scandir", denied)
            patch.setattr(os, "walk", whole)

    patch.setattr(os, "walk", whole)
    return refused(*command, named=(named,))


@pytest.mark.parametrize("command", [DOWNLOAD, PREPARE], ids=["download", "prepare"])
def test_a_folder_of_own_images_that_may_not_be_read(
    empty: Path,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own_data()
    assert command is DOWNLOAD or main(DOWNLOAD) == 0
    deny(monkeypatch, "mine/val")
    capsys.readouterr()
    assert main(command) == 2
    assert "val cannot be read (Permission denied)" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root reads everything")
def test_a_folder_without_permissions_is_named_and_never_skipped(empty: Path) -> None:
    """As the operating system denies it: root gives up its right to read everything."""
    scored("semantic")
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    command = [sys.executable, "-m", "dejavu", *SCORE["semantic"]]
    for side in ("gt", "pred"):
        os.chmod(f"{side}/b", 0)
    done = subprocess.run(
        [*(without if os.geteuid() == 0 else []), *command], capture_output=True, text=True, check=False
    )
    for side in ("gt", "pred"):
        os.chmod(f"{side}/b", 0o755)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dejavu: gt/b cannot be read (Permission denied)")


# scored files: names of every form


def images_of(task: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The number of scored images, and what stderr says."""
    capsys.readouterr()
    assert main(SCORE[task]) == 0
    out, err = capsys.readouterr()
    return json.loads(out)["images"], err


@pytest.mark.parametrize("task", SCORE)
@pytest.mark.parametrize("side", ["gt", "pred"])
@pytest.mark.parametrize(
    ("name", "new"),
    [("0", "0.PNG"), (NFC, f"{NFD}.png"), (NFD, f"{NFC}.PNG")],
    ids=["upper case", "decomposed", "composed"],
)
def test_scored_names_in_another_form_are_paired(
    empty: Path, task: str, side: str, name: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scored(task, (f"a/{name}", f"b/{name}"))
    Path(side, "b", f"{name}.png").rename(Path(side, "b", new))
    assert images_of(task, capsys) == (2, "")


@pytest.mark.parametrize("task", SCORE)
@pytest.mark.parametrize("name", ["a b", " a", "a\nb", "a\u2028b", LATIN], ids=ascii)
def test_scored_names_may_have_any_bytes(
    empty: Path, task: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if task == "panoptic" and name == LATIN:
        pytest.skip("JSON has no such names")
    scored(task, (name, "b"))
    assert images_of(task, capsys) == (2, "")


@pytest.mark.parametrize("task", SCORE)
def test_scored_folders_may_be_links_and_hidden_files_are_none(
    empty: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scored(task)
    Path("gt/b").rename("elsewhere")
    Path("gt/b").symlink_to(Path("elsewhere").resolve())
    for hidden in ("gt/._x.png", "pred/a/.y.png", "pred/.cache/z.png"):
        Path(hidden).parent.mkdir(exist_ok=True)
        Path(hidden).touch()
    assert images_of(task, capsys) == (2, "")
    for stray in ("gt/readme.txt", "gt/a/x.jpg", "pred/b/0.png~"):
        Path(stray).touch()
    count, err = images_of(task, capsys)
    sides = ("--gt-dir gt", "--pred-dir pred") if task == "panoptic" else ("--gt gt", "--pred pred")
    assert count == 2 and err.splitlines() == [
        f"not scored in {sides[0]}: 2 files (a/x.jpg, readme.txt)",
        f"not scored in {sides[1]}: 1 file (b/0.png~)",
    ]


@pytest.mark.parametrize("task", SCORE)
@pytest.mark.parametrize(
    ("name", "new", "what"),
    [
        ("im0", "IM0", "differs in upper and lower case"),
        ("im 0", "im0", "differs in spaces"),
        (NFC, LATIN, "differs in its encoding, which is not UTF-8"),
        ("im0", "im0.jpg", ""),
    ],
    ids=ascii,
)
def test_what_differs_in_a_scored_name_is_said(
    empty: Path, task: str, name: str, new: str, what: str, refused: Refused
) -> None:
    scored(task, (name, "b"))
    Path("pred", f"{name}.png").rename(Path("pred", new if new.endswith(".jpg") else f"{new}.png"))
    refused(*SCORE[task], named=(f"pred/{name}.png is missing", what))


# own images


def report() -> dict[str, object]:
    content: dict[str, object] = json.loads(Path("data/open/prepared/mine/report.json").read_text())
    return content


def test_a_pair_in_upper_case_is_read(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_data()
    renamed("mine/train", "b", "B")
    for path in sorted(Path("mine/train").glob("B.*")):
        path.rename(path.with_suffix(path.suffix.upper()))
    assert main(DOWNLOAD) == main(PREPARE) == 0
    assert Path("data/open/prepared/mine/train.txt").read_text() == "B\na\n"
    assert "left_out" not in report() and "left out" not in capsys.readouterr().err


def test_own_files_of_no_pair_are_counted_and_named_once(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_data()
    strays = [
        "notes.txt",
        "train/a.jpeg",
        "train/b.png.bak",
        f"train/{LATIN}.bmp",
        "val/x.gif",
        "other/z.jpg",
    ]
    for stray in strays:
        Path("mine", stray).parent.mkdir(exist_ok=True)
        Path("mine", stray).touch()
    Path("mine/train/._a.jpg").touch()
    assert main(DOWNLOAD) == 0
    capsys.readouterr()
    assert main(PREPARE) == 0
    names = [f"folder/{name}" for name in sorted(name.replace("\udce9", r"\xe9") for name in strays)]
    assert report()["left_out"] == {"count": 6, "first": names[:5]}
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(lines) == 1 and "6 files (" in lines[0] and all(name in lines[0] for name in names[:5])


@pytest.mark.parametrize(
    ("name", "named"),
    [(LATIN, (r"train/caf\xe9.jpg", "not UTF-8")), ("a\rb", (r"train/a\rb.jpg", "line break"))],
    ids=["Latin-1", "carriage return"],
)
def test_own_names_that_no_list_can_hold(
    empty: Path, name: str, named: tuple[str, ...], refused: Refused
) -> None:
    own_data()
    renamed("mine/train", "b", name)
    refused(*DOWNLOAD, named=named, leaves="data/open/raw/*")


# palettes


def indexed(path: Path, array: np.ndarray, palette: list[int] | None) -> None:
    image = Image.fromarray(array)
    if palette is not None:
        image = Image.frombytes("P", image.size, array.tobytes())
        image.putpalette(palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


RED, SWAPPED = [0, 0, 0, 255, 0, 0, 0, 255, 0], [255, 0, 0, 0, 0, 0, 0, 255, 0]
SAME = {
    "one palette": (RED, RED),
    "grey and a palette": (None, RED),
    "greys in order and a palette": (None, [index for index in range(256) for _ in range(3)]),
    "another colour of an index that has no pixel": (RED, [*RED[:6], 1, 2, 3, 4, 5, 6]),
}


@pytest.mark.parametrize("how", SAME)
def test_palettes_that_agree_are_read(empty: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    own_data()
    scored("semantic")
    for number, palette in enumerate(SAME[how]):
        indexed(Path("mine/train", f"{'ab'[number]}.png"), np.eye(24, 32).astype(np.uint8), palette)
        indexed(Path("pred", "ab"[number], "0.png"), np.eye(8).astype(np.uint8), palette)
    assert main(DOWNLOAD) == main(PREPARE) == 0
    assert images_of("semantic", capsys) == (2, "")


def test_palettes_that_contradict_each_other_are_refused(empty: Path, refused: Refused) -> None:
    own_data()
    scored("semantic")
    label, scores = np.eye(24, 32).astype(np.uint8), np.eye(8).astype(np.uint8)
    for side in ("gt", "pred"):
        indexed(Path(side, "a/0.png"), scores, RED)
        indexed(Path(side, "b/0.png"), scores, SWAPPED)
        refused(
            *SCORE["semantic"], named=(f"{side}/a/0.png", f"{side}/b/0.png", "the index 0", "(255, 0, 0)")
        )
        indexed(Path(side, "b/0.png"), scores, RED)
    indexed(Path("mine/train/a.png"), label, RED)
    indexed(Path("mine/val/b.png"), label, SWAPPED)  # of another split
    assert main(DOWNLOAD) == 0
    refused(*PREPARE, named=("train/a.png", "val/b.png", "the index 0", "(0, 0, 0)"))


def test_other_colours_on_the_other_side_are_a_remark(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored("semantic")
    for side, palette in (("gt", RED), ("pred", SWAPPED)):
        for name in "ab":
            indexed(Path(side, name, "0.png"), np.eye(8).astype(np.uint8), palette)
    count, err = images_of("semantic", capsys)
    assert count == 2 and len(err.splitlines()) == 1
    assert "gt/a/0.png" in err and "pred/a/0.png" in err and "number the classes alike" in err
