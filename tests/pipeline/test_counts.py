"""Ground truth that prepare counts, with every reader: useless is refused, and odd is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, copy_params
from helpers.tiny_datasets import WRITERS, Labels, Tiny
from PIL import Image

from dejavu import datasets
from dejavu.commands import evaluate, main, prepare
from dejavu.config import KeepAspect, loading
from dejavu.config.paths import Paths
from dejavu.config.recipe import DepthScoring
from dejavu.datasets.cityscapes import CLASSES, TRAIN_IDS
from dejavu.datasets.prepared import checks
from dejavu.datasets.prepared.counts import Counts
from dejavu.errors import DejavuError
from dejavu.system.files import write_json

READERS = [name for name in WRITERS if name == "folder" or name in datasets.names()]
WITH_CLASSES = [name for name in READERS if Tiny(name).dataset.classes.names]
SEMANTIC = [name for name in WITH_CLASSES if Tiny(name).dataset.task == "semantic"]
SHAPE = (16, 16)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    return tmp_path


def all_classes(tiny: Tiny, without: tuple[int, ...] = (), ignored: float = 0.0) -> np.ndarray:
    """An image of all classes but some, and of a share of ignored pixels."""
    present = [n for n in range(max(1, len(tiny.dataset.classes))) if n not in without]
    label = np.resize(np.array(present, np.uint8), SHAPE)
    label.ravel()[label.size - round(ignored * label.size) :] = 255
    return label


def constant(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def prepared(tiny: Tiny, labels: Labels) -> list[str]:
    """Write the raw files and prepare them; the report's remarks beside those of the dataset."""
    tiny.write(labels)
    stage: Any = tiny
    prepare.prepare_dataset(stage, tiny.name, "smoke")
    report = json.loads(Path("data/smoke/prepared", tiny.name, "report.json").read_text())
    own = () if tiny.dataset.remarks is None else tiny.dataset.remarks(Path("data/smoke/raw", tiny.name))
    remarks: list[str] = report.get("remarks", [])
    assert remarks[: len(own)] == list(own) and ("remarks" in report) == bool(remarks)
    return remarks[len(own) :]


def refusal(tiny: Tiny, labels: Labels) -> str:
    """The sentence with which prepare refuses them; nothing is written."""
    shutil.rmtree(Path("data/smoke/prepared"), ignore_errors=True)
    with pytest.raises(DejavuError) as error:
        prepared(tiny, labels)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert not Path("data/smoke/prepared", tiny.name).exists()
    return str(error.value)


