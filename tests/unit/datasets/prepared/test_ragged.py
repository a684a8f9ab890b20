"""Images of many sizes: the sizes they are brought to, the flat file, and what the store makes of it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from dejavu.config import DataSource, KeepAspect
from dejavu.datasets.prepared import store
from dejavu.datasets.prepared.ragged import Ragged, RaggedWriter, sizes_file
from dejavu.datasets.prepared.sizes import fitted
from dejavu.errors import DejavuError

SIZES = [(3, 5), (7, 2), (1, 1), (4, 4), (7, 2)]


def items(rest: tuple[int, ...], dtype: type[np.generic]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 200, (*size, *rest)).astype(dtype) for size in SIZES]


def write(path: Path, arrays: list[np.ndarray], rest: tuple[int, ...]) -> Ragged:
    writer = RaggedWriter(path, arrays[0].dtype.type, rest)
    for array in arrays:
        writer.append(array)
    writer.close()
    return Ragged(path, np.load(sizes_file(path)), rest)


@pytest.mark.parametrize("kind", store.KINDS)
def test_a_ragged_file_gives_back_what_was_written(tmp_path: Path, kind: str) -> None:
    dtype, rest = store.KINDS[kind]
    made = items(rest, dtype)
    ragged = write(tmp_path / "train_x.npy", made, rest)
    assert len(ragged) == len(made) == len(list(ragged)) and ragged.dtype == dtype
    for number, array in enumerate(made):
        for found in (ragged[number], ragged[np.int64(number)], ragged[number - len(made)]):
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, array)
    for found, array in zip(ragged[1:4], made[1:4], strict=True):
        np.testing.assert_array_equal(found, array)
    for outside in (len(made), -len(made) - 1):
        with pytest.raises(IndexError):
            ragged[outside]
    # NumPy itself reads the files, as one array
    flat = np.load(tmp_path / "train_x.npy")
    np.testing.assert_array_equal(flat, np.concatenate([array.ravel() for array in made]))


def test_items_are_views_that_cannot_be_written(tmp_path: Path) -> None:
    ragged = write(tmp_path / "x.npy", items((3,), np.uint8), (3,))
    assert not ragged[1].flags.writeable and not ragged[1].flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        ragged[1][0] = 0


def test_a_pickle_is_small_and_opens_the_same_file(tmp_path: Path) -> None:
    large = [np.full((300, 400, 3), n, np.uint8) for n in range(3)]
    content = pickle.dumps(write(tmp_path / "x.npy", large, (3,)))
    assert len(content) < 1000
    for found, array in zip(pickle.loads(content), large, strict=True):
        np.testing.assert_array_equal(found, array)


def test_the_header_has_room_for_any_length(tmp_path: Path) -> None:
    """It is written before the length is known, and again in its place."""
    writer = RaggedWriter(tmp_path / "x.npy", np.uint8)
    writer.close()
    writer.values = 10**15
    writer._file = io.BytesIO()
    assert writer._write_header() == writer._begin


def test_a_flat_file_that_does_not_fit_its_sizes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.npy", items((), np.uint8), ())
    with pytest.raises(ValueError, match=r"x.npy has the shape \[60\], and not \[61\]"):
        Ragged(tmp_path / "x.npy", np.array([(1, 61)]))


# sizes


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ((512, 683), (512, 683)),  # the usual size in ADE20K
        ((683, 512), (683, 512)),
        ((256, 512), (512, 1024)),  # small ones are enlarged
        ((1536, 2048), (512, 683)),
        ((300, 2400), (256, 2048)),  # so long that the long side decides
        ((2400, 300), (2048, 256)),
        ((512, 2048), (512, 2048)),
    ],
)
def test_sizes_are_those_of_the_published_recipe(raw: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted(raw, KeepAspect(short=512, long=2048)) == expected


def test_sizes_agree_with_the_formula_in_floating_point() -> None:
    """The factor as a float, and int(side x factor + 0.5): what image libraries write."""
    for height, width in np.random.default_rng(0).integers(1, 3000, (2000, 2)).tolist():
        factor = min(2048 / max(height, width), 512 / min(height, width))
        expected = tuple(max(1, int(side * factor + 0.5)) for side in (height, width))
        found = fitted((height, width), KeepAspect(short=512, long=2048))
        # a rounding of the float can tip what is a half exactly
        assert found == expected or any(abs(side * factor % 1 - 0.5) < 1e-9 for side in (height, width))


def test_one_size_is_for_all() -> None:
    assert fitted((7, 9), (3, 4)) == (3, 4)


# the store


def prepared(folder: Path) -> Path:
    """A prepared dataset, smoke scale's `things`, of ragged images."""
    from dejavu.datasets.prepared.writer import Writer
    from dejavu.system.files import write_json

    target = folder / "data" / "smoke" / "prepared" / "things"
    target.mkdir(parents=True)
    splits = {}
    for split in ("train", "val"):
        writer = Writer(target, split, len(SIZES), None, ("labels",))
        for image, label in zip(items((3,), np.uint8), items((), np.uint8), strict=True):
            writer.put({"images": image, "labels": label % 3}, label.shape)
        splits[split] = writer.close([f"item{n}" for n in range(len(SIZES))], ("a", "b", "c"))
    report = {"source": "mine", "size": {"short": 3, "long": 9}, "classes": ["a", "b", "c"], "palette": []}
    write_json(target / "report.json", report | {"ignore_index": 255, "evaluate": "val", "splits": splits})
    return target


