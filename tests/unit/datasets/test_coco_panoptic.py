"""COCO's panoptic dataset: its categories, its layout, scenes in it, and what prepare makes of it."""

from __future__ import annotations

import io
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dejavu.commands import download, prepare
from dejavu.config import DataSource, KeepAspect, Source
from dejavu.datasets import coco_panoptic
from dejavu.datasets.formats import coco
from dejavu.datasets.obtain import coco_archives
from dejavu.datasets.prepared import store
from dejavu.datasets.scenes import crowds, raw_coco, raw_files
from dejavu.datasets.scenes.objects import LABELS
from dejavu.errors import DejavuError
from dejavu.system.files import sha256
from dejavu.tasks import segments

PREPARED = Path("data/smoke/prepared/coco_panoptic")
RAW = Path("data/smoke/raw/coco_panoptic")
COUNTS = {"train": 3, "val": 2}
SIZE = (48, 80)


class Asked:
    """What the two stages read of params.yaml."""

    def __init__(self, **part: Any) -> None:
        self._part = DataSource(**part)
        self.datasets = {"coco_panoptic": Source(licence="cc"), "synthetic": Source(licence="own", seed=7)}

    def data_source(self, name: str, scale: str) -> DataSource:
        return self._part


SCENES: Any = Asked(source="synthetic", size=SIZE, **COUNTS)
SMALL: Any = Asked(source="synthetic", size={"short": 24, "long": 60}, **COUNTS)
REAL: Any = Asked(source="coco_panoptic", size={"short": 24, "long": 32})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes in COCO's layout, made once."""
    folder = tmp_path_factory.mktemp("rendered")
    raw_coco.write(folder, 7, SIZE, COUNTS, coco_panoptic.TABLE)
    return folder


@pytest.fixture
def raw(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "raw"))


@pytest.fixture
def samples(mirror: Path) -> Path:
    folder = mirror / "coco_panoptic_samples"
    if not folder.is_dir():
        pytest.skip(f"no samples of COCO at {folder}")
    return folder


def real_layout(samples: Path, folder: Path) -> Path:
    """The samples as both splits, in the official layout."""
    for split in coco_panoptic.SPLITS:
        shutil.copytree(samples / "images", folder / f"{split}2017")
        shutil.copytree(samples / "panoptic_gt", folder / "annotations" / f"panoptic_{split}2017")
        shutil.copy(samples / "panoptic_gt.json", folder / "annotations" / f"panoptic_{split}2017.json")
    return folder


# the categories


def test_categories_are_the_official_list(mirror: Path) -> None:
    path = mirror / "split_lists" / "coco" / "panoptic_coco_categories.json"
    if not path.is_file():
        pytest.skip(f"no official list at {path}")
    official = [
        coco.Category(c["id"], c["name"], c["isthing"] == 1, tuple(c["color"]))
        for c in json.loads(path.read_text())
    ]
    assert list(coco_panoptic.TABLE) == official
    assert list(coco_panoptic.CLASSES.things or ()) == [True] * 80 + [False] * 53


def test_what_scenes_hold_has_the_category_of_that_name() -> None:
    names = {category.id: category.name for category in coco_panoptic.TABLE}
    said = {label: names[id_] for label, id_ in raw_coco.CATEGORY_IDS.items()}
    assert set(LABELS) - set(said) == {"ego vehicle", "static", "pole"}
    for label, name in said.items():
        others = {
            "rider": "person",
            "traffic sign": "stop sign",
            "vegetation": "tree",
            "sidewalk": "pavement",
        }
        assert others.get(label, "grass" if label == "terrain" else label) in name
    things = {
        name
        for name, thing in zip(coco_panoptic.CLASSES.names, coco_panoptic.CLASSES.things or (), strict=True)
        if thing
    }
    assert {label for label, name in said.items() if name in things} == {
        "person", "rider", "bicycle", "car", "bus", "traffic light", "traffic sign",
    }  # fmt: skip


# scenes


