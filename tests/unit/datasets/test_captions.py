"""Captions from COCO's format to the prepared files, of rendered scenes as of real images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dejavu.datasets import coco_panoptic
from dejavu.datasets.formats.coco_captions import read_captions
from dejavu.datasets.prepared.captions import has_captions, open_captions, write_captions
from dejavu.datasets.scenes import captions, raw_coco, raw_files
from dejavu.errors import DejavuError

SIZE, COUNTS = (48, 96), {"train": 3, "val": 2}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    raw_coco.write(folder, 7, SIZE, COUNTS, coco_panoptic.TABLE)
    return folder


def write(path: Path, *items: tuple[object, object]) -> Path:
    annotations = [{"id": n, "image_id": image, "caption": text} for n, (image, text) in enumerate(items)]
    path.write_text(json.dumps({"annotations": annotations}))
    return path


def test_blanks_are_taken_out_and_empty_captions_dropped(tmp_path: Path) -> None:
    path = write(
        tmp_path / "captions.json", (7, " A dog\n"), (9, "A\ncat. "), (7, " \t\n"), (7, "Two dogs."), (9, "")
    )
    assert read_captions(path, [9, 7], "list.json") == {9: ("A cat.",), 7: ("A dog", "Two dogs.")}


def test_captions_are_paired_by_the_images_id_and_stored_in_the_order_of_the_images(
    rendered: Path, tmp_path: Path
) -> None:
    pairs = {split: coco_panoptic.pairs(rendered, split) for split in COUNTS}
    pairs["train"] = pairs["train"][::-1][:2]
    splits = write_captions(coco_panoptic.DATASET, rendered, pairs, tmp_path)
    assert splits["train"]["captions"]["count"] == 10
    texts = open_captions(tmp_path, {"splits": splits})
    assert texts is not None and len(texts) == 2
    for pair, its in zip(pairs["train"], texts, strict=True):
        scene = raw_files.render(7, int(pair.name.split("_")[1]), SIZE)
        assert its == [" ".join(text.split()) for text in captions.described(scene.caption)]
        assert len(set(its)) == 5


def test_scenes_have_captions_that_make_way(rendered: Path, tmp_path: Path) -> None:
    texts = [json.loads(path.read_text()) for path in sorted(rendered.glob("annotations/captions_*.json"))]
    assert [len(text["annotations"]) for text in texts] == [5 * count for count in COUNTS.values()]
    assert any(item["caption"] != item["caption"].strip() for item in texts[0]["annotations"])
    raw_coco.write(tmp_path, 7, SIZE, COUNTS, coco_panoptic.TABLE)
    for path in sorted(tmp_path.glob("annotations/captions_*.json")):
        assert path.read_bytes() == (rendered / path.relative_to(tmp_path)).read_bytes()
    raw_coco.remove(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_dataset_without_captions_has_none(tmp_path: Path) -> None:
    from dejavu.datasets import cityscapes

    assert write_captions(cityscapes.DATASET, tmp_path, {"train": []}, tmp_path) == {}
    assert open_captions(tmp_path, {"splits": {"train": {}}}) is None
    assert not has_captions({"splits": {"train": {}}})


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data/smoke/prepared/coco_panoptic").mkdir(parents=True)
    prepared = tmp_path / "data/smoke/prepared/coco_panoptic"
    report = {"splits": {"train": {"captions": {"count": 1, "sha256": "0" * 64}}}}
    with pytest.raises(
        DejavuError, match="train_captions.json is missing: run `dejavu prepare coco_panoptic"
    ):
        open_captions(prepared, report)
    (prepared / "train_captions.json").write_text('[["a"]]')
    with pytest.raises(DejavuError, match="train_captions.json is not what report.json says"):
        open_captions(prepared, report)
