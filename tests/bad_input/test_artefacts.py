"""What the pipeline itself left, spoilt: weights, checkpoints, arrays, reports, metrics, logs."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dejavu.commands import main

from . import samples
from .checks import Refused
from .images import PLACES, no_plain_file

WEIGHTS = Path("checkpoints/smoke/hrnet18/seed0.safetensors")
PREPARED = Path("data/smoke/prepared/cityscapes")
CHECKPOINT = Path("runs/smoke/hrnet18/seed0/checkpoint.pt")


class Evil:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hacked",)


@pytest.fixture(autouse=True)
def nothing_ran() -> Any:
    yield
    assert not Path("hacked").exists()


def pickled(path: Path) -> None:
    torch.save(Evil(), path)


def pickled_among_tensors(path: Path) -> None:
    torch.save({"layer": torch.zeros(2), "state_dict": {"a": Evil()}}, path)


def pickled_the_old_way(path: Path) -> None:
    torch.save(Evil(), path, _use_new_zipfile_serialization=False)


def text(path: Path) -> None:
    path.write_text("<!doctype html>")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def header(content: str, length: int | None = None) -> Callable[[Path], None]:
    """A safetensors file with this header, which says that it is so long."""
    raw = content.encode()
    return lambda path: (
        path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw) and None
    )


def tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """The weights with something changed."""

    def spoil(path: Path) -> None:
        weights = load_file(path)
        change(weights)
        save_file(weights, path)

    return spoil


def first(weights: dict[str, Any]) -> str:
    return next(name for name, values in weights.items() if values.dim() == 4)


SPOILT: dict[str, Callable[[Path], None]] = {
    "no bytes": nothing,
    "half": half,
    "text": text,
    "a pickle": pickled,
    "an old pickle": pickled_the_old_way,
    "a header beyond its end": header("{}", 2**60),
    "a header that is no JSON": header("{" * 40),
    "a deep header": header("[" * 50_000),
    "a tensor beyond its end": header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'),
    "an unknown type": header('{"a": {"dtype": "X9", "shape": [], "data_offsets": [0, 0]}}'),
    "no tensors": header("{}"),
    "a tensor less": tensors(lambda weights: weights.pop(first(weights))),
    "a tensor more": tensors(lambda weights: weights.update(more=torch.zeros(1))),
    "another shape": tensors(lambda weights: weights.update({first(weights): torch.zeros(3, 1)})),
    "another network": lambda path: save_file({"conv.weight": torch.zeros(8, 3, 3, 3)}, path),
}


@pytest.mark.parametrize("how", [*SPOILT, *PLACES])
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_weights_that_are_not_the_networks(done: Path, command: str, how: str, refused: Refused) -> None:
    shutil.rmtree("runs")  # as if the weights had come from another machine
    SPOILT[how](WEIGHTS) if how in SPOILT else no_plain_file(WEIGHTS, how)
    leaves = "predictions/*" if command == "predict" else ""  # the truth is written first
    refused(command, "hrnet18", named=(str(WEIGHTS),), leaves=leaves)


@pytest.mark.parametrize("how", ["half", "a tensor more", "another network"])
def test_weights_that_are_not_what_the_training_made(done: Path, how: str, refused: Refused) -> None:
    SPOILT[how](WEIGHTS)
    refused("evaluate", "hrnet18", named=(str(WEIGHTS), "dejavu train hrnet18 --scale smoke"))


def test_weights_without_numbers(done: Path, refused: Refused) -> None:
    shutil.rmtree("runs")
    tensors(lambda weights: weights[first(weights)].fill_(torch.nan))(WEIGHTS)
    refused("evaluate", "hrnet18", named=(str(WEIGHTS), "no number"))


TYPES = {
    "whole numbers": torch.int64,
    "yes and no": torch.bool,
    "half precision": torch.float16,
    "double precision": torch.float64,
    "8-bit numbers": torch.float8_e4m3fn,
    "8-bit exponents": torch.float8_e8m0fnu,
    "complex numbers": torch.complex64,
}


@pytest.mark.parametrize("how", TYPES)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_weights_of_another_type(done: Path, command: str, how: str, refused: Refused) -> None:
    shutil.rmtree("runs")
    name = first(load_file(WEIGHTS))
    tensors(lambda weights: weights.update({name: weights[name].to(TYPES[how])}))(WEIGHTS)
    kind = str(TYPES[how]).removeprefix("torch.")
    leaves = "predictions/*" if command == "predict" else ""
    refused(command, "hrnet18", named=(str(WEIGHTS), name, kind, "float32"), leaves=leaves)


def all_of(weights: dict[str, Any], end: str, value: float) -> None:
    for name, values in weights.items():
        if name.endswith(end) and values.is_floating_point():
            values.fill_(value)


ABSURD: dict[str, Callable[[Path], None]] = {
    "variances below 0": tensors(lambda weights: all_of(weights, "running_var", -1.0)),
    "weights that overflow": tensors(lambda weights: all_of(weights, "", 1e38)),
}


@pytest.mark.parametrize("how", ABSURD)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_weights_whose_prediction_is_no_number(done: Path, command: str, how: str, refused: Refused) -> None:
    shutil.rmtree("runs")
    ABSURD[how](WEIGHTS)
    leaves = "predictions/*" if command == "predict" else ""
    refused(command, "hrnet18", named=(str(WEIGHTS), "semantic", "not finite"), leaves=leaves)


def half_of(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path)
    half(path)


UNFINISHED: dict[str, Callable[[Path], None]] = {
    "no bytes": nothing,
    "text": text,
    "a pickle": pickled,
    "an old pickle": pickled_the_old_way,
    "a pickle among tensors": pickled_among_tensors,
    "a list": lambda path: torch.save([1, 2], path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "nothing in it": lambda path: torch.save({}, path),
    "an empty archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "half": lambda path: half_of({"model": torch.zeros(5000)}, path),
}


@pytest.mark.parametrize("how", [*UNFINISHED, "a folder"])
def test_a_checkpoint_that_is_none(done: Path, how: str, refused: Refused) -> None:
    CHECKPOINT.with_name("train.json").unlink()
    CHECKPOINT.write_bytes(b"")
    UNFINISHED[how](CHECKPOINT) if how in UNFINISHED else no_plain_file(CHECKPOINT, how)
    refused("train", "hrnet18", named=(str(CHECKPOINT),))


PRETRAINED: dict[str, Callable[[Path], None]] = {
    **{
        how: UNFINISHED[how]
        for how in ("no bytes", "text", "a pickle", "an old pickle", "a pickle among tensors")
    },
    "a list": UNFINISHED["a list"],
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("how", PRETRAINED)
def test_pretrained_weights_that_are_none(done: Path, how: str, refused: Refused) -> None:
    changed = samples.params()
    changed["scales"]["smoke"] |= {"width": 1.0, "depth": 1.0, "frozen_width": 1.0, "pretrained": True}
    changed["networks"]["hrnet18"]["pretrained"] = "given.pth"
    samples.write(done, changed)
    Path("given.pth").write_bytes(b"")
    PRETRAINED[how](Path("given.pth"))
    refused("train", "hrnet18", named=("given.pth",))


def array(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    return lambda path: np.save(path, change(np.load(path)), allow_pickle=True)


ARRAYS: dict[str, Callable[[Path], None]] = {
    "no bytes": nothing,
    "half": half,
    "text": text,
    "a pickle": lambda path: np.save(path, np.array([Evil()], object), allow_pickle=True),
    "an item less": array(lambda values: values[:-1]),
    "another type": array(lambda values: values.astype(np.int64)),
    "another shape": array(lambda values: values[:, ::2]),
    "missing": lambda path: path.unlink(),
    "an archive": lambda path: zipfile.ZipFile(path, "w").close(),
    "a header that lies": lambda path: path.write_bytes(path.read_bytes().replace(b"(2, ", b"(9, ")) and None,
}


@pytest.mark.parametrize("how", ARRAYS)
@pytest.mark.parametrize("kind", ["images", "labels"])
def test_an_array_that_is_not_the_reports(done: Path, kind: str, how: str, refused: Refused) -> None:
    path = PREPARED / f"val_{kind}.npy"
    ARRAYS[how](path)
    refused("predict", "hrnet18", named=(str(path), "dejavu prepare cityscapes --scale smoke"))


def test_names_that_are_no_text(done: Path, refused: Refused) -> None:
    (PREPARED / "val.txt").write_bytes(b"\xff\xfe\x00name")
    refused("predict", "hrnet18", named=(str(PREPARED / "val.txt"), "dejavu prepare cityscapes"))


def change(key: str, value: Any) -> Callable[[Any], Any]:
    def changed(content: Any) -> Any:
        *parents, last = key.split(".")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner.pop(last) if value is None else inner.update({last: value})
        return content

    return changed


REPORTS: dict[str, Callable[[Any], Any]] = {
    "a list": lambda _: [],
    "null": lambda _: None,
    "no keys": lambda _: {},
    "no splits": change("splits", None),
    "splits that are a list": change("splits", []),
    "a split that is a number": change("splits.val", 3),
    "no shape": change("splits.val.images.shape", None),
    "classes that are a number": change("classes", 19),
    "a size of three": change("size", [1, 2, 3]),
    "another size": change("size", [64, 64]),
    "another source": change("source", "camvid"),
    "a count that is text": change("splits.val.count", "2"),
}


@pytest.mark.parametrize("how", REPORTS)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_report_that_is_none(done: Path, command: str, how: str, refused: Refused) -> None:
    path = PREPARED / "report.json"
    path.write_text(json.dumps(REPORTS[how](json.loads(path.read_text()))))
    refused(command, "hrnet18", named=(str(path), "dejavu prepare cityscapes --scale smoke"))


@pytest.mark.parametrize("how", ["missing", "a name less"])
def test_names_that_are_not_the_reports(done: Path, how: str, refused: Refused) -> None:
    path = PREPARED / "val.txt"
    path.write_bytes(path.read_bytes().split(b"\n")[0]) if how != "missing" else path.unlink()
    refused("predict", "hrnet18", named=(str(path),))


@pytest.mark.parametrize("value", [19, 200, 254])
def test_prepared_labels_of_no_class(done: Path, value: int, refused: Refused) -> None:
    shutil.rmtree("runs")
    path = PREPARED / "val_labels.npy"
    labels = np.load(path)
    labels[0, 0, 0] = value
    np.save(path, labels)
    refused("evaluate", "hrnet18", named=(f"value {value}", "image '"))


METRICS = Path("results/smoke/metrics/hrnet18/seed0.json")
MEASURED: dict[str, Callable[[Any], Any]] = {
    "a list": lambda _: [],
    "null": lambda _: None,
    "no keys": lambda _: {},
    "no metrics": change("metrics", None),
    "metrics that are a list": change("metrics", []),
    "no mIoU": change("metrics.miou", None),
    "an mIoU that is text": change("metrics.miou", "32"),
    "an mIoU that is a list": change("metrics.miou", [32.0]),
    "another seed": change("seed", 5),
    "another experiment": change("experiment", "hrnet18_dejavu"),
    "another configuration": change("config.train.epochs", 7),
    "no configuration": change("config", None),
    "no cost": change("cost", None),
    "a cost that is text": change("cost", "cheap"),
}


@pytest.mark.parametrize("how", [*MEASURED, "no bytes", "half", "NaN", "deep"])
def test_metrics_that_are_none(done: Path, how: str, refused: Refused) -> None:
    content = METRICS.read_text()
    texts = {"no bytes": "", "half": content[: len(content) // 2], "NaN": "NaN", "deep": "[" * 100_000}
    changed = json.dumps(MEASURED[how](json.loads(content))) if how in MEASURED else texts[how]
    METRICS.write_text(changed)
    refused("tables", "pair", named=(str(METRICS),))


@pytest.mark.parametrize("how", ["missing", "no bytes", "text", "binary"])
def test_a_log_that_is_none(done: Path, how: str, refused: Refused) -> None:
    path = Path("results/smoke/logs/hrnet18/seed0.csv")
    content = {"no bytes": b"", "text": b"<!doctype html>\n", "binary": bytes(range(256))}
    path.write_bytes(content[how]) if how in content else path.unlink()
    refused("figures", "pair", named=(str(path),))


def test_what_was_spoilt_above_was_right_before(done: Path) -> None:
    assert main(["tables", "pair"]) == 0
    assert main(["evaluate", "hrnet18"]) == 0
