"""Balancing: every property is written once and holds for every balancer of the registry."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from dejavu.errors import DejavuError
from dejavu.training import multitask
from dejavu.training.multitask import balancing
from dejavu.training.multitask.balancing import Balancer

TASKS = ("semantic", "depth", "normals")
every_balancer = pytest.mark.parametrize("name", balancing.names())


class Several(nn.Module):
    """A small network of several tasks, with what balancers must get along with: BatchNorm and unpooling."""

    def __init__(self, tasks: tuple[str, ...] = TASKS, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.last_shared = nn.Conv2d(4, 4, 3, padding=1)
        self.heads = nn.ModuleDict({task: nn.Conv2d(4, 2, 1) for task in tasks})
        self.double()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        pooled, places = self.pool(self.norm(self.encoder(images)).relu())
        features = self.last_shared(self.unpool(pooled, places)).relu()
        return {task: head(features) for task, head in self.heads.items()}


SCALES = {"semantic": 1.0, "depth": 30.0, "normals": 0.2}


def images(seed: int) -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def losses(network: Several, seed: int = 1) -> dict[str, Tensor]:
    """Each task's loss: distances from images of which the tasks differ in shift and scale."""
    batch = images(seed)
    return {
        task: SCALES[task] * (prediction - batch[:, :2].roll(shift, -1)).square().mean()
        for shift, (task, prediction) in enumerate(network(batch).items())
    }


def added(network: Several) -> Tensor:
    """Something of all outputs, as DejaVu makes it."""
    return sum((part.abs().mean() for part in network(images(1)).values()), start=torch.zeros(()))


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }


def plain(network: Several, loss: Tensor) -> dict[str, Tensor]:
    """The gradients of one loss, by torch alone; 0 where it does not reach."""
    found = torch.autograd.grad(
        loss, list(network.parameters()), retain_graph=True, materialize_grads=True, allow_unused=True
    )
    return {name: part for (name, _), part in zip(network.named_parameters(), found, strict=True)}


def equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether they are the same to the bit."""
    return list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)


def warm(balancer: Balancer, network: Several, steps: int = 6) -> None:
    """Take some steps, two an epoch, so that weights are no longer what they were at the start."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    run(balancer, network, optimizer, range(steps))


def run(balancer: Balancer, network: Several, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        found = losses(network, seed=step)
        optimizer.zero_grad()
        balancer.backward(found)
        optimizer.step()
        if step % 2:
            balancer.end_epoch({task: float(loss.detach()) for task, loss in found.items()})


@every_balancer
@pytest.mark.parametrize("steps", [0, 6])
def test_gradients_are_the_weighted_ones(name: str, steps: int) -> None:
    network = Several()
    balancer = balancing.build(name, TASKS, network)
    warm(balancer, network, steps)
    network.zero_grad()
    found = losses(network, seed=20)
    single = {task: plain(network, loss) for task, loss in found.items()}
    balancer.backward(found)
    weights = balancer.weights
    assert list(weights) == list(TASKS)
    for key, gradient in gradients(network).items():
        # MGDA weighs shared parameters alone.
        own = {task: 1.0 if name == "mgda" and key.startswith("heads.") else weights[task] for task in TASKS}
        expected = sum(own[task] * single[task][key] for task in TASKS)
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)


@every_balancer
def test_weights_are_positive_and_sum_to_the_number_of_tasks(name: str) -> None:
    network = Several()
    balancer = balancing.build(name, TASKS, network)
    total = 1 if name == "mgda" else len(TASKS)
    warm(balancer, network)
    assert sum(balancer.weights.values()) == pytest.approx(total, rel=1e-6)
    assert min(balancer.weights.values()) >= 0
    alike = max(balancer.weights.values()) - min(balancer.weights.values()) < 1e-6
    assert alike == (name == "uniform")


