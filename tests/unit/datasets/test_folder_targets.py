"""A folder's depth and normals, with labels or alone: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu import datasets
from dejavu.config import Folder as Settings
from dejavu.datasets import folder
from dejavu.datasets.formats import arrays
from dejavu.datasets.nyudv2_forms import codes
from dejavu.datasets.prepared.convert import load
from dejavu.errors import DejavuError

SIZE = (6, 8)
METRES = np.linspace(0, 9, 48, dtype=np.float32).reshape(SIZE)
PATTERNS = {"images": "i/{split}/{name}.png", "labels": "l/{split}/{name}.png", "classes": ("a", "b")}
KINDS = {
    "png": {"depth": "d/{split}/{name}.png", "normals": "n/{split}/{name}.png"},
    "npy": {"depth": "d/{split}/{name}.npy", "normals": "n/{split}/{name}.npy"},
}


def unit(seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(*SIZE, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[0, 0] = 0
    return vectors


def write(root: Path, ending: str, scale: float = 0.001) -> None:
    for split in ("train", "val"):
        for kind in "ildn":
            (root / kind / split).mkdir(parents=True)
        name = f"{split}/x"
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(root / "i" / f"{name}.png")
        Image.fromarray(np.eye(*SIZE, dtype=np.uint8)).save(root / "l" / f"{name}.png")
        if ending == "npy":
            np.save(root / "d" / f"{name}.npy", METRES / scale)
            np.save(root / "n" / f"{name}.npy", unit())
        else:
            Image.fromarray(np.round(METRES / scale).astype(np.uint16)).save(root / "d" / f"{name}.png")
            Image.fromarray(codes.encode_normals(unit())).save(root / "n" / f"{name}.png")


def reader(root: Path, **settings: Any) -> datasets.Dataset:
    return folder.read_folder("mine", Settings(**{"path": str(root), **settings}))


@pytest.mark.parametrize("ending", KINDS)
@pytest.mark.parametrize("chosen", [("labels", "depth", "normals"), ("depth",), ("normals",)])
def test_every_kind_is_read(ending: str, chosen: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / "mine", ending)
    every = PATTERNS | KINDS[ending]
    settings = {key: every[key] for key in ("images", *chosen, *(("classes",) if "labels" in chosen else ()))}
    if ending == "npy" and "depth" in chosen:
        settings["depth_scale"] = 0.001
    found = reader(tmp_path / "mine", **settings)
    files = found.download(tmp_path / "raw", None, None)
    assert len(files) == 2 * (1 + len(chosen)) and found.task == {"labels": "semantic"}.get(
        chosen[0], chosen[0]
    )
    (pair,) = found.pairs(tmp_path / "raw", "train")
    item = load(found, pair, SIZE)
    if "labels" not in chosen:
        assert (item.label == 255).all()
    for kind, right, error in (("depth", METRES, 0.0006), ("normals", unit(), 0.01)):
        array = getattr(item, kind)
        assert (array is None) == (kind not in chosen)
        if array is not None:
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, right, atol=error)
    assert not found.left_out(tmp_path / "raw", [*found.pairs(tmp_path / "raw", "val"), pair])


@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 1)])
def test_depth_of_one_channel_is_read(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", METRES.reshape(shape))
    assert np.array_equal(arrays.read_depth(tmp_path / "x.npy"), METRES)
    assert arrays.shape_of(tmp_path / "x.npy") == SIZE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mine", "npy")
    (tmp_path / "mine/n/train/x.npy").rename(tmp_path / "mine/n/train/y.npy")
    found = reader(tmp_path / "mine", **PATTERNS, **KINDS["npy"])
    with pytest.raises(DejavuError, match=r"n/train/x.npy is missing.*it is the normals file of .*x.png"):
        found.download(tmp_path / "raw", None, None)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "labels: is missing, and so are depth and normals"),
        ({"depth": "d/{split}/{name}.tif"}, "depth: must end in .png or .npy"),
        ({"labels": "l/{split}/{name}.png"}, "classes: is for labels"),
        ({"depth": "d/{split}/{name}.png", "classes": ("a", "b")}, "classes: is for labels"),
        ({"normals": "n/{split}/{name}.png", "depth_scale": 0.1}, "depth_scale: is for depth"),
        ({"normals": "n/{split}/{nam}.png"}, "normals: may have"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DejavuError, match=rf"datasets.mine.folder.{sentence}"):
        reader(Path("x"), images="i/{split}/{name}.png", **settings)


@pytest.mark.parametrize(
    ("read", "array", "sentence"),
    [
        (arrays.read_depth, np.array([[1, -1.0]]), "negative, or not finite"),
        (arrays.read_depth, np.array([[1, np.nan]]), "negative, or not finite"),
        *((arrays.read_depth, np.zeros((2, 3, n)), r"numbers \(H, W\) are needed") for n in (2, 3, 4)),
        (arrays.read_depth, np.zeros((1, 2, 3)), r"numbers \(H, W\) are needed"),
        (arrays.read_depth, np.array([["a"]]), "numbers"),
        (arrays.read_normals, np.ones((2, 3, 3)), "off 1 by 0.73"),
        (arrays.read_normals, np.full((2, 3, 3), np.nan), "off 1 by inf"),
        (arrays.read_normals, np.ones((2, 3)), r"\(H, W, 3\)"),
        (arrays.shape_of, np.ones(3), r"one of \(H, W\)"),
    ],
)
def test_arrays_that_are_none(read: Any, array: np.ndarray, sentence: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DejavuError, match=rf"x.npy .*{sentence}"):
        read(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(DejavuError, match=r"x.npy is not a whole array"):
        read(tmp_path / "x.npy")
