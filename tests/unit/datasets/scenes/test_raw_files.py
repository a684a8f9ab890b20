"""The scene renderer: geometry against analytic truth, labels against each other, and determinism."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from dejavu.datasets import camvid, cityscapes, nyudv2
from dejavu.datasets.scenes import raw_camvid, raw_files
from dejavu.datasets.scenes.geometry import Camera, Solid, corners, turn
from dejavu.datasets.scenes.objects import LABELS
from dejavu.datasets.scenes.render import _trace
from dejavu.errors import DejavuError

SIZE = (72, 144)
FORMS = ("box", "ellipsoid", "cylinder")
THINGS = [LABELS[name] for name in ("person", "rider", "car", "bus", "bicycle")]


@cache
def scene(index: int) -> raw_files.Scene:
    return raw_files.render(7, index, SIZE)


def points(scene: raw_files.Scene) -> np.ndarray:
    """Camera-frame points (H, W, 3) from the depth map."""
    return np.moveaxis(scene.camera.directions() * scene.depth, 0, -1)


def solid(form: str, z: float, label: int = 1, yaw: float = 0.4) -> Solid:
    axes = turn(yaw, 0.3, -0.2)
    return Solid(form, np.array([0.2, -0.1, z]), np.array([0.8, 0.5, 0.6]), label, lambda patch: patch, axes)


CAMERA = Camera((60, 80), 70.0, np.zeros(3), np.eye(3))


@pytest.mark.parametrize("index", range(4))
def test_shapes_and_kinds(index: int) -> None:
    s = scene(index)
    assert (s.image.dtype, s.image.shape) == (np.uint8, (*SIZE, 3))
    assert (s.semantic.dtype, s.instance.dtype, s.depth.dtype) == (np.uint8, np.int32, np.float32)
    assert set(np.unique(s.semantic)) <= set(LABELS.values())
    assert s.image.std() > 20  # neither black nor washed out


@pytest.mark.parametrize("index", range(4))
def test_surfaces_have_depth_and_unit_normals_that_face_the_camera(index: int) -> None:
    s = scene(index)
    sky = s.semantic == LABELS["sky"]
    assert (s.depth[sky] == 0).all() and (s.normals[sky] == 0).all()
    assert (s.depth[~sky] > 0).all()
    assert np.abs(np.linalg.norm(s.normals[~sky], axis=-1) - 1).max() < 1e-5
    facing = (s.normals * np.moveaxis(s.camera.directions(), 0, -1)).sum(-1)
    assert (facing[~sky] < 1e-6).all()


@pytest.mark.parametrize("index", range(4))
def test_normals_agree_with_those_of_the_depth_map(index: int) -> None:
    """Independent truth: the cross product of neighbouring unprojected points, away from edges."""
    s = scene(index)
    p = points(s).astype(np.float64)
    dx, dy = p[1:-1, 2:] - p[1:-1, :-2], p[2:, 1:-1] - p[:-2, 1:-1]
    n = np.cross(dy, dx)
    n /= np.linalg.norm(n, axis=-1, keepdims=True) + 1e-12
    normal = s.normals[1:-1, 1:-1]
    agree = (n * normal).sum(-1)
    # away from edges: where the neighbours lie on the same plane, and their normals are the same
    flat = np.ones(normal.shape[:2], bool)
    for rows, columns in ((1, 2), (1, 0), (2, 1), (0, 1)):
        window = (slice(rows, rows + flat.shape[0]), slice(columns, columns + flat.shape[1]))
        off_plane = np.abs(((p[window] - p[1:-1, 1:-1]) * normal).sum(-1))
        flat &= (off_plane < 1e-3 * p[1:-1, 1:-1, 2]) & ((s.normals[window] * normal).sum(-1) > 0.9999)
    assert flat.mean() > 0.2
    assert agree[flat].min() > 0.99


@pytest.mark.parametrize("index", range(4))
def test_depth_of_the_road_is_the_camera_height_over_the_slope_of_the_ray(index: int) -> None:
    s = scene(index)
    downwards = np.einsum("j,jhw->hw", s.camera.rotation[1], s.camera.directions())
    expected = -s.camera.position[1] / downwards  # the road is the plane y = 0
    road = s.semantic == LABELS["road"]
    assert road.mean() > 0.05
    np.testing.assert_allclose(s.depth[road], expected[road], rtol=1e-5)


@pytest.mark.parametrize("index", range(4))
def test_every_object_is_of_one_class_and_only_things_are_objects(index: int) -> None:
    s = scene(index)
    for thing in np.unique(s.instance[s.instance > 0]):
        assert len(np.unique(s.semantic[s.instance == thing])) == 1
    assert ((s.instance > 0) == np.isin(s.semantic, THINGS)).all()


def test_the_class_of_every_pixel_comes_from_the_nearest_surface() -> None:
    """Against a plain loop over all solids without windows, sorting or culling."""
    rng = np.random.default_rng(3)
    solids = [
        Solid(FORMS[n % 3], centre, half, n, lambda patch: patch, turn(*rng.uniform(-1, 1, 3)))
        for n, (centre, half) in enumerate(
            zip(rng.uniform([-3, -2, 3], [3, 2, 9], (24, 3)), rng.uniform(0.2, 1.2, (24, 3)), strict=True)
        )
    ]
    rays = CAMERA.directions()
    depth, nearest = _trace(solids, CAMERA, rays)
    t = np.stack([s.meet(np.zeros((3, 1)), rays.reshape(3, -1)) for s in solids])
    best = np.where(np.isfinite(t.min(0)), t.argmin(0), -1).reshape(CAMERA.size)
    assert len(np.unique(best)) > 10
    np.testing.assert_array_equal(nearest, best)
    np.testing.assert_allclose(depth.ravel(), t.min(0))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [(4, 8), (8, 4)])
def test_what_is_nearer_hides_what_is_farther(form: str, order: tuple[int, int]) -> None:
    solids = [solid(form, z, label) for label, z in enumerate(order)]
    _, nearest = _trace(solids, CAMERA, CAMERA.directions())
    assert nearest[30, 42] == int(np.argmin(order))


@pytest.mark.parametrize("form", FORMS)
def test_hits_lie_on_the_surface(form: str) -> None:
    """The implicit equation of each shape holds at the points that rays meet."""
    body = solid(form, 4.0)
    rays = CAMERA.directions().reshape(3, -1)
    t = body.meet(np.zeros((3, 1)), rays)
    hit = np.isfinite(t)
    assert 0.05 < hit.mean() < 0.9
    x, y, z = body.local(t[hit] * rays[:, hit]) / body.half[:, None]
    value = {
        "box": np.maximum(np.maximum(abs(x), abs(y)), abs(z)),
        "ellipsoid": np.sqrt(x * x + y * y + z * z),
        "cylinder": np.maximum(np.hypot(x, z), abs(y)),
    }[form]
    np.testing.assert_allclose(value, 1, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_window_holds_every_pixel_that_sees_the_solid(form: str) -> None:
    for z in (1.2, 3.0, 9.0):
        body = solid(form, z)
        window, _ = CAMERA.windows(corners([body]))
        top, bottom, left, right = window[0]
        hit = np.isfinite(body.meet(np.zeros((3, 1)), CAMERA.directions().reshape(3, -1))).reshape(
            CAMERA.size
        )
        assert hit.sum() == hit[top:bottom, left:right].sum() > 0


def test_a_scene_depends_on_its_seed_and_index_alone() -> None:
    first, again = scene(3), raw_files.render(7, 3, SIZE)
    for field in ("image", "semantic", "instance", "depth", "normals"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert first.caption == again.caption
    assert (scene(2).image != first.image).any()
    assert (raw_files.render(8, 3, SIZE).image != first.image).any()


def test_another_process_renders_the_same_bytes() -> None:
    code = (
        "import hashlib; from dejavu.datasets.scenes.raw_files import render; s = render(7, 5, (32, 64)); "
        "print(hashlib.sha256(s.image.tobytes() + s.depth.tobytes()).hexdigest())"
    )
    root = ROOT
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    s = raw_files.render(7, 5, (32, 64))
    assert out.stdout.strip() == hashlib.sha256(s.image.tobytes() + s.depth.tobytes()).hexdigest()


def test_the_street_does_not_change_with_the_image_size() -> None:
    small, large = raw_files.render(7, 1, (24, 48)), raw_files.render(7, 1, (72, 144))
    # with a factor of 3, the middle of each 3x3 block is the small image's pixel centre
    np.testing.assert_array_equal(small.semantic, large.semantic[1::3, 1::3])
    np.testing.assert_allclose(small.depth, large.depth[1::3, 1::3], rtol=1e-5)


def test_thirty_scenes_show_every_class() -> None:
    seen = np.zeros(34, int)
    for index in range(30):
        seen += np.bincount(raw_files.render(7, index, (32, 64)).semantic.ravel(), minlength=34) > 0
    assert all(seen[label] for label in LABELS.values())
    evaluated = [label for label in LABELS.values() if cityscapes.TRAIN_IDS[label] != 255]
    assert len(evaluated) == 16


def test_the_caption_names_what_is_there() -> None:
    s = scene(0)
    cars = {int(t) for t in np.unique(s.instance[s.semantic == LABELS["car"]])}
    large = [t for t in cars if (s.instance == t).sum() >= 4]
    word = "car" if len(large) == 1 else "cars"
    assert f"{len(large)} {word}" in s.caption or not large
    assert ("building" in s.caption) == ((s.semantic == LABELS["building"]).sum() >= 4)


def test_cityscapes_layout_is_written_and_read_back(tmp_path: Path) -> None:
    files = raw_files.write_cityscapes(tmp_path, 7, (32, 64), {"train": 2, "val": 1})
    assert files == sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    names = {split: [pair.name for pair in cityscapes.pairs(tmp_path, split)] for split in ("train", "val")}
    assert names == {
        "train": ["rendered_000000_000019", "rendered_000002_000019"],
        "val": ["rendered_000001_000019"],
    }
    s = raw_files.render(7, 2, (32, 64))
    pair = cityscapes.pairs(tmp_path, "train")[1]
    np.testing.assert_array_equal(np.asarray(Image.open(pair.image)), s.image)
    np.testing.assert_array_equal(np.asarray(Image.open(pair.label)), s.semantic)
    ids = np.asarray(Image.open(str(pair.label).replace("labelIds", "instanceIds")))
    assert ids.dtype == np.uint16
    np.testing.assert_array_equal(np.where(ids >= 1000, ids // 1000, ids), s.semantic)
    assert ((ids >= 1000) == (s.instance > 0)).all()
    assert len(np.unique(ids[ids >= 1000])) == len(np.unique(s.instance[s.instance > 0]))


def test_fewer_scenes_are_the_first_of_more(tmp_path: Path) -> None:
    raw_files.write_cityscapes(tmp_path / "a", 7, (16, 32), {"train": 1, "val": 1})
    raw_files.write_cityscapes(tmp_path / "b", 7, (16, 32), {"train": 2, "val": 1})
    for path in (tmp_path / "a").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_training_and_validation_never_share_a_scene() -> None:
    train, val = ({raw_files.scene_index(s, n) for n in range(500)} for s in ("train", "val"))
    assert len(train) == len(val) == 500 and not train & val


def test_scenes_are_never_written_over_the_real_data(tmp_path: Path) -> None:
    real = tmp_path / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(DejavuError, match="leftImg8bit was not rendered"):
        raw_files.write_cityscapes(tmp_path, 7, (16, 32), {"train": 1, "val": 1})
    assert real.read_bytes() == b"real"


def test_camvid_layout_is_written_read_back_and_removed(tmp_path: Path) -> None:
    files = raw_camvid.write_camvid(tmp_path, 7, (48, 64), train=2, test=1)
    assert files == sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    names = {split: [pair.name for pair in camvid.pairs(tmp_path, split)] for split in camvid.SPLITS}
    odd = ["rendered_000001"]
    assert names == {"train": ["rendered_000000", "rendered_000002"], "val": odd, "test": odd}
    s = raw_files.render(7, 2, (48, 64))
    pair = camvid.pairs(tmp_path, "train")[1]
    np.testing.assert_array_equal(np.asarray(Image.open(pair.image)), s.image)
    labels = camvid.decode_label(pair.label)
    for label, value in LABELS.items():
        name = {"sidewalk": "pavement", "person": "pedestrian"}.get(label, label)
        if (s.semantic == value).any() and name in camvid.CLASSES.names:
            assert {*labels[s.semantic == value]} == {camvid.CLASSES.names.index(name)}, label
    ignored = np.isin(s.semantic, [LABELS["static"], LABELS["ego vehicle"]])
    np.testing.assert_array_equal(labels == 255, ignored)
    raw_camvid.remove_camvid(tmp_path)
    assert not any(tmp_path.iterdir())


def test_all_classes_of_camvid_stand_for_evaluated_labels() -> None:
    evaluated = {name for name, label in LABELS.items() if cityscapes.TRAIN_IDS[label] != 255}
    assert raw_camvid.VALUES.keys() == evaluated
    assert {*raw_camvid.VALUES.values()} == {*range(len(camvid.CLASSES))}


@pytest.mark.parametrize("name", ["train/a.png", "valannot/a.png", "test.txt"])
def test_scenes_are_never_written_over_the_real_camvid(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"real")
    with pytest.raises(DejavuError, match="was not rendered"):
        raw_camvid.write_camvid(tmp_path, 7, (16, 32), train=1, test=1)
    assert (tmp_path / name).read_bytes() == b"real"


NYU = {"train": 2, "test": 1}


def test_the_street_classes_take_every_evaluated_label_once() -> None:
    taken = [label for _, _, labels in raw_files.STREET_13 for label in labels]
    evaluated = {label for label in LABELS.values() if cityscapes.TRAIN_IDS[label] != 255}
    assert len(taken) == len(set(taken)) and set(taken) == evaluated


def test_nyudv2_layout_is_written_and_read_back(tmp_path: Path) -> None:
    files = raw_files.write_nyudv2(tmp_path, 7, (48, 64), NYU)
    assert files == sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    names = {split: [pair.name for pair in nyudv2.pairs(tmp_path, split)] for split in NYU}
    assert names == {"train": ["rendered_000000", "rendered_000002"], "test": ["rendered_000001"]}
    s = raw_files.render(7, 2, (48, 64))
    pair = nyudv2.pairs(tmp_path, "train")[1]
    np.testing.assert_array_equal(np.asarray(Image.open(pair.image)), s.image)
    labels = nyudv2.decode_label(pair.label)
    for number, (_, _, ids) in enumerate(raw_files.STREET_13):
        np.testing.assert_array_equal(labels == number, np.isin(s.semantic, ids))
    np.testing.assert_array_equal(
        labels == 255, np.isin(s.semantic, [LABELS["ego vehicle"], LABELS["static"]])
    )


def test_nyudv2_depth_and_normals_are_the_rendered_ones_within_their_steps(tmp_path: Path) -> None:
    raw_files.write_nyudv2(tmp_path, 7, (48, 64), NYU)
    s, pair = raw_files.render(7, 1, (48, 64)), nyudv2.pairs(tmp_path, "test")[0]
    assert pair.depth is not None and pair.normals is not None
    depth = nyudv2.decode_depth(pair.depth)
    near = (s.depth > 0) & (s.depth < 99.5)
    assert 0.5 < near.mean() < 1
    assert np.abs(depth - s.depth / 10)[near].max() <= 9.99547 / 255 / 2 + 1e-5
    assert (depth[(s.depth == 0) | (s.depth > 100)] == 0).all() and depth.max() < 9.99547
    normals = nyudv2.decode_normals(pair, depth)
    surface = s.normals.any(axis=-1)
    np.testing.assert_array_equal(normals.any(axis=-1), surface)
    angle = np.arccos(np.clip((normals * s.normals).sum(-1)[surface], -1, 1))
    assert np.degrees(angle).max() < 0.6  # half of a step of 1/127.5 in each of three directions


@pytest.mark.parametrize("real", ["train.txt", "test/rgb/00001.jpg"])
def test_nyudv2_scenes_are_never_written_over_the_real_data(tmp_path: Path, real: str) -> None:
    raw_files.write_nyudv2(tmp_path, 7, (16, 32), NYU)
    raw_files.write_nyudv2(tmp_path, 7, (16, 32), NYU)  # over their like they are
    raw_files.remove_nyudv2(tmp_path)
    assert not list(tmp_path.iterdir())
    path = tmp_path / real
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"00001\n")
    with pytest.raises(DejavuError, match="was not rendered"):
        raw_files.write_nyudv2(tmp_path, 7, (16, 32), NYU)
    assert path.read_bytes() == b"00001\n"


@pytest.mark.parametrize(
    ("counts", "key"), [({"train": 1, "test": None}, "`val`"), ({"train": None}, "`train`")]
)
def test_scenes_without_a_number_are_asked_for_by_the_key(
    tmp_path: Path, counts: dict[str, int | None], key: str
) -> None:
    with pytest.raises(DejavuError, match=key):
        raw_files.write_nyudv2(tmp_path, 7, (16, 32), counts)