def test_scenes_are_listed_by_their_json(rendered: Path) -> None:
    for split, numbers in (("train", [0, 2, 4]), ("val", [1, 3])):
        found = coco_panoptic.pairs(rendered, split)
        assert [pair.name for pair in found] == [f"rendered_{number:06d}" for number in numbers]
        for pair in found:
            assert pair.panoptic == pair.label and pair.image.is_file()
        said = json.loads((rendered / "annotations" / f"panoptic_{split}2017.json").read_text())
        assert [annotation["image_id"] for annotation in said["annotations"]] == numbers
        assert len(said["categories"]) == 133


@pytest.mark.parametrize("number", range(3))
def test_codes_are_the_renderers_own_classes_and_objects(rendered: Path, number: int) -> None:
    pair = coco_panoptic.pairs(rendered, "train")[number]
    codes, scene = coco_panoptic.decode_panoptic(pair), raw_files.render(7, 2 * number, SIZE)
    assert codes.dtype == np.uint16 and codes.shape == SIZE
    void = np.isin(scene.semantic, [LABELS[name] for name in ("ego vehicle", "static", "pole")])
    np.testing.assert_array_equal(codes == segments.VOID, void)
    labels = coco_panoptic.decode_label(pair.label)
    crowd = segments.is_crowd(codes)
    np.testing.assert_array_equal(labels == 255, void | crowd)
    for label, name in (("road", "road"), ("car", "car"), ("rider", "person"), ("sky", "sky-other-merged")):
        where = (scene.semantic == LABELS[label]) & ~crowd
        assert (labels[where] == coco_panoptic.CLASSES.names.index(name)).all()
    counted = (scene.instance > 0) & ~crowd
    both = {(int(i), int(c)) for i, c in zip(scene.instance[counted], codes[counted], strict=True)}
    assert len(both) == len({i for i, _ in both}) == len({c for _, c in both})  # one to one
    for name in ("road", "sky-other-merged", "building-other-merged"):
        assert len(np.unique(codes[labels == coco_panoptic.CLASSES.names.index(name)])) <= 1
    with Image.open(pair.image) as stored:
        assert stored.format == "JPEG"
        assert np.abs(np.asarray(stored).astype(int) - scene.image).mean() < 6


