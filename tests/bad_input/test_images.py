"""Files of images: broken, of another kind or size, with labels that are none; scored and prepared."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from dejavu.commands import main
from dejavu.commands.score.depth import read_depth
from dejavu.commands.score.normals import read_normals
from dejavu.datasets import kitti
from dejavu.datasets.formats.coco import read_ids
from dejavu.datasets.formats.images import read_image, read_indices
from dejavu.datasets.nyudv2_forms import codes
from dejavu.errors import DejavuError

from . import samples
from .checks import Refused
from .images import (
    BROKEN,
    PLACES,
    SIZE,
    encoded,
    interlaced,
    moving,
    no_plain_file,
    picture,
    png,
    transparent,
    turned,
)

TASKS = {
    "semantic": ["score", "semantic", "--gt", "gt", "--pred", "pred", "--classes", "3"],
    "depth": ["score", "depth", "--gt", "gt", "--pred", "pred"],
    "normals": ["score", "normals", "--gt", "gt", "--pred", "pred"],
}


def right(task: str) -> Image.Image:
    shape = (SIZE[1], SIZE[0])
    if task == "semantic":
        return Image.fromarray(np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8) % 3)
    if task == "depth":
        return Image.fromarray(np.full(shape, 2560, np.uint16) + np.arange(shape[1], dtype=np.uint16))
    normals = np.zeros((*shape, 3), np.uint8) + np.array([127, 127, 255], np.uint8)
    normals[::2] = (255, 127, 127)
    return Image.fromarray(normals)


@pytest.fixture
def files(empty: Path, request: pytest.FixtureRequest) -> str:
    """Two pairs of files of a task here, all right: `main` would score them. Returns the task."""
    task: str = request.param
    for side in ("gt", "pred"):
        (empty / side / "city").mkdir(parents=True)
        for name in ("a.png", "city/b.png"):
            right(task).save(empty / side / name)
    return task


@pytest.mark.parametrize("files", TASKS, indirect=True)
def test_what_is_spoilt_below_is_right_before(files: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TASKS[files]) == 0
    assert '"images": 2' in capsys.readouterr().out


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize(
    ("files", "side"), [("semantic", "gt"), ("depth", "pred"), ("normals", "gt")], indirect=["files"]
)
def test_a_broken_file_is_named(files: str, side: str, how: str, refused: Refused) -> None:
    path = Path(side, "city/b.png")
    path.write_bytes(BROKEN[how](path.read_bytes()))
    refused(*TASKS[files], named=(str(path),))


@pytest.mark.parametrize("how", PLACES)
@pytest.mark.parametrize("files", TASKS, indirect=True)
def test_what_is_no_plain_file_is_named(files: str, how: str, refused: Refused) -> None:
    no_plain_file(Path("pred/city/b.png"), how)
    refused(*TASKS[files], named=("pred/city/b.png",))


WRONG = {
    "semantic": {
        "colours": encoded("RGB"),
        "colours and transparency": encoded("RGBA"),
        "grey and transparency": encoded("LA"),
        "black and white": encoded("1"),
        "4-bit grey": png(*SIZE, 4, 0, bytes(17 * 24)),
        "JPEG": encoded("L", form="JPEG"),
        "BMP": encoded("L", form="BMP"),
        "GIF": encoded("P", form="GIF"),
        "TIFF": encoded("L", form="TIFF"),
        "another size": encoded("L", (24, 32)),
        "one pixel": encoded("L", (1, 1)),
        "a class too many": encoded("L", value=3),
        "the ignored value": encoded("L", value=255),
        "16 bits too large": encoded("I;16", value=60_000),
    },
    "depth": {
        "8-bit grey": encoded("L"),
        "colours": encoded("RGB"),
        "JPEG": encoded("L", form="JPEG"),
        "another size": encoded("I;16", (24, 32), value=9),
        "a palette": encoded("P"),
    },
    "normals": {
        "grey": encoded("L"),
        "16-bit grey": encoded("I;16"),
        "transparency": encoded("RGBA"),
        "a palette": encoded("P"),
        "JPEG": encoded("RGB", form="JPEG"),
        "another size": encoded("RGB", (24, 32), value=127),
    },
}


@pytest.mark.parametrize(
    ("files", "how"), [(task, how) for task, wrong in WRONG.items() for how in wrong], indirect=["files"]
)
def test_another_kind_of_image_is_named(files: str, how: str, refused: Refused) -> None:
    Path("pred/a.png").write_bytes(WRONG[files][how])
    refused(*TASKS[files], named=("pred/a.png",))


@pytest.mark.parametrize("files", TASKS, indirect=True)
@pytest.mark.parametrize("side", ["gt", "pred"])
def test_a_scored_file_that_viewers_turn_is_named(files: str, side: str, refused: Refused) -> None:
    exif, path = Image.Exif(), Path(side, "a.png")
    exif[ExifTags.Base.Orientation] = 3
    right(files).save(path, exif=exif)  # the same pixels
    refused(*TASKS[files], named=(str(path), "EXIF orientation 3"))


@pytest.mark.parametrize("files", TASKS, indirect=True)
@pytest.mark.parametrize("how", ["missing", "extra", "none", "another place"])
def test_files_that_have_no_partner_are_named(files: str, how: str, refused: Refused) -> None:
    named = "pred/city/b.png"
    if how == "missing":
        Path(named).unlink()
    elif how == "extra":
        named = "pred/c.png"
        shutil.copy("pred/a.png", named)
    elif how == "none":
        named = "--pred pred"
        shutil.rmtree("pred/city")
        Path("pred/a.png").rename("pred/a.jpg")
    else:
        Path(named).rename("pred/b.png")
    refused(*TASKS[files], named=(named,))


def test_vectors_that_are_none_are_named(empty: Path, refused: Refused) -> None:
    for side in ("gt", "pred"):
        Path(side).mkdir()
        Path(side, "a.png").write_bytes(encoded("RGB", value=255))
    refused(*TASKS["normals"], named=("gt/a.png", "longer than"))


# A folder of the user's own, prepared before: the earlier arrays must stay.


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    samples.write(folder, samples.params())
    for split in ("train", "val"):
        (folder / "mine" / split).mkdir(parents=True)
        for name in ("a", "b"):
            picture().save(folder / "mine" / split / f"{name}.jpg")
            label = picture(1, "L").point(lambda value: value % 2)
            label.save(folder / "mine" / split / f"{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in ("download", "prepare"):
            assert main([stage, "mine", "--scale", "open"]) == 0
    return folder


@pytest.fixture
def mine(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = shutil.copytree(prepared, tmp_path / "mine", symlinks=True)
    link = copy / "data/open/raw/mine/folder"
    link.unlink()
    link.symlink_to(copy / "mine")
    monkeypatch.chdir(copy)
    return copy


PREPARE = ["prepare", "mine", "--scale", "open"]


@pytest.mark.parametrize(
    ("name", "how"),
    # a JPEG file has no checksums: another bit is another image
    [
        (name, how)
        for name in ("b.jpg", "b.png")
        for how in BROKEN
        if (name, how) != ("b.jpg", "a flipped bit")
    ],
)
def test_a_broken_raw_file_is_named_and_earlier_arrays_stay(
    mine: Path, name: str, how: str, refused: Refused
) -> None:
    path = Path("mine/val", name)
    path.write_bytes(BROKEN[how](path.read_bytes()))
    refused(*PREPARE, named=(f"val/{name}",))


RAW = {
    "b.jpg": {
        "four colours of ink": encoded("CMYK", form="JPEG"),
        "16-bit grey": encoded("I;16"),
        "another size": encoded("RGB", (24, 32), form="JPEG"),
        "16-bit colours": png(*SIZE, 16, 2, bytes((1 + 6 * SIZE[0]) * SIZE[1])),
        "16-bit colours and transparency": png(*SIZE, 16, 6, bytes((1 + 8 * SIZE[0]) * SIZE[1])),
        "GIF that moves": moving("GIF"),
        "PNG that moves": moving("PNG"),
        "WebP that moves": moving("WEBP"),
        "TIFF of several pages": moving("TIFF"),
        **{f"transparent pixels of {mode}": transparent(mode) for mode in ("RGBA", "LA", "P", "RGB", "L")},
    },
    "b.png": {
        "PNG that moves": moving("PNG", "L"),
        "colours": encoded("RGB"),
        "transparency": encoded("LA"),
        "16 bits": encoded("I;16"),
        "4-bit grey": png(*SIZE, 4, 0, bytes(17 * 24)),
        "JPEG": encoded("L", form="JPEG"),
        "another size": encoded("L", (24, 32)),
        "a class too many": encoded("L", value=2),
        "the largest but one": encoded("L", value=254),
        "a palette with a class too many": encoded("P", value=7),
    },
}


@pytest.mark.parametrize(("name", "how"), [(name, how) for name, wrong in RAW.items() for how in wrong])
def test_a_wrong_raw_file_is_named(mine: Path, name: str, how: str, refused: Refused) -> None:
    Path("mine/train", name).write_bytes(RAW[name][how])
    refused(*PREPARE, named=("train/b.",))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_image_that_viewers_turn_is_named(
    mine: Path, form: str, orientation: int, refused: Refused
) -> None:
    Path("mine/train/b.jpg").write_bytes(turned(orientation, form))
    refused(*PREPARE, named=("train/b.jpg", f"EXIF orientation {orientation}", "exiftran"))


def test_a_label_that_viewers_turn_is_named(mine: Path, refused: Refused) -> None:
    Path("mine/train/b.png").write_bytes(turned(3, "PNG", "L"))
    refused(*PREPARE, named=("train/b.png", "EXIF orientation 3"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparency_is_named_and_read_where_nothing_is_transparent(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(transparent(mode, 10))
    with pytest.raises(DejavuError, match=r"image\.png is transparent at 10 of its 768 pixels, and"):
        read_image(path)
    path.write_bytes(transparent(mode, 0))
    assert read_image(path).mode == "RGB"


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        (kitti.decode_depth, "16-bit grey"),
        (codes.decode_depth, "8-bit grey"),
        (codes.read_normals, "8-bit RGB"),
        (read_ids, "8-bit RGB"),
        (lambda path: read_depth(path, 256, False), "16-bit grey"),
        (lambda path: read_normals(path, False), "8-bit RGB"),
    ],
    ids=["KITTI", "NYUD-v2", "normals", "segments", "scored depth", "scored normals"],
)
def test_depth_and_normals_of_another_kind_are_named_as_what_they_are(
    tmp_path: Path, read: Callable[[Path], object], wanted: str
) -> None:
    kinds = {
        "16-bit grey": encoded("I;16", value=9),
        "8-bit grey": encoded("L", value=9),
        "8-bit RGB": encoded("RGB", value=9),
        "8-bit palette": encoded("P", value=9),
        "8-bit grey with transparency": encoded("LA", value=9),
        "8-bit RGB with transparency": encoded("RGBA", value=9),
        "1-bit grey": encoded("1"),
        "JPEG file": encoded("RGB", form="JPEG"),
        "BMP file": encoded("L", form="BMP"),
    }
    for kind, content in kinds.items():
        (tmp_path / "x.png").write_bytes(content)
        if kind != wanted:
            with pytest.raises(DejavuError, match=rf"x\.png .*{kind}.*, and {wanted} is needed"):
                read(tmp_path / "x.png")


def as_stored() -> dict[str, bytes]:
    """Images that are shown as they are stored, by what might be taken for something else."""
    short, damaged, twice = io.BytesIO(), io.BytesIO(), io.BytesIO()
    picture().save(short, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    picture().save(damaged, "JPEG", exif=b"Exif\0\0nonsense")
    picture().save(twice, "MPO", save_all=True, append_images=[picture(1)])
    return {
        "orientation 1": turned(1),
        "an orientation that does not exist": turned(9),
        "tags that end early": short.getvalue(),
        "tags that are none": damaged.getvalue(),
        "GIF of one frame": moving("GIF", frames=1),
        "PNG of one frame": moving("PNG", frames=1),
        "a second picture behind": twice.getvalue(),  # as phones add it
        "TIFF, which Pillow turns itself": turned(6, "TIFF"),
        "interlaced": png(*SIZE, 8, 2, interlaced(np.asarray(picture())), True),
    }


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's, as it opens the file
@pytest.mark.parametrize("how", as_stored())
def test_what_is_shown_as_it_is_stored_is_read(tmp_path: Path, how: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(as_stored()[how])
    assert set(read_image(path).size) == set(SIZE)


@pytest.mark.parametrize("size", [SIZE, (1, 1), (5, 3), (4, 9)])
def test_interlaced_labels_are_read_whole_or_not_at_all(tmp_path: Path, size: tuple[int, int]) -> None:
    path, label = tmp_path / "label.png", np.asarray(picture(2, "L", size))
    rows = interlaced(label)
    path.write_bytes(png(*size, 8, 0, rows, True))
    np.testing.assert_array_equal(read_indices(path), label)
    for count in range(len(rows)):
        path.write_bytes(png(*size, 8, 0, rows[:count], True))
        with pytest.raises(DejavuError, match=r"label\.png cannot be read"):
            read_indices(path)


@pytest.mark.parametrize("adam7", [False, True])
def test_pillow_itself_reads_a_png_without_its_last_rows(tmp_path: Path, adam7: bool) -> None:
    """Once it does not, formats/images.py need not count rows: delete its `_check_rows`."""
    path, label = tmp_path / "label.png", np.full((8, 9), 7, np.uint8)
    rows = interlaced(label) if adam7 else b"".join(b"\0" + row.tobytes() for row in label)
    path.write_bytes(png(9, 8, 8, 0, rows[:-10], adam7))
    with Image.open(path) as image:
        assert np.asarray(image)[-1].tolist() == [0] * 9
    with pytest.raises(DejavuError, match=r"label\.png cannot be read \(\d+ of \d+ bytes of its rows"):
        read_indices(path)


@pytest.mark.parametrize("name", ["b.jpg", "b.png"])
@pytest.mark.parametrize("how", [*PLACES, "missing"])
def test_a_raw_file_that_is_none(mine: Path, name: str, how: str, refused: Refused) -> None:
    path = Path("mine/train", name)
    no_plain_file(path, how)
    refused(*PREPARE, named=("train", "b."))


def test_several_broken_files_are_all_listed(
    mine: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train/a.jpg", "val/b.png"):
        Path("mine", name).write_bytes(b"")
    refused(*PREPARE, named=("train/a.jpg", "one of 2"), listed=True)


MANIFESTS = {
    "no bytes": "",
    "half": '{"dataset": "mine", "spl',
    "a list": "[]",
    "nothing": "{}",
    "null": "null",
    "deep": "[" * 100_000,
    "a number without end": "1" * 5000,
    "binary": "\x00\x01",
    "another source": '{"dataset": "mine", "source": "x", "stands_in_for": null, "licence": 0, "splits": {}}',
    "no splits": '{"dataset": "mine", "source": "mine", "stands_in_for": 0, "licence": 0, "splits": []}',
}


@pytest.mark.parametrize("how", MANIFESTS)
def test_a_manifest_that_is_none(mine: Path, how: str, refused: Refused) -> None:
    Path("data/open/raw/mine.json").write_text(MANIFESTS[how])
    refused(*PREPARE, named=("data/open/raw/mine.json", "dejavu download mine --scale open"))