def test_a_split_of_many_sizes_is_opened_as_such(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    report = store.read_report(folder, DataSource(source="mine", size={"short": 3, "long": 9}))
    said = report["splits"]["train"]
    assert said["images"]["shape"] == [3 * said["labels"]["shape"][0]] == [3 * 60]
    assert said["labels"]["sizes"]["min"] == [1, 1] and said["labels"]["sizes"]["max"] == [4, 4]
    split = store.open_split(folder, "train")
    assert isinstance(split.images, store.Ragged) and isinstance(split.labels, store.Ragged)
    for image, label, size in zip(split.images, split.labels, SIZES, strict=True):
        assert image.shape == (*size, 3) and label.shape == size


def test_another_size_than_asked_for_is_said_in_words(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    for size, words in (({"short": 4, "long": 9}, "short side 4, long side at most 9"), ((3, 9), "3x9")):
        with pytest.raises(DejavuError, match=f"short side 3, long side at most 9, and .*'mine' at {words}"):
            store.read_report(folder, DataSource(source="mine", size=size))


@pytest.mark.parametrize("sizes", [[(3, 5)] * 5, [(3, 5)] * 4], ids=["other sum", "other count"])
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    folder = prepared(tmp_path)
    np.save(folder / "val_labels_sizes.npy", np.array(sizes, np.int32))
    with pytest.raises(DejavuError, match="val_labels_sizes.npy .*dejavu prepare things --scale smoke"):
        store.open_split(folder, "val")


def test_presence_of_classes_is_what_unique_finds(tmp_path: Path) -> None:
    split = store.open_split(prepared(tmp_path), "train")
    present = store.class_presence(split, 3)
    assert present.dtype == bool and present.shape == (len(SIZES), 3)
    for row, label in zip(present, split.labels, strict=True):
        assert set(np.flatnonzero(row)) == set(np.unique(label))
    fixed = split._replace(labels=np.array([[[0, 0, 255]], [[1, 2, 2]]], np.uint8), names=["x", "y"])
    assert store.class_presence(fixed, 4).tolist() == [
        [True, False, False, False],
        [False, True, True, False],
    ]
    with pytest.raises(DejavuError, match="label of 'y' has class 2, and the classes are 0 to 1"):
        store.class_presence(fixed, 2)
