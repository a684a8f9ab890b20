"""Every script in examples/: it runs, and what it wraps stays the plain network."""

from __future__ import annotations

import ast
import copy
import functools
import io
import math
import re
import runpy
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import ROOT
from torch import Tensor

import dejavu
from dejavu.datasets.scenes import render as rendering

FOLDER = ROOT / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
LIBRARIES = ("lightning", "segmentation_models_pytorch", "timm", "torchvision", "transformers")
CODE_LINES, WITH_TRAINER = 30, 50
# Hints of the trainers that depend on the machine, and one that Lightning's own code draws from torch.
HINTS = ("The `srun` command is available", "'pin_memory' argument is set", ".*LeafSpec.* is deprecated")
render = functools.cache(rendering.render)  # the examples draw the same scenes


@dataclass
class Run:
    """What came of one example."""

    printed: str
    saved: dict[str, Tensor]
    names: dict[str, Any]
    gradients: list[Tensor | None] = field(default_factory=list)
    """of DejaVu's loss alone in the first step, for each parameter of the base network"""

    @property
    def model(self) -> dejavu.DejaVu:
        return self.names["model"]

    @functools.cached_property
    def plain(self) -> torch.nn.Module:
        """A new plain network with the saved weights; a missing or a strange key is an error."""
        network = self.names["build"]()
        network.load_state_dict(self.saved, strict=True)
        return network


@functools.cache
def run(script: Path, folder: Path) -> Run:
    """Train an example for one epoch, in this process: imports take longer than training."""
    gradients: list[Tensor | None] = []
    loss = dejavu.DejaVu.regeneration_loss

    def watched(self: dejavu.DejaVu, images: Tensor, prediction: Any, *rest: Any, **options: Any) -> Tensor:
        if not gradients:  # at full weight, also where the example warms up
            alone = loss(self, images, prediction, progress=1.0)
            parameters = list(self.network.parameters())
            gradients.extend(torch.autograd.grad(alone, parameters, retain_graph=True, allow_unused=True))
        return loss(self, images, prediction, *rest, **options)

    path = folder / f"{script.stem}.pt"
    with (
        pytest.MonkeyPatch.context() as patch,
        torch.random.fork_rng(),
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()) as out,
    ):
        for hint in HINTS:
            warnings.filterwarnings("ignore", hint)
        patch.setattr(sys, "argv", [str(script), str(path), "1"])
        patch.setattr(rendering, "render", render)
        patch.setattr(dejavu.DejaVu, "regeneration_loss", watched)
        torch.manual_seed(0)
        names = runpy.run_path(str(script), run_name="__main__")
    return Run(out.getvalue(), torch.load(path, weights_only=True), names, gradients)


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda script: script.stem)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(request.param, tmp_path_factory.getbasetemp())


def test_an_example_prints_finite_losses_each_epoch(example: Run) -> None:
    losses = re.findall(r"^epoch \d+: loss (\S+), regeneration (\S+)$", example.printed, re.MULTILINE)
    assert len(losses) == 1
    assert all(math.isfinite(float(value)) for pair in losses for value in pair)


def test_the_saved_weights_are_the_plain_networks(example: Run) -> None:
    trained = example.model.network.state_dict()
    plain = example.plain.state_dict()
    assert list(example.saved) == list(trained) == list(plain)
    assert all(torch.equal(plain[name], trained[name]) for name in trained)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_the_wrapped_forward_is_the_plain_networks_to_the_bit(example: Run, training: bool) -> None:
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = []
    for network in copy.deepcopy((example.plain, example.model)):  # training changes running statistics
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)  # of dropout
            found.append(list(tensors(network.train(training)(images))))
    plain, wrapped = found
    assert len(plain) == len(wrapped) > 0
    assert all(torch.equal(one, other) for one, other in zip(plain, wrapped, strict=True))


def test_the_regeneration_loss_alone_reaches_the_base_network(example: Run) -> None:
    gradients = [gradient for gradient in example.gradients if gradient is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert example.gradients[0] is not None and bool(example.gradients[0].any())  # the very first layer
    assert sum(bool(gradient.any()) for gradient in gradients) > len(example.gradients) / 2


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_is_short_and_listed(script: Path) -> None:
    source = script.read_text()
    assert code_lines(source) < (
        WITH_TRAINER if "trainer.fit(" in source or "trainer.train(" in source else CODE_LINES
    )
    assert f"({script.name})" in (FOLDER / "README.md").read_text()


def test_each_library_has_an_example() -> None:
    assert {library for script in EXAMPLES for library in LIBRARIES if script.stem.startswith(library)} == {
        *LIBRARIES
    }


class Tiny(torch.nn.Module):
    """A network that computes its own loss, without statistics of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 5, 4, stride=4)

    def forward(self, images: Tensor, labels: Tensor) -> SimpleNamespace:
        logits = self.layer(images)
        return SimpleNamespace(loss=torch.nn.functional.cross_entropy(logits, labels), logits=logits)


def test_the_trainer_divides_what_it_accumulates(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two small batches give the gradient of one large batch: their mean, not their sum."""
    names = run(FOLDER / "transformers_trainer.py", tmp_path_factory.getbasetemp()).names
    numbers = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 16, 24, generator=numbers)
    labels = torch.randint(5, (4, 4, 6), generator=numbers)
    data = [{"pixel_values": image, "labels": label} for image, label in zip(images, labels, strict=True)]
    norms = []
    for accumulated in (1, 2):
        options = {"max_steps": 1, "logging_steps": 1, "remove_unused_columns": False, "report_to": "none"}
        sizes = {"per_device_train_batch_size": 4 // accumulated, "gradient_accumulation_steps": accumulated}
        arguments = names["TrainingArguments"](
            str(tmp_path_factory.mktemp("trainer")), save_strategy="no", use_cpu=True, **options, **sizes
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            crm = {"name": "crm_f", "norm": "group"}
            model = dejavu.DejaVu(Tiny(), num_classes=5, redaction="low_pass", regenerator=crm)
            trainer = names["DejavuTrainer"](model, arguments, train_dataset=data)
            with redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
                trainer.train()
        norms.append(trainer.state.log_history[0]["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_code_lines_are_neither_blank_nor_comments_nor_docstrings() -> None:
    source = '"""Two\nlines."""\n\n# Why\nx = 1  # what\n\ndef f():\n    """One."""\n    return """a\nb"""\n'
    assert code_lines(source) == 4


def code_lines(source: str) -> int:
    """Lines of Python that are neither blank nor comments nor docstrings."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            skipped.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and n not in skipped for n, line in lines)


def tensors(prediction: Any) -> Iterator[Tensor]:
    """Every tensor in what a network returned."""
    if isinstance(prediction, Tensor):
        yield prediction
    elif isinstance(prediction, Mapping | list | tuple):
        for value in prediction.values() if isinstance(prediction, Mapping) else prediction:
            yield from tensors(value)
