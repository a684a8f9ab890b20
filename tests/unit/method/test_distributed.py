"""DejaVu within DistributedDataParallel: the order of wrapping, and what the processes learn together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from helpers.data_parallel_worker import OPTIONS, STEPS, WORLD, K
from torch import distributed, nn

from dejavu import DejaVu
from dejavu.errors import DejavuError

REDACTION_CALLS = "draws._extra_state"


def convolution() -> nn.Module:
    return nn.Conv2d(3, K, 3, 4, 1)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A group of this process alone, without which no wrapper can be built."""
    meeting = tmp_path_factory.mktemp("group") / "meeting"
    distributed.init_process_group("gloo", f"file://{meeting}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def data_parallel(network: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(network)


def fully_sharded(network: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(network, device_id=torch.device("cpu"))


def fully_shard(network: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    fully_shard(network, mesh=init_device_mesh("cpu", (1,)))
    return network


def compiled(network: nn.Module) -> nn.Module:
    return torch.compile(data_parallel(network))


def inside(network: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Identity(), data_parallel(network))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # torch's own, of building these
@pytest.mark.parametrize(
    ("wrap", "right"),
    [
        (data_parallel, r"DistributedDataParallel\(DejaVu\(network, ...\)\)"),
        (fully_sharded, r"FullyShardedDataParallel\(DejaVu\(network, ...\)\)"),
        (fully_shard, r"fully_shard\(DejaVu\(network, ...\)\)"),
        (compiled, r"DistributedDataParallel\(DejaVu\(network, ...\)\)"),
        (inside, r"DistributedDataParallel\(DejaVu\(network, ...\)\)"),
    ],
)
def test_a_network_that_averages_gradients_itself_is_refused(wrap, right: str, group: None) -> None:
    with pytest.raises(DejavuError, match=f"other order, model = {right}.*regeneration=True"):
        DejaVu(wrap(convolution()), num_classes=K)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("wrap", [data_parallel, fully_sharded, fully_shard])
def test_the_right_order_gives_prediction_and_loss_in_one_call(wrap, group: None) -> None:
    images = torch.randn(2, 3, 16, 24)
    torch.manual_seed(0)
    plain = DejaVu(convolution(), num_classes=K)
    logits = plain(images)
    expected = plain.regeneration_loss(images, logits)
    expected.backward()
    torch.manual_seed(0)
    wrapped = wrap(DejaVu(convolution(), num_classes=K))
    prediction, added = wrapped(images, regeneration=True)
    added.backward()
    assert torch.equal(prediction, logits) and torch.equal(added, expected)
    assert all(parameter.grad is not None for parameter in wrapped.parameters())


def test_one_call_is_the_same_as_two() -> None:
    images = torch.randn(2, 3, 16, 24)
    torch.manual_seed(0)
    model = DejaVu(convolution(), num_classes=K, warmup=0.5)
    generator = torch.Generator()
    options = {"generator": generator, "progress": 0.2}
    generator.manual_seed(3)
    prediction, added = model(images, regeneration=options)
    generator.manual_seed(3)
    assert torch.equal(prediction, model(images, regeneration=False))
    assert torch.equal(added, model.regeneration_loss(images, prediction, **options))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "True, False or a mapping"),
        (0.3, "True, False or a mapping"),
        ({"progres": 0.1}, "did you mean 'progress'"),
    ],
)
def test_what_cannot_be_requested_is_named(given: object, expected: str) -> None:
    model = DejaVu(convolution(), num_classes=K)
    with pytest.raises(DejavuError, match=expected):
        model(torch.randn(2, 3, 16, 24), regeneration=given)


def test_copies_of_data_parallel_cannot_count() -> None:
    model = DejaVu(convolution(), num_classes=K)
    copy = model._replicate_for_data_parallel()
    with pytest.raises(DejavuError, match="use DistributedDataParallel"):
        copy(torch.randn(2, 3, 16, 24), regeneration=True)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """The states after some steps of two processes, and of one process alone, by name and option."""
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    worker = [sys.executable, str(ROOT / "tests/helpers/data_parallel_worker.py"), str(folder)]
    started = [subprocess.Popen([*worker, *rank], env=environment) for rank in ([], ["0"], ["1"])]
    assert [process.wait(timeout=300) for process in started] == [0, 0, 0]
    return {
        path.name: torch.load(path) for path in map(Path.joinpath, [folder] * 3, ["alone", "rank0", "rank1"])
    }


