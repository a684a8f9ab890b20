"""`dejavu score`: files in, JSON out, and a sentence that names the file when something is wrong."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error
from torchmetrics.classification import MulticlassJaccardIndex

from dejavu.commands import score
from dejavu.commands.parser import Parser
from dejavu.errors import DejavuError

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
    parser = Parser()
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


def of_maps(task: str, folders: tuple[Path, Path], *more: str) -> None:
    parser = Parser()
    score.add_arguments(parser)
    gt, pred = map(str, folders)
    args = parser.parse_args([task, "--gt", gt, "--pred", pred, *more])
    args.run(args)


def depth_map(seed: int, shape: tuple[int, int] = (11, 12)) -> np.ndarray:
    """Depth in units of 1/256 m, 1 to 95 m, as a 16-bit PNG stores it."""
    return np.random.default_rng(seed).integers(256, 95 * 256, shape).astype(np.uint16)


def normal_map(seed: int, shape: tuple[int, int] = (11, 12)) -> np.ndarray:
    """Unit vectors in 8 bits."""
    vectors = np.random.default_rng(seed).standard_normal((*shape, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.round((vectors + 1) * 127.5).astype(np.uint8)


@pytest.fixture
def of_task(tmp_path: Path, task: str) -> tuple[Path, Path]:
    """Two folders of depth or normals; a fifth of the ground truth is unknown, and not predicted either."""
    make = {"depth": depth_map, "normals": normal_map}[task]
    for seed, name in enumerate(NAMES):
        truth, prediction = make(seed), make(seed + 100)
        hole = np.random.default_rng(seed).random((11, 12)) < 0.2
        truth[hole] = prediction[hole] = 0
        for folder, values in (("gt", truth), ("pred", prediction)):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path, format="PNG")
    return tmp_path / "gt", tmp_path / "pred"


@pytest.mark.parametrize("task", ["depth"])
@pytest.mark.parametrize("scale", [256.0, 1000.0])
def test_depth_equals_sklearn(
    of_task: tuple[Path, Path], scale: float, capsys: pytest.CaptureFixture[str]
) -> None:
    of_maps("depth", of_task, "--scale", str(scale), "--min", "2", "--max", "60")
    printed = json.loads(capsys.readouterr().out)
    kept = []
    for name in NAMES:
        truth, prediction = (load(folder / name) / scale for folder in of_task)
        valid = (truth > 2) & (truth < 60)
        kept.append((truth[valid], np.clip(prediction[valid], 2, 60)))
    truth, prediction = (np.concatenate([pair[i] for pair in kept]) for i in (0, 1))
    assert printed["depth_aerr"] == pytest.approx(mean_absolute_error(truth, prediction))
    assert printed["abs_rel"] == pytest.approx(
        np.mean([mean_absolute_percentage_error(*pair) for pair in kept])
    )
    said = {"task": "depth", "images": 3, "images_scored": 3, "scale": scale, "min": 2.0, "max": 60.0}
    assert {key: printed[key] for key in said} == said
    assert (printed["crop"], printed["median_scaling"]) == ("none", False)


@pytest.mark.parametrize("task", ["normals"])
def test_normals_equal_the_angles_of_the_files(
    of_task: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    of_maps("normals", of_task)
    printed = json.loads(capsys.readouterr().out)
    every = []
    for name in NAMES:
        stored = (load(folder / name).reshape(-1, 3).astype(float) for folder in of_task)
        for a, b in zip(*stored, strict=True):
            if a.any():
                n, m = a / 127.5 - 1, b / 127.5 - 1
                every.append(np.degrees(np.arccos(n @ m / np.sqrt((n @ n) * (m @ m)))))
    assert printed["normal_merr"] == pytest.approx(np.mean(every), abs=1e-6)
    assert printed["normal_median"] == pytest.approx(np.median(every), abs=5e-4)
    assert (printed["task"], printed["images"]) == ("normals", 3)


@pytest.mark.parametrize("task", ["normals"])
@pytest.mark.parametrize("none", [0, 127, 128])
def test_black_and_grey_are_no_normal(
    of_task: tuple[Path, Path], none: int, capsys: pytest.CaptureFixture[str]
) -> None:
    of_maps("normals", of_task)
    expected = capsys.readouterr().out
    for name in NAMES:
        values = load(of_task[0] / name)
        values[(values == 0).all(-1)] = none
        Image.fromarray(values).save(of_task[0] / name, format="PNG")
    of_maps("normals", of_task)
    assert capsys.readouterr().out == expected


def spoil(folder: Path, values: np.ndarray, mode: str | None = None) -> None:
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(folder / "city/b.png", format="PNG")


def sixteen_bit_colour(folder: Path) -> None:
    """Written by hand: Pillow reads 16-bit RGB as if it had 8 bits."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 12, 11, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(72) for _ in range(11)))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (folder / "city/b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