@pytest.mark.parametrize("name", READERS)
def test_right_data_get_no_remark(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = Tiny(name)
    assert prepared(tiny, {"train": [all_classes(tiny), all_classes(tiny, ignored=0.2)]}) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", READERS)
def test_a_split_without_ground_truth_is_refused(name: str) -> None:
    """Depth alone is refused file by file; elsewhere a file may be all void, and a split may not."""
    tiny = Tiny(name)
    for split in tiny.dataset.splits:
        sentence = refusal(tiny, {"train": [all_classes(tiny)], split: [constant(255)]})
        if tiny.dataset.decode_depth is None:
            kind = "every pixel is void" if "panoptic" in tiny.dataset.targets else "every pixel is ignored"
            assert f"in {split}: {kind}" in sentence
            assert ("folder.ignore" in sentence) == (name == "folder")
        else:
            assert "no depth at all" in sentence


@pytest.mark.parametrize("name", SEMANTIC)
def test_labels_of_one_class_are_refused(name: str) -> None:
    tiny = Tiny(name)
    first = tiny.dataset.classes.names[0]
    for split in tiny.measured:
        sentence = refusal(tiny, {"train": [all_classes(tiny)], split: [constant(0), constant(0)]})
        assert f"only '{first}' of {len(tiny.dataset.classes)} classes has a pixel in {split}:" in sentence
        assert ("datasets.folder.folder.values" in sentence) == (name == "folder")


def test_one_class_of_segments_may_be_meant() -> None:
    """Its objects are told apart."""
    remarks = prepared(Tiny("coco_panoptic"), {"train": [constant(0)]})
    assert len(remarks) == 1 and "132 of 133 classes have no pixel in train and val: 'bicycle'" in remarks[0]


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_a_class_without_a_pixel_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = Tiny(name)
    last = len(tiny.dataset.classes) - 1
    absent = tiny.dataset.classes.names[last]
    full, lacking = all_classes(tiny), all_classes(tiny, without=(last,))
    learnt, measured = tiny.measured
    for at, labels in (
        (learnt, {learnt: [lacking], measured: [full]}),
        (measured, {learnt: [full], measured: [lacking]}),
        (f"{learnt} and {measured}", {learnt: [lacking], measured: [lacking]}),
    ):
        remarks = prepared(tiny, labels)
        assert f"1 of {last + 1} classes has no pixel in {at}: '{absent}'." in remarks[0]
        assert ("datasets.folder.folder.values" in " ".join(remarks)) == (name == "folder")
        # one line at the end of the command
        err = capsys.readouterr().err
        assert err == f"dejavu: {name} at scale smoke: {' '.join(remarks)}\n"


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_a_split_that_is_mostly_ignored_is_named(name: str) -> None:
    tiny = Tiny(name)
    full, empty = all_classes(tiny), constant(255)
    if tiny.dataset.decode_depth is not None:  # which may not be missing from a file
        empty[0, 0] = 0
    for split in tiny.dataset.splits:
        labels = {other: [full] for other in tiny.dataset.splits} | {split: [full, *4 * [empty]]}
        remarks = prepared(tiny, labels)
        shown = [remark for remark in remarks if "of the pixels" in remark]
        assert shown[0].endswith(f" % of the pixels of {split} are ignored.")
        # normals have the same holes; depth may be sparse
        assert len(shown) == 1 + ("normals" in tiny.dataset.targets)


def test_sparse_depth_is_the_rule() -> None:
    assert prepared(Tiny("kitti"), {"train": [fine(0, 255)]}) == []


def test_rendered_scenes_lack_classes_by_design(tmp_path: Path) -> None:
    """But a class that some scenes show, and those that are learnt from do not, is named."""
    counts = {split: counted(labels) for split, labels in {"train": [0, 1, 1], "val": [0, 1, 2]}.items()}
    dataset = Tiny("cityscapes").dataset
    subject = checks.Subject(dataset, "x", "4x4", "size", dataset.classes.names, rendered=True)
    assert checks.check(subject, counts, lambda split: []) == [
        "1 of 19 classes has no pixel in train: 'building'."
    ]


def counted(values: list[int]) -> Any:
    counts = Counts(["labels"])
    counts.add({"labels": np.array([values], np.uint8)})
    return counts


# what resizing loses

SMALL = (4, 4)


def fine(value: int, rest: int) -> np.ndarray:
    """One pixel of a value, which is not at the centre of any of the pixels that remain."""
    label = constant(rest)
    label[0, 0] = value
    return label


@pytest.mark.parametrize("name", READERS)
def test_ground_truth_that_resizing_loses_is_refused_with_the_key_of_the_size(name: str) -> None:
    tiny = Tiny(name, SMALL)
    for split in dict.fromkeys(["train", tiny.dataset.evaluate, tiny.dataset.validate]):
        whole = all_classes(tiny, without=range(9, 200))  # as many as the small size holds
        sentence = refusal(tiny, {other: [whole] for other in tiny.dataset.splits} | {split: [fine(0, 255)]})
        assert "resizing to 4x4 leaves no " in sentence and f" in {split}" in sentence
        assert sentence.endswith(f"raise scales.smoke.data.{name}.size")


@pytest.mark.parametrize("name", SEMANTIC)
def test_classes_that_resizing_loses_are_named(name: str) -> None:
    tiny = Tiny(name, SMALL)
    sentence = refusal(tiny, {"train": [fine(1, 0)]})
    assert sentence.endswith(f"resizing to 4x4 loses the others; raise scales.smoke.data.{name}.size")
    half = constant(0)
    half[8:], half[0, 0] = 1, 2
    remarks = " ".join(prepared(tiny, {"train": [half]}))
    assert f"Resizing to 4x4 loses all pixels of '{tiny.dataset.classes.names[2]}'." in remarks


@pytest.mark.parametrize("name", READERS)
def test_images_that_lose_all_ground_truth_are_counted(name: str) -> None:
    tiny = Tiny(name, SMALL)
    remarks = " ".join(prepared(tiny, {"train": [all_classes(tiny), all_classes(tiny), fine(0, 255)]}))
    for kind in tiny.dataset.targets:
        called = {"labels": "class", "depth": "depth", "normals": "normal", "panoptic": "segment"}[kind]
        if kind != "labels" or tiny.dataset.classes.names:
            assert f"Resizing to 4x4 leaves no {called} in 1 of 3 images of train." in remarks


@pytest.mark.parametrize("name", [name for name in READERS if name != "kitti"])
def test_measured_labels_that_keep_their_size_lose_nothing(name: str) -> None:
    tiny = Tiny(name, KeepAspect(short=4, long=4))
    remarks = prepared(tiny, {"train": [all_classes(tiny)], tiny.dataset.evaluate: [all_classes(tiny)]})
    assert not any(f"of {tiny.dataset.evaluate}" in remark for remark in remarks)


# one task each


def test_segments_that_are_all_crowds_are_refused() -> None:
    tiny = Tiny("coco_panoptic", crowds=True)
    assert "every segment in train is a crowd" in refusal(tiny, {"train": [all_classes(tiny)]})


@pytest.mark.parametrize("name", [n for n in READERS if "normals" in Tiny(n).dataset.targets])
def test_normals_that_are_nowhere_are_refused(name: str) -> None:
    tiny = Tiny(name, no_normals=True)
    sentence = refusal(tiny, {"train": [all_classes(tiny)]})
    assert "there is no normal in train: every pixel is the 0-vector" in sentence


@pytest.mark.parametrize(
    ("caps", "fault"),
    [
        (None, None),
        ({"minimum": 0.5, "maximum": 80.0}, None),
        ({"maximum": 1.5}, "true depth in test is from 2 to 2 m, and .* below 1.5 m"),
        ({"minimum": 3.0}, "true depth in test is from 2 to 2 m, and .* above 3 m"),
    ],
)
def test_depth_outside_of_what_is_scored_is_refused_before_training(caps: Any, fault: str | None) -> None:
    tiny = Tiny("kitti")
    prepared(tiny, {"train": [all_classes(tiny)]})
    report = json.loads(Path("data/smoke/prepared/kitti/report.json").read_text())
    scoring = None if caps is None else DepthScoring(**caps)
    if fault is None:
        checks.check_depth(report, scoring)
    else:
        with pytest.raises(DejavuError, match=fault):
            checks.check_depth(report, scoring)


# labels that mean something else


def test_a_mask_of_0_and_255_is_refused_with_the_keys_that_read_it() -> None:
    mask = constant(0)
    mask[4:9, 4:9] = 255
    two = {"classes": ["background", "object"]}
    sentence = refusal(Tiny("folder", settings=two), {"train": [mask]})
    for words in (
        "only 'background' of 2 classes", "10 % of the pixels are ignored", "hold 0 and 255 alone",
        "datasets.folder.folder.values: [0, 255]", "datasets.folder.folder.ignore: []",
    ):  # fmt: skip
        assert words in sentence
    # the advice helps
    assert (
        prepared(Tiny("folder", settings=two | {"values": [0, 255], "ignore": []}), {"train": [mask]}) == []
    )
    # where 255 is void, it is one class all the same
    three = {"classes": ["background", "object", "other"]}
    assert "folder.values" in refusal(Tiny("folder", settings=three), {"train": [mask]})


def test_train_ids_that_are_stored_as_label_ids_are_refused() -> None:
    """What Cityscapes calls labelTrainIds: 0 to 18. With their 255 they are refused file by file."""
    numbers = np.resize(np.arange(19, dtype=np.uint8), SHAPE)
    tiny = Tiny("cityscapes")
    tiny.write({"train": [all_classes(tiny)]})
    for path in Path("data/smoke/raw/cityscapes/gtFine").rglob("*.png"):
        Image.fromarray(numbers).save(path)
    stage: Any = tiny
    with pytest.raises(DejavuError, match="hold 0 to 18 alone, as trainIds do: labelIds are needed"):
        prepare.prepare_dataset(stage, "cityscapes", "smoke")
    Image.fromarray(np.where(numbers > 9, 255, numbers)).save(path)
    with pytest.raises(DejavuError, match="label value 255.*labelIds are needed.* and no trainIds"):
        prepare.prepare_dataset(stage, "cityscapes", "smoke")


def test_train_ids_in_a_folder_that_is_read_as_label_ids_are_refused() -> None:
    label_ids = [value for value, train_id in TRAIN_IDS.items() if train_id != 255]
    others = [value for value, train_id in TRAIN_IDS.items() if train_id == 255]
    settings = {"classes": list(CLASSES.names), "values": label_ids, "ignore": [*others, 255]}
    numbers = np.resize(np.arange(19, dtype=np.uint8), SHAPE)
    sentence = refusal(Tiny("folder", settings=settings), {"train": [numbers]})
    assert "leave datasets.folder.folder.values out" in sentence
    right = np.resize(np.array(label_ids, np.uint8), SHAPE)
    assert prepared(Tiny("folder", settings=settings), {"train": [right]}) == []
    # a few classes of a long list may be meant
    few = np.resize(np.array([0, 7, 8], np.uint8), SHAPE)
    assert (
        "17 of 19 classes have no pixel" in prepared(Tiny("folder", settings=settings), {"train": [few]})[0]
    )


# the way to the reader of a table


def test_remarks_are_in_the_table(here: Path) -> None:
    """A remark of the report goes to metrics, and from there below the table."""
    remark = "1 of 11 classes has no pixel in train: 'pole'."
    params, open_ = loading.load(copy_params(here)), Paths("open", ROOT)
    report = {"evaluate": "test", "splits": {"test": {"count": 233}}, "remarks": [remark]}
    for row in params.tables["pair"].experiments:
        run = params.run(row, "open")
        for seed in run.seeds:
            content = json.loads(open_.metrics(row, seed).read_text())
            assert "remarks" not in content
            write_json(Paths("open").metrics(row, seed), content | evaluate._about(run, report))
    assert main(["tables", "pair", "--scale", "open"]) == 0
    assert f"\n- {remark}\n" in Paths("open").table("pair", "md").read_text()
