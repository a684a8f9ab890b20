"""What seeds the redactions is saved, and a picture changes nothing."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from dejavu import DejaVu, redaction
from dejavu.method import regeneration

K = 5


def build(**options: object) -> DejaVu:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, K, 3, 2, 1))
    return DejaVu(network, num_classes=K, seed=3, **options)


class Run:
    """A training without a generator: its masks depend on the number of calls."""

    def __init__(self) -> None:
        self.model = build()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.01)

    def steps(self, first: int, last: int) -> list[float]:
        losses = []
        for step in range(first, last):
            images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(step))
            loss = self.model.regeneration_loss(images, self.model(images))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses


def by_torch(state: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    torch.save(state, folder / "state.pt")
    return torch.load(folder / "state.pt", weights_only=True)


def by_safetensors(state: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    save_file(state, folder / "state.safetensors")
    return load_file(folder / "state.safetensors")


@pytest.mark.parametrize("through", [by_torch, by_safetensors])
def test_a_resumed_training_is_that_which_was_not_interrupted(through, tmp_path: Path) -> None:
    whole = Run()
    expected = whole.steps(0, 6)
    begun, resumed = Run(), Run()
    losses = begun.steps(0, 3)
    resumed.model.load_state_dict(through(begun.model.state_dict(), tmp_path), strict=True)
    resumed.optimizer.load_state_dict(begun.optimizer.state_dict())
    assert losses + resumed.steps(3, 6) == expected
    assert resumed.model.state_dict().keys() == whole.model.state_dict().keys()
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


def test_a_state_without_the_number_of_calls_loads_with_a_sentence() -> None:
    begun, resumed = Run(), Run()
    begun.steps(0, 3)
    old = {key: value for key, value in begun.model.state_dict().items() if "extra_state" not in key}
    with pytest.warns(UserWarning, match="number of calls that seeds the redactions.*call 1 are drawn next"):
        resumed.model.load_state_dict(old)
    assert torch.equal(resumed.model.regenerator.layers[0].weight, begun.model.regenerator.layers[0].weight)
    with pytest.warns(UserWarning, match=r"module\.draws\._extra_state"):  # of a wrapper of DDP's kind
        nn.ModuleDict({"module": resumed.model}).load_state_dict({f"module.{k}": v for k, v in old.items()})
    plain = {key: value for key, value in old.items() if key.startswith("network.")}
    missing = resumed.model.load_state_dict(plain, strict=False).missing_keys  # the network alone: no warning
    assert "draws._extra_state" in missing and "regenerator.layers.0.weight" in missing
    with pytest.raises(RuntimeError, match=r"Missing key.*draws\._extra_state"):
        resumed.model.load_state_dict(plain)


def test_other_loaders_keep_the_number_of_calls(tmp_path: Path) -> None:
    begun, resumed = Run(), Run()
    begun.steps(0, 3)
    save_model(begun.model, str(tmp_path / "model.safetensors"))
    load_model(resumed.model, str(tmp_path / "model.safetensors"))
    assert resumed.model.draws.calls == 3


def test_copies_count_for_themselves() -> None:
    """EMA's copy continues from the number of its original, and neither changes the other's."""
    run = Run()
    run.steps(0, 2)
    average = torch.optim.swa_utils.AveragedModel(run.model, use_buffers=True)
    run.steps(2, 3)
    average.update_parameters(run.model)
    assert (copy.deepcopy(run.model).draws.calls, average.module.draws.calls) == (3, 2)
    assert average.state_dict()["module.draws._extra_state"] == 2


def test_a_generator_of_ones_own_is_no_call() -> None:
    model, images = build(), torch.randn(2, 3, 32, 32)
    model.regeneration_loss(images, model(images), torch.Generator().manual_seed(0))
    assert model.state_dict()["draws._extra_state"] == 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of the compiler
@pytest.mark.parametrize("whole", [True, False], ids=["model", "network"])
def test_compiled_models_draw_the_same(whole: bool) -> None:
    images = torch.randn(2, 3, 32, 32)
    losses = []
    for compiled in (False, True):
        model = build()
        if compiled:
            (model if whole else model.network).compile(backend="eager")
        losses.append([model(images, regeneration=True)[1].item() for _ in range(3)])
        assert model.draws.calls == 3
    assert losses[0] == pytest.approx(losses[1]) and len(set(losses[0])) == 3


def draws_globally(images: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A careless redaction of a user's own, which takes its numbers from wherever it likes."""
    torch.rand(3), np.random.rand(3), random.random()
    return tuple(redaction.RandomBlocks()(images, generator))  # type: ignore[return-value]


class Noisy(regeneration.ForwardCRM):
    """A regenerator of a user's own, with dropout."""

    def regenerate(self, redacted: torch.Tensor, condition: torch.Tensor) -> list[torch.Tensor]:
        return [nn.functional.dropout(self.step(redacted, condition), 0.5, training=self.training)]


MODES = {
    "train": (True, True, "batch"),
    "train_no_grad": (True, False, "batch"),
    "eval": (False, True, "batch"),
    "group": (True, True, "group"),
}


@pytest.mark.parametrize(("training", "graph", "norm"), MODES.values(), ids=MODES)
@pytest.mark.parametrize("redact", ["random_blocks", "random_pixels", "random_bands", draws_globally])
def test_a_picture_changes_nothing(training: bool, graph: bool, norm: str, redact) -> None:
    regenerator = Noisy(K, 4, norm=norm) if callable(redact) else {"name": "crm_f", "norm": norm}
    model = build(redaction=redact, regenerator=regenerator).train(training)
    images = torch.randn(2, 3, 32, 32)
    prediction = model(images)

    def everything() -> list[object]:
        _, keys, *rest = np.random.get_state()
        numbers = [random.getstate(), torch.get_rng_state().tolist(), keys.tolist(), rest]
        return [*numbers, {key: value.tolist() for key, value in model.state_dict().items()}]

    before = everything()
    with torch.set_grad_enabled(graph):
        redacted, regenerated = model.regenerate(images, prediction)
    assert everything() == before
    assert regenerated.requires_grad == graph
    if not callable(redact):  # it shows what the next loss compares
        loss = model.regeneration_loss(images, prediction)
        torch.testing.assert_close(loss, model.gamma * (regenerated - images).abs().mean())