@pytest.mark.parametrize("option", OPTIONS)
def test_processes_learn_the_same_as_one_of_the_joined_batch(option: str, states) -> None:
    alone, *ranks = (states[name][option] for name in ("alone", "rank0", "rank1"))
    assert len(ranks) == WORLD
    for module in ("network", "regenerator"):
        assert any(key.startswith(f"gradient of {module}.") and alone[key].any() for key in alone)
    for key, expected in alone.items():
        assert torch.equal(ranks[0][key], ranks[1][key]), key
        torch.testing.assert_close(ranks[0][key], expected, rtol=1e-9, atol=1e-12)
    assert alone[REDACTION_CALLS] == STEPS  # a picture is no call


def unused(model: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


def static(model: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model, static_graph=True)


class Both(nn.Module):
    """Classes and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, K + 1, 3, 4, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.layer(images)
        return {"semantic": maps[:, :K], "depth": maps[:, K]}


def enlarged(logits: torch.Tensor) -> torch.Tensor:
    """What a loop may do to a prediction before it gives it to the loss."""
    return nn.functional.interpolate(logits.float(), scale_factor=4, mode="bilinear").contiguous()


TWO_CALLS = {
    "logits": (lambda: DejaVu(convolution(), num_classes=K), lambda logits: logits),
    "enlarged": (lambda: DejaVu(convolution(), num_classes=K), enlarged),
    "in a mapping": (lambda: DejaVu(convolution(), num_classes=K), lambda logits: {"out": logits}),
    "the control": (lambda: DejaVu(convolution(), num_classes=K, detach=True), lambda logits: logits),
    "two tasks": (lambda: DejaVu(Both(), task=["semantic", "depth"], num_classes=K), lambda maps: maps),
}


@pytest.mark.parametrize(("build", "between"), TWO_CALLS.values(), ids=TWO_CALLS)
def test_two_calls_are_refused_where_they_cannot_work(build, between, group: None) -> None:
    images, model = torch.randn(2, 3, 16, 24), build()
    wrapped = unused(model)
    for _ in range(2):
        prediction = between(wrapped(images))
        one_call = r"find_unused_parameters=True.*prediction, added = ddp\(images, regeneration=True\)"
        with pytest.raises(DejavuError, match=one_call):
            model.regeneration_loss(images, prediction)
        with torch.no_grad():  # a measurement has no backward pass
            model.regeneration_loss(images, between(wrapped(images)))
    wrapped(images, regeneration=True)[1].backward()
    model.eval()
    model.regeneration_loss(images, between(wrapped(images)))


@pytest.mark.parametrize("wrap", [data_parallel, static])
@pytest.mark.parametrize(("build", "between"), TWO_CALLS.values(), ids=TWO_CALLS)
def test_two_calls_are_allowed_elsewhere(wrap, build, between, group: None) -> None:
    images, model = torch.randn(2, 3, 16, 24), build()
    wrapped = wrap(model)
    for _ in range(2):
        prediction = between(wrapped(images))
        added = model.regeneration_loss(images, prediction)
        (added + sum(0 * one.sum() for one in torch.utils._pytree.tree_leaves(prediction))).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_torch_says_of_two_calls_is_still_true(group: None) -> None:
    """Else the refusal can go: torch takes the regenerator for unused, and then has its gradient."""
    images, model = torch.randn(2, 3, 16, 24), DejaVu(convolution(), num_classes=K)
    wrapped = unused(model)
    logits = wrapped(images)
    model.eval()  # which is not refused
    added = model.regeneration_loss(images, logits)
    with pytest.raises(RuntimeError, match="mark a variable ready only once"):
        (logits.sum() + added).backward()


def test_a_step_within_the_wrapper_may_have_two_calls(group: None) -> None:
    """As Lightning has it, also with find_unused_parameters."""

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = DejaVu(convolution(), num_classes=K)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = self.model(images)
            return logits.mean() + self.model.regeneration_loss(images, logits)

    step = Step()
    wrapped = nn.parallel.DistributedDataParallel(step, find_unused_parameters=True)
    wrapped(torch.randn(2, 3, 16, 24)).backward()
    assert all(parameter.grad is not None for parameter in step.parameters())
