"""Every network of every table learns one image by heart, with the pipeline's own loss, optimizer and fusion.

A fault in a loss, a matching, a fusion or the way back of a gradient shows here, and cannot be taken for a
training that was too short.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, copy_params
from helpers.engines import read_params, write_params

from dejavu.commands import main
from dejavu.config import Params, Run, loading
from dejavu.config.paths import Paths
from dejavu.datasets.prepared.store import UNKNOWN, Split, open_split, read_report
from dejavu.metrics import main_metric
from dejavu.tasks import describe
from dejavu.training.checkpoint import RunFolder
from dejavu.training.data import Data
from dejavu.training.loop import train
from dejavu.training.objective import build_objective
from dejavu.training.validation import validate

pytestmark = pytest.mark.slow

SIDE = 64
"""of the image, pixels"""
SMALLEST = {"labels": 256, "panoptic": 100}
"""pixels of a class or segment that is learnt; for smaller ones maps at stride 16 (SETR) have no room"""
STEPS, VALIDATE_EVERY = 400, 20
ENOUGH = 80.0
"""percent of mIoU or PQ"""
ERROR = 0.25
"""of depth and normals, as a share of what the untrained network has"""
AGAINST = ("dropout", "drop_path")
"""options of networks that are there to prevent what is tested here"""
OPTIONS = {"hms": {"scales": "0.5+1"}}
"""of networks: without augmentation nothing is learnt of the image at twice its size"""
RATES = {"maskformer_swinl": 0.5}
"""factors of the learning rate; with smoke's own PQ is 69 % at the last step, and rises as the rate falls"""
ENLARGED = {"hms_hrnet48": 2, "fpn_lite0": 2, "maxdeeplab_s": 2, "maxdeeplab_l": 2}
"""By so much is the image of networks whose batch norms have too few values for statistics that serve in
evaluation (1 x 1 or 2 x 2 cells of two equal images), and of MaX-DeepLab, which learns from the labels of
every fourth pixel: the smallest segments have six of them."""

PARAMS = loading.load(ROOT / "params.yaml")


def rows() -> list[str]:
    """A row without DejaVu for each network and its tasks; networks that differ in numbers only are one."""
    chosen: dict[tuple[object, ...], str] = {}
    for name in [name for table in PARAMS.tables.values() for name in table.experiments]:
        row = PARAMS.experiments[name]
        network = PARAMS.networks[row.network]
        kind = {key: value for key, value in network.options.items() if isinstance(value, bool | str)}
        kind.pop("pretrained", None)
        if row.dejavu is None:
            chosen.setdefault((network.module, *sorted(kind.items()), row.tasks), name)
    return list(chosen.values())


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Params]:
    """Parameters whose scale smoke has square images, in a folder of their own, which is the current one."""
    folder = tmp_path_factory.mktemp("overfit")
    copy_params(folder)
    content = read_params(folder)
    for data in content["scales"]["smoke"]["data"].values():
        data |= {"size": [SIDE, SIDE], "train": 4, "val": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_params(folder, content)
        yield loading.load(folder / "params.yaml")


def overfitting(params: Params, name: str) -> Run:
    """The run of a row at smoke scale, without augmentation."""
    run, epochs = params.run(name, "smoke"), STEPS // VALIDATE_EVERY
    side = SIDE * ENLARGED.get(run.network.name, 1)
    changes = {"epochs": epochs, "iterations": None, "evaluations": epochs, "batch_size": 2}
    changes |= {"crop": (side, side), "scale_range": (1.0, 1.0), "scale_choices": None, "flip": False}
    changes |= {"photometric": None, "class_uniform": 0.0, "cat_max_ratio": 1.0}
    optimizer = run.train.optimizer
    rate = optimizer.lr * RATES.get(run.network.name, 1.0)
    changes |= {"optimizer": optimizer.model_copy(update={"lr": rate})}
    network, recipe = run.network, run.train.model_copy(update=changes)
    known = signature(import_module(f"dejavu.networks.{network.module}").build).parameters
    options = network.options | {key: 0.0 for key in AGAINST if key in known}
    options |= OPTIONS.get(network.module, {})
    return run.model_copy(
        update={"train": recipe, "network": network.model_copy(update={"options": options})}
    )


def one_image(run: Run) -> Data:
    """The first rendered image of a row's dataset, as often as an epoch has images."""
    prepared = Paths("smoke").prepared(run.dataset)
    if not prepared.exists():
        for command in ("download", "prepare"):
            assert main([command, run.dataset, "--scale", "smoke"]) == 0
    report, split = read_report(prepared), open_split(prepared, "train")
    arrays = {}
    for kind, array in split._asdict().items():
        if isinstance(array, np.ndarray):
            arrays[kind] = np.array(array[:1])
            if kind in SMALLEST:
                values, counts = np.unique(arrays[kind], return_counts=True)
                arrays[kind][np.isin(arrays[kind], values[counts < SMALLEST[kind]])] = UNKNOWN[kind]
            larger = ENLARGED.get(run.network.name, 1)
            arrays[kind] = arrays[kind].repeat(larger, 1).repeat(larger, 2)
    names = ["image"] * 2 * VALIDATE_EVERY
    train_ = Split(names=names, **{kind: array.repeat(len(names), 0) for kind, array in arrays.items()})
    return Data(
        tasks=run.tasks,
        train=train_,
        val=Split(names=names[:1], **arrays),
        classes=report["classes"],
        ignore_index=report["ignore_index"],
        categories=report.get("categories"),
        things=report.get("things", ()),
    )


class Learnt(Exception):
    """The image is known by heart."""


@pytest.mark.parametrize("name", rows())
def test_it_learns_an_image_by_heart(name: str, params: Params, tmp_path: Path) -> None:
    run = overfitting(params, name)
    data = one_image(run)
    metrics = {main_metric(task): describe(task).metrics[main_metric(task)] for task in run.tasks}
    untrained = validate(build_objective(run, 0, data).network, data, run.train.align_corners)

    def watch(line: dict[str, float | int | None]) -> None:
        """Stop as soon as every task is learnt."""
        values = {key: float(line[f"val_{key}"] or 0.0) for key in metrics}
        print(name, line["step"], values)  # which pytest shows where it fails
        larger = {key: metric[2] for key, metric in metrics.items()}
        if all(
            value >= ENOUGH if larger[key] else value <= ERROR * untrained[key]
            for key, value in values.items()
        ):
            raise Learnt

    with pytest.raises(Learnt):
        train(run, 0, data, RunFolder(tmp_path, "", ""), watch=watch)
