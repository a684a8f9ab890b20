"""`dejavu score`: files in, JSON out, and a sentence that names the file when something is wrong."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

from dejavu.errors import DejavuError
from dejavu.stages import score

NAMES = ["a.png", "city/b.png", "city/deep/c.PNG"]


def save(path: Path, values: np.ndarray, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16))
    elif mode == "P":
        image = Image.fromarray(values.astype(np.uint8)).convert("L")
        image = Image.frombytes("P", image.size, image.tobytes())
        # A palette that does not hold the indices as its colours, and twice the same colour.
        image.putpalette([(37 * i + 11) % 256 // 2 for i in range(768)])
    else:
        image = Image.fromarray(values.astype(np.uint8))
        image = image if mode == "L" else image.convert(mode)
    image.save(path, format="PNG")
    with Image.open(path) as written:
        assert written.mode == mode


def load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    for size, name in enumerate(NAMES, start=10):
        label = rng.choice([0, 1, 2, 3, 255], (size, 12))
        save(tmp_path / "gt" / name, label)
        save(tmp_path / "pred" / name, np.where(rng.random(label.shape) < 0.3, 1, label % 5 % 4))
    (tmp_path / "gt" / "readme.txt").write_text("not a label")
    return tmp_path / "gt", tmp_path / "pred"


def run(folders: tuple[Path, Path], *more: str, classes: int = 4) -> None:
    parser = argparse.ArgumentParser()
    score.add_arguments(parser)
    gt, pred = map(str, folders)
    args = parser.parse_args(["semantic", "--gt", gt, "--pred", pred, "--classes", str(classes), *more])
    args.run(args)


def test_prints_json_that_equals_torchmetrics(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run(folders)
    printed = json.loads(capsys.readouterr().out)
    macro, each = (
        MulticlassJaccardIndex(4, average=average, ignore_index=255) for average in ("macro", None)
    )
    for name in NAMES:
        label, prediction = (torch.tensor(load(folder / name)).long() for folder in folders)
        macro.update(prediction, label)
        each.update(prediction, label)
    assert printed["images"] == 3
    assert printed["miou"] == pytest.approx(100 * macro.compute().item(), abs=1e-4)
    assert list(printed["iou"].values()) == pytest.approx((100 * each.compute()).tolist(), abs=1e-4)


@pytest.mark.parametrize("mode", ["P", "I;16"])
@pytest.mark.parametrize("which", [0, 1])
def test_the_file_format_does_not_matter(
    folders: tuple[Path, Path], mode: str, which: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folders)
    expected = capsys.readouterr().out
    for name in NAMES:
        save(folders[which] / name, load(folders[which] / name), mode)
    run(folders)
    assert capsys.readouterr().out == expected


def test_ignore_is_the_callers_choice(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        label = load(folders[0] / name).astype(np.uint16)
        save(folders[0] / name, np.where(label == 255, 65535, label), "I;16")
    with pytest.raises(DejavuError, match="65535"):
        run(folders)
    run(folders, "--ignore", "65535")
    assert json.loads(capsys.readouterr().out)["miou"] > 0


def fault_missing(gt: Path, pred: Path) -> None:
    (pred / "city/b.png").unlink()


def fault_extra(gt: Path, pred: Path) -> None:
    save(pred / "city/b2.png", np.zeros((4, 4)))


def fault_size(gt: Path, pred: Path) -> None:
    save(pred / "city/b.png", np.zeros((4, 4)))


def fault_rgb(gt: Path, pred: Path) -> None:
    save(pred / "city/b.png", np.zeros((11, 12)), "RGB")


def fault_alpha(gt: Path, pred: Path) -> None:
    save(gt / "city/b.png", np.zeros((11, 12)), "LA")


def fault_four_bit_grey(gt: Path, pred: Path) -> None:
    # Written by hand: Pillow writes no 4-bit grey, and reads 1 as 17.
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12, 11, 4, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([0x01] * 6) for _ in range(11))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    content = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    (pred / "city/b.png").write_bytes(content)


def fault_prediction_out_of_range(gt: Path, pred: Path) -> None:
    save(gt / "city/b.png", np.zeros((11, 12)))
    save(pred / "city/b.png", np.full((11, 12), 4))


def fault_label_out_of_range(gt: Path, pred: Path) -> None:
    save(gt / "city/b.png", np.full((11, 12), 254))


def fault_truncated(gt: Path, pred: Path) -> None:
    path = pred / "city/b.png"
    path.write_bytes(path.read_bytes()[:-40])


def fault_flipped_bit(gt: Path, pred: Path) -> None:
    path = gt / "city/b.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fault_another_pixel(gt: Path, pred: Path) -> None:
    """A flipped bit with which the file still decodes, to other values: only the checksums tell."""
    path = pred / "city/b.png"
    label = np.arange(48 * 64).reshape(48, 64) // 37 % 4
    save(gt / "city/b.png", label)
    save(path, label)
    content = path.read_bytes()
    for place in range(content.index(b"IDAT") + 4, len(content) - 16):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            changed = load(path)
            if (changed != label).any() and changed.max() < 4:
                return
    raise AssertionError("every flipped bit was noticed in decoding: this test shows nothing")


def fault_jpeg(gt: Path, pred: Path) -> None:
    Image.new("L", (12, 11)).save(pred / "city/b.png", format="JPEG")


def fault_not_an_image(gt: Path, pred: Path) -> None:
    (pred / "city/b.png").write_text("version https://git-lfs.github.com/spec/v1")


FAULTS = {
    fault_missing: "is missing",
    fault_extra: "no ground truth",
    fault_size: "shape",
    fault_rgb: "mode RGB",
    fault_alpha: "mode LA",
    fault_four_bit_grey: "4-bit",
    fault_prediction_out_of_range: "value 4",
    fault_label_out_of_range: "value 254",
    fault_truncated: "cannot be read",
    fault_flipped_bit: "cannot be read",
    fault_another_pixel: "cannot be read",
    fault_jpeg: "JPEG",
    fault_not_an_image: "cannot be read",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_names_the_file(
    folders: tuple[Path, Path], fault: object, capsys: pytest.CaptureFixture[str]
) -> None:
    fault(*folders)
    with pytest.raises(DejavuError) as raised:
        run(folders)
    assert "city/b" in str(raised.value) and FAULTS[fault] in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("state", ["absent", "empty"])
def test_an_empty_folder_is_named(folders: tuple[Path, Path], which: int, state: str, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    if state == "empty":
        folder.mkdir()
    given = (folder, folders[1]) if which == 0 else (folders[0], folder)
    with pytest.raises(DejavuError, match=f"{['--gt', '--pred'][which]} {folder}"):
        run(given)


@pytest.mark.parametrize("classes", [0, -1, 10**6])
def test_the_number_of_classes_must_be_possible(folders: tuple[Path, Path], classes: int) -> None:
    with pytest.raises(DejavuError, match="--classes"):
        run(folders, classes=classes)


def test_real_labels_equal_torchmetrics(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CamVid's own files, each predicted by the frame before it; 11 is void there."""
    annotations = sorted((mirror / "camvid" / "testannot").glob("*.png"))[:5]
    if not annotations:
        pytest.skip(f"no CamVid labels in {mirror}")
    reference = MulticlassJaccardIndex(11, ignore_index=11)
    for before, now in zip(annotations, annotations[1:], strict=False):
        (tmp_path / "gt").mkdir(exist_ok=True)
        shutil.copy(now, tmp_path / "gt")
        guess = load(before)
        save(tmp_path / "pred" / now.name, np.where(guess == 11, 1, guess))
        reference.update(*(torch.tensor(load(tmp_path / name / now.name)).long() for name in ("pred", "gt")))
    run((tmp_path / "gt", tmp_path / "pred"), "--ignore", "11", classes=11)
    printed = json.loads(capsys.readouterr().out)
    assert printed["miou"] == pytest.approx(100 * reference.compute().item(), abs=1e-3)
    assert 0 < printed["boundary_miou"] < printed["miou"] < 100