@every_balancer
def test_tasks_that_are_equal_are_treated_equally(name: str) -> None:
    network = Several(("semantic", "depth"))
    network.heads["depth"].load_state_dict(network.heads["semantic"].state_dict())
    balancer = balancing.build(name, ("semantic", "depth"), network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(6):
        target = images(step)
        found = {task: (part - target[:, :2]).square().mean() for task, part in network(target).items()}
        single = plain(network, found["semantic"])["encoder.weight"]
        optimizer.zero_grad()
        balancer.backward(found)
        # Of equal gradients all means are alike: MGDA's weights are told by the gradient alone.
        torch.testing.assert_close(
            network.encoder.weight.grad, single * sum(balancer.weights.values()), rtol=1e-6, atol=0
        )
        if name != "mgda":
            assert balancer.weights["semantic"] == balancer.weights["depth"]
        optimizer.step()
        balancer.end_epoch({task: float(loss.detach()) for task, loss in found.items()})
    assert equal(network.heads["semantic"].state_dict(), network.heads["depth"].state_dict())


@every_balancer
def test_what_is_added_adds_its_gradient(name: str) -> None:
    outside = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))  # a regenerator's
    parts = []
    for with_added in (False, True):
        network = Several()
        found = losses(network)
        extra = added(network) * outside
        balancing.build(name, TASKS, network).backward(found, extra if with_added else None)
        parts.append(gradients(network))
    alone = Several()
    losses(alone)
    for key, gradient in plain(alone, added(alone) * 2).items():
        torch.testing.assert_close(parts[1][key] - parts[0][key], gradient, rtol=1e-9, atol=1e-12)
    assert outside.grad is not None
    torch.testing.assert_close(outside.grad, added(alone).detach())


@every_balancer
def test_one_task_alone_is_a_plain_backward(name: str) -> None:
    network, reference = Several(("depth",)), Several(("depth",))
    balancer = balancing.build(name, ("depth",), network)
    for seed in range(3):
        losses(reference, seed)["depth"].backward()
        balancer.backward(losses(network, seed))
        balancer.end_epoch({"depth": 1.0 / (1 + seed)})
    assert equal(gradients(network), gradients(reference))  # summed over three batches, as torch does
    assert balancer.weights == {"depth": 1.0}


@every_balancer
def test_batch_norm_sees_a_batch_once(name: str) -> None:
    network, reference = Several(), Several()
    balancing.build(name, TASKS, network).backward(losses(network))
    losses(reference)
    assert int(network.norm.num_batches_tracked) == 1
    assert equal(network.norm.state_dict(), reference.norm.state_dict())


PASSES = {"uniform": 1, "dwa": 1, "gradnorm": 1, "mgda": len(TASKS)}


@every_balancer
def test_number_of_backward_passes_through_the_shared_network(name: str) -> None:
    network = Several()
    passes = []
    network.encoder.weight.register_hook(passes.append)
    balancing.build(name, TASKS, network).backward(losses(network))
    assert len(passes) == PASSES[name]


@every_balancer
def test_a_task_without_labels_changes_nothing(name: str) -> None:
    """Not in the first batch, and not later: the other two go on as if they were alone in the gradient."""
    network = Several()
    balancer = balancing.build(name, TASKS, network)
    for _ in range(3):
        found = losses(network) | {"depth": torch.zeros((), dtype=torch.float64)}
        single = {task: plain(network, found[task]) for task in ("semantic", "normals")}
        network.zero_grad()
        balancer.backward(found)
        weights = balancer.weights
        expected = sum(weights[task] * single[task]["encoder.weight"] for task in single)
        torch.testing.assert_close(network.encoder.weight.grad, expected, rtol=1e-5, atol=1e-8)
        assert expected.abs().max() > 0
        balancer.end_epoch({"semantic": 1.0, "depth": 0.0, "normals": 0.5})
    warm(balancer, network)
    assert all(weight >= 0 and weight < 3 for weight in balancer.weights.values())


