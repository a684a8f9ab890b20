"""Depth in a wrong unit: `dejavu prepare` remarks on it once, in its output and in report.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bad_input import samples
from PIL import Image

from dejavu.commands import main
from dejavu.datasets.prepared.checks import DEPTHS

SHAPE = (16, 16)


def write_folder(ending: str, values: dict[str, float], scale: float | None) -> None:
    """A folder of depth alone, whose largest value in each split is given, in the files' unit."""
    content = samples.params()
    folder = {"path": "mine", "images": "{split}/{name}.jpg", "depth": f"{{split}}/{{name}}.{ending}"}
    content["datasets"]["mine"]["folder"] = folder | ({} if scale is None else {"depth_scale": scale})
    content["scales"]["open"]["data"]["mine"]["size"] = list(SHAPE)
    samples.write(Path(), content)
    for split, value in values.items():
        Path("mine", split).mkdir(parents=True)
        Image.fromarray(np.full((*SHAPE, 3), 90, np.uint8)).save(f"mine/{split}/a.jpg")
        depth = np.linspace(0, value, 256).reshape(SHAPE)
        if ending == "npy":
            np.save(f"mine/{split}/a.npy", depth)
        else:
            Image.fromarray(depth.round().astype(np.uint16)).save(f"mine/{split}/a.png")


FOLDERS = {
    "metres": ("npy", {"train": 8, "val": 9}, None, ""),
    "millimetres": ("npy", {"train": 4000, "val": 5000}, None, "in train and val is from 15.6863 to 5000 m"),
    "millimetres with their scale": ("npy", {"train": 4000, "val": 5000}, 0.001, ""),
    "metres with the scale of millimetres": (
        "npy",
        {"train": 8, "val": 9},
        0.001,
        "in train and val is from",
    ),
    "millimetres in one split": ("npy", {"train": 8, "val": 4000}, None, "in val is from"),
    "a large mark for no depth": ("npy", {"train": 65535, "val": 8}, None, "in train is from"),
    "a PNG of millimetres": ("png", {"train": 4000, "val": 5000}, None, ""),
    "a PNG of metres": ("png", {"train": 80, "val": 70}, None, "in train and val is from 0.001 to 0.08 m"),
    "a PNG of 1/256 m": ("png", {"train": 20480, "val": 20480}, 1 / 256, ""),
    "a PNG that is scaled as .npy": ("png", {"train": 4000, "val": 4000}, 1.0, "in train and val is from"),
}


@pytest.mark.parametrize(("ending", "values", "scale", "odd"), FOLDERS.values(), ids=FOLDERS)
def test_depth_in_another_unit_gets_one_remark(
    ending: str,
    values: dict[str, float],
    scale: float | None,
    odd: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(ending, values, scale)
    assert main(["download", "mine", "--scale", "open"]) == 0
    capsys.readouterr()
    assert main(["prepare", "mine", "--scale", "open"]) == 0
    err = capsys.readouterr().err
    remarks = json.loads(Path("data/open/prepared/mine/report.json").read_text()).get("remarks", [])
    assert len(remarks) == bool(odd) and err.count("\n") == bool(odd)
    for remark in remarks:
        assert remark in err and odd in remark and "datasets.mine.folder.depth_scale" in remark


def test_the_limits_hold_what_cameras_and_scanners_measure() -> None:
    """Rooms, streets, a LiDAR's 250 m; and not the same in millimetres or kilometres."""
    low, high = DEPTHS
    for metres in (0.5, 4.0, 80.0, 250.0):
        assert low <= metres <= high < 1000 * 1.5 and not low <= metres / 1000 / 3 <= high
