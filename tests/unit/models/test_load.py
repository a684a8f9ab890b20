"""Weights from a file: of which types they must be, and what the network that has them may predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from safetensors.torch import save_file
from torch import nn

from dejavu.config import Run, loading
from dejavu.errors import DejavuError
from dejavu.evaluation.predictor import Predictor
from dejavu.models.build import build_method, build_network
from dejavu.models.load import load_method, load_network
from dejavu.tasks import channels
from dejavu.tasks.predictions import read_all, tensors

PARAMS = loading.load(ROOT / "params.yaml")
CLASSES = ["road", "car", "tree"]
THINGS = [False, True, False]
ROWS = ("hrnet18", "mask2former_swinl", "depth", "normals", "mtan", "mask2former_swint_coco")
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def made(name: str, weights: Path) -> tuple[Run, nn.Module]:
    """A row's network at the scale smoke, whose weights become the file."""
    run = PARAMS.run(name, "smoke")
    torch.manual_seed(0)
    network = build_network(run, channels(run.task, len(CLASSES)), pretrained=False, classes=CLASSES)
    save_file(network.state_dict(), weights)
    return run, network.eval()


def loaded(run: Run, weights: Path) -> nn.Module:
    return load_network(run, channels(run.task, len(CLASSES)), weights, CLASSES)


def everything(run: Run, network: nn.Module) -> list[np.ndarray]:
    """What a network says of the image, of each task in turn."""
    (found,) = Predictor(network, run.task, things=THINGS).predict(IMAGE)
    return list(found.values()) if isinstance(found, dict) else [found]


def spoilt(network: nn.Module, run: Run, place: int, value: float) -> None:
    """From now on one number of one tensor that the network returns is `value`."""

    def spoil(network: nn.Module, images: object, prediction: object) -> None:
        values = tensors(read_all(run.tasks, prediction))[place]
        values[(-1,) * values.ndim] = value

    network.register_forward_hook(spoil, prepend=True)


@pytest.mark.parametrize("name", ROWS)
def test_what_is_finite_is_predicted_as_ever(name: str, weights: Path) -> None:
    run, network = made(name, weights)
    for ours, plain in zip(everything(run, loaded(run, weights)), everything(run, network), strict=True):
        np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ROWS)
def test_one_number_that_is_none_is_refused(name: str, value: float, weights: Path) -> None:
    run, network = made(name, weights)
    count = len(tensors(read_all(run.tasks, network(torch.zeros(1, 3, 64, 96)))))
    for place in range(count):
        network = loaded(run, weights)
        spoilt(network, run, place, value)
        task = run.tasks[place] if len(run.tasks) > 1 else run.tasks[0]
        with pytest.raises(DejavuError, match=rf"weights\.safetensors .* {task} prediction is not finite"):
            everything(run, network)


def test_large_numbers_whose_sum_overflows_are_finite(weights: Path) -> None:
    run, _ = made("hrnet18", weights)
    network = loaded(run, weights)
    network.register_forward_hook(lambda *args: torch.full_like(args[2], 3e38), prepend=True)
    assert not everything(run, network)[0].any()


def test_a_regenerated_image_is_refused_where_its_prediction_is(weights: Path, tmp_path: Path) -> None:
    """Figures ask the network inside its DejaVu wrapper."""
    run, base = PARAMS.run("hrnet18_dejavu", "smoke"), made("hrnet18", weights)[1]
    regenerator = tmp_path / "regenerator.safetensors"
    save_file(build_method(run, base, CLASSES).training_only.state_dict(), regenerator)
    method = load_method(run, CLASSES, weights, regenerator)
    images = torch.zeros(1, 3, 64, 96)
    assert method(images).shape[1] == len(CLASSES)
    torch.nn.init.constant_(next(method.network.parameters()), torch.nan)
    with pytest.raises(DejavuError, match=r"weights\.safetensors .* semantic prediction is not finite"):
        method(images)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64])
def test_tensors_of_another_type_are_named(kind: torch.dtype, weights: Path) -> None:
    run, network = made("hrnet18", weights)
    state = network.state_dict()
    name = [name for name, values in state.items() if values.is_floating_point()][-1]
    save_file(state | {name: state[name].to(kind)}, weights)
    given = str(kind).removeprefix("torch.")
    with pytest.raises(
        DejavuError, match=rf"'{name}' as {given}, and float32 is needed: .*dejavu train hrnet18"
    ):
        loaded(run, weights)


def test_counts_are_of_their_own_type(weights: Path) -> None:
    """A whole number that is one, as batch norm's, must stay one."""
    run, network = made("hrnet18", weights)
    state = network.state_dict()
    name = next(name for name in state if name.endswith("num_batches_tracked"))
    save_file(state | {name: state[name].float()}, weights)
    with pytest.raises(DejavuError, match=rf"'{name}' as float32, and int64 is needed"):
        loaded(run, weights)