def touching(mask: np.ndarray) -> np.ndarray:
    """Pixels that are in a mask (H, W) or next to it, also across corners."""
    wide = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([wide[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def test_crowds_are_people_far_away_who_touch_one_another() -> None:
    """Against a plain loop over all pairs of people."""
    with_crowd = 0
    for index in range(16):
        scene = raw_files.render(7, index, (64, 128))
        folk = np.isin(scene.semantic, [LABELS["person"], LABELS["rider"]])
        small = []
        for number in np.unique(scene.instance[folk]):
            mask = scene.instance == number
            rows = np.nonzero(mask)[0]
            if rows.max() - rows.min() + 1 < 64 / crowds.FAR:
                small.append(mask)
        expected = np.zeros(scene.semantic.shape, bool)
        for n, one in enumerate(small):
            for other in small[n + 1 :]:
                if (touching(one) & other).any():
                    expected |= one | other
        np.testing.assert_array_equal(crowds.crowded(scene), expected)
        with_crowd += bool(expected.any())
    assert 1 <= with_crowd <= 8


def test_areas_and_boxes_are_those_of_the_pngs(rendered: Path) -> None:
    for annotation in json.loads((rendered / "annotations/panoptic_val2017.json").read_text())["annotations"]:
        ids = coco.read_ids(rendered / "annotations" / "panoptic_val2017" / annotation["file_name"])
        assert sum(s["area"] for s in annotation["segments_info"]) == (ids > 0).sum()
        for segment in annotation["segments_info"]:
            left, top, width, height = segment["bbox"]
            inside = ids[top : top + height, left : left + width] == segment["id"]
            assert inside.sum() == segment["area"] == (ids == segment["id"]).sum()
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_scenes_make_way_and_are_never_written_over_real_data(raw: Path) -> None:
    write = partial(raw_coco.write, raw, 7, (16, 32), {"train": 1, "val": 1}, coco_panoptic.TABLE)
    files = write()  # over their like
    assert files == sorted(p.relative_to(raw).as_posix() for p in raw.rglob("*.*") if p.is_file())
    assert len(files) == 8
    raw_coco.remove(raw)
    assert not list(raw.iterdir())
    for name in ("train2017/000000000009.jpg", "annotations/panoptic_val2017.json"):
        path = raw / name
        path.parent.mkdir()
        path.write_text('{"info": {}}')
        with pytest.raises(DejavuError, match="was not rendered"):
            write()
        assert path.read_text() == '{"info": {}}'
        shutil.rmtree(path.parent)


# the real layout


def test_real_samples_are_read_to_the_segment(samples: Path, tmp_path: Path) -> None:
    """Codes against a plain reading of the files with json and Pillow."""
    folder = real_layout(samples, tmp_path / "coco")
    said = {a["file_name"]: a for a in json.loads((samples / "panoptic_gt.json").read_text())["annotations"]}
    total = crowds = 0
    for pair in coco_panoptic.pairs(folder, "val"):
        codes = coco_panoptic.decode_panoptic(pair)
        with Image.open(pair.label) as image:
            red, green, blue = np.moveaxis(np.asarray(image).astype(int), -1, 0)
        ids, seen = red + 256 * green + 65536 * blue, set()
        for segment in said[pair.label.name]["segments_info"]:
            [code] = np.unique(codes[ids == segment["id"]])
            name = next(c.name for c in coco_panoptic.TABLE if c.id == segment["category_id"])
            assert coco_panoptic.CLASSES.names[code >> 8] == name
            assert (code & 255 == segments.CROWD) == segment["iscrowd"]
            assert code not in seen
            seen.add(int(code))
            crowds += segment["iscrowd"]
        np.testing.assert_array_equal(codes == segments.VOID, ids == 0)
        total += len(seen)
    assert (total, crowds) == (56, 3)


def test_a_mirror_is_linked_and_measured_segments_keep_their_size(
    here: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_layout(samples, here / "mirror" / "coco_panoptic")
    download.download_dataset(SCENES, "coco_panoptic", "smoke")
    monkeypatch.setenv("DEJAVU_MIRROR", str(here / "mirror"))
    for _ in range(2):
        download.download_dataset(REAL, "coco_panoptic", "smoke")
    assert all((RAW / name).is_symlink() for name in ("train2017", "val2017", "annotations"))
    prepare.prepare_dataset(REAL, "coco_panoptic", "smoke")
    report = store.read_report(PREPARED, REAL.data_source("", ""))
    assert report["things"].count(True) == 80 and report["targets"] == ["labels", "panoptic"]
    assert report["splits"]["val"]["panoptic"]["segments"] == {"count": 56, "crowds": 3}
    train, val = (store.open_split(PREPARED, split) for split in ("train", "val"))
    assert train.panoptic is not None and val.panoptic is not None
    for number, pair in enumerate(coco_panoptic.pairs(RAW, "val")):
        whole = coco_panoptic.decode_panoptic(pair)
        np.testing.assert_array_equal(val.panoptic[number], whole)
        np.testing.assert_array_equal(val.labels[number], coco_panoptic.decode_label(pair.label))
        height, width = train.images[number].shape[:2]
        resized = Image.fromarray(whole.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(train.panoptic[number], np.asarray(resized))
    assert report["splits"]["train"]["panoptic"]["segments"]["count"] < 56  # small ones are gone
    with pytest.raises(DejavuError, match="was not rendered"):
        download.download_dataset(SCENES, "coco_panoptic", "smoke")


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def official_archives(folder: Path, target: Path, patch: pytest.MonkeyPatch) -> None:
    """The archives of an official layout at `folder`, in `target` as a server has them."""
    for name in ("zips", "annotations"):
        (target / name).mkdir(parents=True)
    images, texts = coco_archives.IMAGES, coco_archives.TEXTS
    for archive in (*images, coco_archives.PANOPTIC, texts):
        files = {}
        if archive is texts:
            kinds = {name: (folder / "annotations" / name).read_bytes() for name in coco_archives.CAPTIONS}
            kinds["instances_val2017.json"] = b"{}"
            files = {f"annotations/{name}": content for name, content in kinds.items()}
        elif archive.folder == "annotations":
            for split in coco_panoptic.SPLITS:
                name = f"panoptic_{split}2017"
                pngs = {f"{name}/{p.name}": p.read_bytes() for p in (folder / "annotations" / name).iterdir()}
                files[f"annotations/{name}.zip"] = packed(pngs | {f"__MACOSX/{name}/._x.png": b"mac"})
                files[f"annotations/{name}.json"] = (folder / "annotations" / f"{name}.json").read_bytes()
            files["__MACOSX/annotations/._x.zip"] = b"mac"
        else:
            files = {
                f"{archive.folder}/{p.name}": p.read_bytes() for p in (folder / archive.folder).iterdir()
            }
        (target / archive.path).write_bytes(packed(files))
        made = archive._replace(sha256=sha256(target / archive.path))
        if archive in images:
            images = tuple(made if one is archive else one for one in images)
            patch.setattr(coco_archives, "IMAGES", images)
        else:
            patch.setattr(coco_archives, "TEXTS" if archive is texts else "PANOPTIC", made)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_the_archives_are_fetched_and_unpacked_with_the_archives_in_them(
    here: Path, rendered: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = here / "official"  # by any name but that of scenes, which make way
    shutil.copytree(rendered, renamed)
    for path in sorted(renamed.rglob("rendered_*")):
        path.rename(path.with_name(path.name.replace("rendered", "real")))
    for path in renamed.rglob("*.json"):
        path.write_text(path.read_text().replace("rendered", "real"))
    official_archives(renamed, here / "served", monkeypatch)
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    part, source = SimpleNamespace(source="coco_panoptic"), SimpleNamespace(url=url)
    for _ in range(2):  # the second time all is there
        files = coco_panoptic.download(here / "raw", part, source)
        assert files == sorted(p.relative_to(renamed).as_posix() for p in renamed.rglob("*.*") if p.is_file())
        for name in files:
            assert (here / "raw" / name).read_bytes() == (renamed / name).read_bytes()
    assert not list((here / "raw").rglob("._*")) and not list((here / "raw").rglob("instances*"))
    assert coco_panoptic.captions(here / "raw", "train") is not None
    for name in ("PANOPTIC", "TEXTS"):
        archive = getattr(coco_archives, name)
        with monkeypatch.context() as patch:
            patch.setattr(coco_archives, name, archive._replace(sha256="0" * 64))
            with pytest.raises(DejavuError, match=rf"{Path(archive.path).stem}\.zip has sha256"):
                coco_panoptic.download(here / f"again {name}", part, source)


def test_annotations_unpacked_by_hand_need_no_captions(here: Path, raw: Path) -> None:
    for path in sorted(raw.rglob("rendered_*")):
        path.rename(path.with_name(path.name.replace("rendered", "real")))
    for path in raw.rglob("*.json"):
        path.write_text(path.read_text().replace("rendered", "real"))
    part, source = SimpleNamespace(source="coco_panoptic"), SimpleNamespace(url="http://127.0.0.1:9/")
    files = coco_panoptic.download(raw, part, source)  # nothing is fetched
    assert {f"annotations/{name}" for name in coco_archives.CAPTIONS} <= set(files)
    for name in coco_archives.CAPTIONS:
        (raw / "annotations" / name).unlink()
    files = coco_panoptic.download(raw, part, source)
    assert not any("captions" in file for file in files) and coco_panoptic.captions(raw, "train") is None


def test_what_is_not_there_is_asked_for_by_the_archives_name(here: Path, rendered: Path) -> None:
    part, source = SimpleNamespace(source="coco_panoptic"), SimpleNamespace(url=None)
    raw = here / "raw"
    shutil.copytree(rendered, raw)
    with pytest.raises(DejavuError, match=r"coco_panoptic\.url is not set: unpack train2017\.zip") as error:
        coco_panoptic.download(raw, part, source)
    assert str(raw) in str(error.value) and not list(raw.iterdir())  # scenes never pass for the real ones
    for name in ("train2017", "val2017", "annotations"):
        (raw / name).mkdir()
        (raw / name / "a.txt").touch()
    with pytest.raises(DejavuError, match=r"train2017\.json is missing: unpack panoptic_annotations"):
        coco_panoptic.download(raw, part, source)


# what is refused


def document(raw: Path) -> Any:
    return json.loads((raw / "annotations" / "panoptic_val2017.json").read_text())


def rewrite(raw: Path, content: Any) -> None:
    (raw / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "gone", ["val2017/rendered_000003.jpg", "annotations/panoptic_val2017/rendered_000003.png"]
)
def test_a_file_that_is_missing_is_named(raw: Path, gone: str) -> None:
    (raw / gone).unlink()
    with pytest.raises(DejavuError, match=rf"{gone} is missing: .*panoptic_val2017\.json lists it"):
        coco_panoptic.pairs(raw, "val")


def test_an_image_without_annotation_is_named(raw: Path) -> None:
    content = document(raw)
    del content["annotations"][1]
    rewrite(raw, content)
    with pytest.raises(DejavuError, match=r"no annotation of its image 3 \(rendered_000003\.jpg\)"):
        coco_panoptic.pairs(raw, "val")
    (raw / "annotations" / "panoptic_val2017.json").write_text('{"annotations": []}')
    with pytest.raises(DejavuError, match=r"panoptic_val2017\.json has no annotations"):
        coco_panoptic.pairs(raw, "val")


def test_pngs_in_folders_of_their_own_and_strangers_are_refused(raw: Path) -> None:
    pair = coco_panoptic.pairs(raw, "val")[0]
    stranger = pair.label.with_name("stranger.png")
    shutil.copy(pair.label, stranger)
    with pytest.raises(DejavuError, match=r"stranger\.png is not in .*panoptic_val2017\.json"):
        coco_panoptic.decode_label(stranger)
    content = document(raw)
    content["annotations"][0]["file_name"] = "sub/a.png"
    rewrite(raw, content)
    with pytest.raises(DejavuError, match="lists 'sub/a.png'"):
        coco_panoptic.pairs(raw, "val")


def test_too_many_segments_of_a_class_are_refused_with_the_file(raw: Path) -> None:
    content = document(raw)
    content["annotations"][0]["segments_info"] = [{"id": n, "category_id": 1} for n in range(1, 257)]
    rewrite(raw, content)
    pair = coco_panoptic.pairs(raw, "val")[0]
    coco.write_ids(pair.label, np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 257)
    with pytest.raises(
        DejavuError, match=rf"{pair.label.name} cannot be read: it has 256 segments of 'person'.*iscrowd 1"
    ):
        coco_panoptic.decode_panoptic(pair)


FAULTS = {
    "another size": r"rendered_000003\.png is 79x48 pixels, and its image",
    "id in the PNG alone": r"rendered_000003\.png has pixels of segment 77,",
    "id in the JSON alone": r"rendered_000003\.png has no pixel of segment 77,",
    "grey": r"rendered_000003\.png is 8-bit grey, and 8-bit RGB is needed",
    "unknown category": "category_id 26, not one of the 133 known",
}


def damage(raw: Path, how: str) -> None:
    png = raw / "annotations" / "panoptic_val2017" / "rendered_000003.png"
    ids, content = coco.read_ids(png), document(raw)
    found = content["annotations"][1]["segments_info"]
    if how == "another size":
        ids = ids[:, :-1]
    elif how == "id in the PNG alone":
        ids[0, 0] = 77
    elif how == "id in the JSON alone":
        found.append(found[0] | {"id": 77})
    elif how == "unknown category":
        found[0]["category_id"] = 26
    coco.write_ids(png, ids)
    if how == "grey":
        Image.fromarray((ids % 256).astype(np.uint8)).save(png)
    rewrite(raw, content)


@pytest.mark.parametrize("how", FAULTS)
def test_prepare_refuses_segments_that_do_not_fit(here: Path, how: str) -> None:
    download.download_dataset(SCENES, "coco_panoptic", "smoke")
    damage(RAW, how)
    with pytest.raises(DejavuError, match=FAULTS[how]) as error:
        prepare.prepare_dataset(SCENES, "coco_panoptic", "smoke")
    assert "\n" not in str(error.value) and not PREPARED.exists()


# the compact form


def test_prepared_arrays_hold_the_files_and_come_out_the_same_again(here: Path) -> None:
    contents = []
    for _ in range(2):
        download.download_dataset(SCENES, "coco_panoptic", "smoke")
        prepare.prepare_dataset(SCENES, "coco_panoptic", "smoke")
        contents.append({p: p.read_bytes() for p in Path("data").rglob("*") if p.is_file()})
    assert contents[0] == contents[1]
    report = store.read_report(PREPARED, SCENES.data_source("", ""))
    for split, count in COUNTS.items():
        opened = store.open_split(PREPARED, split)
        assert isinstance(opened.panoptic, np.ndarray) and opened.panoptic.dtype == np.uint16
        assert opened.panoptic.shape == (count, *SIZE) and opened.depth is None
        for n, pair in enumerate(coco_panoptic.pairs(RAW, split)):
            np.testing.assert_array_equal(opened.panoptic[n], coco_panoptic.decode_panoptic(pair))
            np.testing.assert_array_equal(opened.labels[n], coco_panoptic.decode_label(pair.label))
        said = report["splits"][split]["panoptic"]
        assert said["known_share"] == pytest.approx(np.mean(opened.panoptic != 65535), abs=1e-6)
        listed = json.loads((RAW / "annotations" / f"panoptic_{split}2017.json").read_text())["annotations"]
        all_ = [segment for annotation in listed for segment in annotation["segments_info"]]
        assert said["segments"] == {"count": len(all_), "crowds": sum(s["iscrowd"] for s in all_)}


def test_scenes_of_many_sizes_keep_their_segments_where_they_are_measured(here: Path) -> None:
    download.download_dataset(SMALL, "coco_panoptic", "smoke")
    prepare.prepare_dataset(SMALL, "coco_panoptic", "smoke")
    train, val = (store.open_split(PREPARED, split) for split in ("train", "val"))
    assert train.panoptic is not None and val.panoptic is not None
    assert SMALL.data_source("", "").size == KeepAspect(short=24, long=60)
    for n, pair in enumerate(coco_panoptic.pairs(RAW, "train")):
        assert train.panoptic[n].shape == train.labels[n].shape == train.images[n].shape[:2]
        assert set(np.unique(train.panoptic[n])) <= set(np.unique(coco_panoptic.decode_panoptic(pair)))
    for n, pair in enumerate(coco_panoptic.pairs(RAW, "val")):
        np.testing.assert_array_equal(val.panoptic[n], coco_panoptic.decode_panoptic(pair))


@pytest.mark.parametrize("gone", ["things", "splits.val.panoptic"])
def test_a_report_that_lacks_what_panoptic_maps_need_is_refused(here: Path, gone: str) -> None:
    download.download_dataset(SCENES, "coco_panoptic", "smoke")
    prepare.prepare_dataset(SCENES, "coco_panoptic", "smoke")
    report = section = json.loads((PREPARED / "report.json").read_text())
    *parents, last = gone.split(".")
    for key in parents:
        section = section[key]
    del section[last]
    (PREPARED / "report.json").write_text(json.dumps(report))
    with pytest.raises(DejavuError, match=r"report\.json is not a report"):
        store.read_report(PREPARED)