@every_balancer
@pytest.mark.parametrize("stop", [1, 5])
def test_a_resumed_run_ends_with_the_same_bits(name: str, stop: int) -> None:
    def fresh() -> tuple[Balancer, Several, torch.optim.Optimizer]:
        network = Several()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
        return balancing.build(name, TASKS, network), network, optimizer

    through = fresh()
    run(*through, range(9))

    first, file = fresh(), io.BytesIO()
    run(*first, range(stop))
    torch.save([part.state_dict() for part in first], file)
    file.seek(0)
    resumed = fresh()
    for part, state in zip(resumed, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    assert resumed[0].weights == first[0].weights
    run(*resumed, range(stop, 9))
    assert equal(resumed[1].state_dict(), through[1].state_dict())
    assert equal(resumed[0].state_dict(), through[0].state_dict())
    assert not any(key.startswith(("network", "encoder")) for key in through[0].state_dict())
    assert list(through[0].parameters()) == []

    if name in ("dwa", "gradnorm"):  # the state is needed: without it the run ends elsewhere
        forgetful = fresh()
        for part, state in zip(forgetful[1:], [part.state_dict() for part in resumed[1:]], strict=True):
            part.load_state_dict(state)
        run(*forgetful, range(9, 11))
        run(*through, range(9, 11))
        assert not equal(forgetful[1].state_dict(), through[1].state_dict())


@every_balancer
def test_losses_of_other_tasks_are_refused(name: str) -> None:
    network = Several()
    balancer = balancing.build(name, TASKS, network)
    found = losses(network)
    depth = found.pop("depth")
    with pytest.raises(
        DejavuError, match="needs a loss of semantic, depth, normals, not of semantic, normals"
    ):
        balancer.backward(found)
    with pytest.raises(DejavuError, match=r"the loss of depth must be a scalar, not \(2,\)"):
        balancer.backward(found | {"depth": depth.repeat(2)})
    with pytest.raises(DejavuError, match="needs a loss of"):
        balancer.end_epoch({"semantic": 1.0})
    assert gradients(network) == {}


@every_balancer
@pytest.mark.parametrize("tasks", [(), ("depth", "depth"), "depth"], ids=["none", "twice", "text"])
def test_tasks_must_be_named_once(name: str, tasks: tuple[str, ...]) -> None:
    with pytest.raises(DejavuError, match="needs the tasks' names, each once"):
        balancing.build(name, tasks, Several())


BAD = [
    ("zebra", {}, "unknown balancer 'zebra', known: dwa, gradnorm, mgda, uniform"),
    ("gradnrm", {}, "did you mean 'gradnorm'"),
    ("uniform", {"temperature": 2.0}, "balance.temperature: 'uniform' has no such option"),
    ("dwa", {"temprature": 2.0}, "balance.temprature: 'dwa' has no such option, did you mean 'temperature'"),
    ("dwa", {"temperature": 0}, "balance.temperature: must be a number above 0, not 0"),
    ("dwa", {"temperature": -1.0}, "balance.temperature: must be a number above 0, not -1.0"),
    ("dwa", {"temperature": float("nan")}, "balance.temperature: must be a number above 0, not nan"),
    ("dwa", {"temperature": "2"}, "balance.temperature: must be a number above 0, not '2'"),
    ("gradnorm", {"alpha": -0.1}, "balance.alpha: must be a number of at least 0, not -0.1"),
    ("gradnorm", {"lr": 0.0}, "balance.lr: must be a number above 0, not 0.0"),
    ("gradnorm", {"lr": True}, "balance.lr: must be a number above 0, not True"),
    ("mgda", {"normalise": "l1"}, "balance.normalise: must be one of none, l2, loss, loss+, not 'l1'"),
]


@pytest.mark.parametrize("name, options, fault", BAD, ids=[f"{name}{options}" for name, options, _ in BAD])
def test_bad_options_are_refused(name: str, options: dict[str, object], fault: str) -> None:
    with pytest.raises(DejavuError) as caught:
        balancing.build(name, TASKS, Several(), **options)
    assert fault in str(caught.value)


@pytest.mark.parametrize("name, lacks", [("gradnorm", "last_shared"), ("mgda", "heads")])
def test_a_network_without_the_parts_is_refused(name: str, lacks: str) -> None:
    with pytest.raises(DejavuError, match=f"{name} needs a network with '{lacks}'"):
        balancing.build(name, TASKS, nn.Conv2d(3, 3, 1))


def test_gradnorm_needs_weights_that_learn() -> None:
    network = Several()
    network.last_shared.requires_grad_(False)
    with pytest.raises(DejavuError, match="Conv2d has none that learn"):
        balancing.build("gradnorm", TASKS, network)


def test_torchjd_is_imported_for_mgda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported afresh where torchjd is missing, all others work."""
    monkeypatch.setattr(multitask, "balancing", balancing)  # put back afterwards, as is what follows
    for key in [
        key for key in sys.modules if key.startswith(("dejavu.training.multitask.balancing", "torchjd"))
    ]:
        monkeypatch.delitem(sys.modules, key)
    monkeypatch.setitem(sys.modules, "torchjd", None)
    fresh = importlib.import_module("dejavu.training.multitask.balancing")
    assert fresh is not balancing
    for name in fresh.names():
        network = Several()
        balancer = fresh.build(name, TASKS, network)
        if name == "mgda":
            with pytest.raises(ImportError, match="torchjd"):
                balancer.backward(losses(network))
        else:
            balancer.backward(losses(network))