BYTES, COLOUR = np.ones((11, 12), np.uint8), np.full((11, 12, 3), 200, np.uint8)
EITHER = {
    "missing": (fault_missing, "is missing"),
    "extra": (fault_extra, "no ground truth"),
    "truncated": (fault_truncated, "cannot be read"),
    "flipped bit": (fault_flipped_bit, "cannot be read"),
    "JPEG": (fault_jpeg, "not a PNG"),
    "no image": (fault_not_an_image, "not a PNG"),
    "empty": (lambda gt, pred: (pred / "city/b.png").write_bytes(b""), "not a PNG"),
    "16-bit colour": (lambda gt, pred: sixteen_bit_colour(pred), "16-bit RGB, and "),
    "palette": (lambda gt, pred: spoil(pred, BYTES, "P"), "8-bit palette, and "),
    "transparency": (lambda gt, pred: spoil(gt, COLOUR, "RGBA"), "8-bit RGB with transparency, and "),
    "8-bit grey": (lambda gt, pred: spoil(gt, BYTES), "8-bit grey, and "),
}
FAULTS_OF = {
    "depth": {
        **EITHER,
        "colour": (lambda gt, pred: spoil(pred, COLOUR), "8-bit RGB, and 16-bit grey is needed"),
        "size": (lambda gt, pred: spoil(pred, depth_map(0, (4, 4))), "shape (4, 4)"),
        "a hole": (
            lambda gt, pred: (spoil(gt, depth_map(0) // 2), spoil(pred, depth_map(0) * 0)),
            "no depth (no finite number) at 132 of the 132 pixels",
        ),
    },
    "normals": {
        **EITHER,
        "16-bit grey": (lambda gt, pred: spoil(pred, depth_map(0)), "16-bit grey, and 8-bit RGB is needed"),
        "size": (lambda gt, pred: spoil(pred, normal_map(0, (4, 4))), "shape (4, 4, 3)"),
        "a photograph": (lambda gt, pred: spoil(gt, COLOUR + 55), "132 vectors longer than 1.2"),
        "a hole": (
            lambda gt, pred: (spoil(gt, normal_map(0)), spoil(pred, np.full_like(COLOUR, 128))),
            "no normal (no finite numbers) at 132 of the 132 pixels",
        ),
    },
}


@pytest.mark.parametrize(
    ("task", "fault"), [(task, fault) for task, faults in FAULTS_OF.items() for fault in faults]
)
def test_a_fault_of_depth_or_normals_names_the_file(
    of_task: tuple[Path, Path], task: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, says = FAULTS_OF[task][fault]
    make(*of_task)
    with pytest.raises(DejavuError) as raised:
        of_maps(task, of_task)
    assert "city/b" in str(raised.value) and says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("task", ["depth"])
@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--scale", "0"), "--scale is 0.0"),
        (("--scale", "nan"), "--scale: must be a number.*nan"),
        (("--min", "9", "--max", "3"), "--min is 9.0 and --max is 3.0"),
        (("--max", "inf"), "--max: must be a number.*inf"),
        (("--min", "-1"), "--min is -1.0"),
        (("--crop", "eigne"), "did you mean 'eigen'"),
        (("--scale", "65536"), "nothing was scored.*between 2.0 and 80"),
    ],
)
def test_options_of_depth_must_be_possible(
    of_task: tuple[Path, Path], more: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DejavuError, match=says):
        of_maps("depth", of_task, *(("--min", "2") if more[0] == "--scale" else ()), *more)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("crop", ["none", "garg", "eigen"])
def test_real_depth_of_kitti(
    mirror: Path, tmp_path: Path, crop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sparse LiDAR, predicted a tenth too far everywhere: every relative error is known."""
    measured = sorted((mirror / "kitti_depth" / "depth").glob("*.png"))
    if not measured:
        pytest.skip(f"no KITTI depth in {mirror}")
    pooled = []
    for path in measured[:3]:
        (tmp_path / "gt").mkdir(exist_ok=True)
        (tmp_path / "pred").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "gt")
        stored = load(path)
        nearest = ndimage.distance_transform_edt(stored == 0, return_distances=False, return_indices=True)
        guess = np.round(1.1 * stored[tuple(nearest)].astype(float)).clip(1, 65535).astype(np.uint16)
        Image.fromarray(guess).save(tmp_path / "pred" / path.name)
        if crop == "none":
            pooled.append(stored[(stored > 0) & (stored < 72 * 256)] / 256)
    folders = (tmp_path / "gt", tmp_path / "pred")
    of_maps("depth", folders, "--crop", crop, "--max", "72")  # 1.1 x 72 m would be clipped at 72
    printed = json.loads(capsys.readouterr().out)
    assert printed["images"] == printed["images_scored"] == 3
    assert printed["delta1"] == 1 and 0.09 < printed["abs_rel"] <= 0.1001
    assert printed["rmse_log"] == pytest.approx(np.log(1.1), abs=0.004)
    if pooled:
        errors = [np.abs(np.minimum(1.1 * truth, 72) - truth) for truth in pooled]
        assert printed["depth_aerr"] == pytest.approx(np.concatenate(errors).mean(), abs=1e-3)
    of_maps("depth", folders, "--crop", crop, "--median-scaling")
    assert json.loads(capsys.readouterr().out)["abs_rel"] < 1e-3  # what rounding to 1/256 m leaves


def test_real_normals_of_nyudv2(mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two normal maps of one frame, and the agreement that their source states: 10.5, 6.3 and 74 %."""
    folder = mirror / "nyudv2" / "normals_check"
    if not folder.is_dir():
        pytest.skip(f"no normals of NYUD-v2 in {mirror}")
    official = load(folder / "00003_ladicky_640x480_BGR.png")[1::2, 1::2, ::-1]
    derived = load(folder / "00003_derived_320x240_RGB.png")
    inner = np.s_[6:-6, 6:-6]  # the frame of the image is white
    for name, values in (("gt", official[inner]), ("pred", derived[inner])):
        (tmp_path / name).mkdir()
        Image.fromarray(np.ascontiguousarray(values)).save(tmp_path / name / "00003.png")
    of_maps("normals", (tmp_path / "gt", tmp_path / "pred"))
    printed = json.loads(capsys.readouterr().out)
    assert printed["normal_merr"] == pytest.approx(10.5, abs=0.1)
    assert printed["normal_median"] == pytest.approx(6.3, abs=0.1)
    assert printed["normal_within_11"] == pytest.approx(74, abs=0.5)
