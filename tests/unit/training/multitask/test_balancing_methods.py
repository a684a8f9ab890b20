"""Balancing: each method against its definition, another library or an analytic case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torchjd.aggregation import MGDA as LibraryMGDA
from torchjd.autojac import jac_to_grad, mtl_backward
from torchjd.scalarization import DWA as LibraryDWA

from dejavu.training.multitask import balancing
from dejavu.training.multitask.balancing import GradNorm, min_norm_weights


class Rows(nn.Module):
    """A network of which each task's gradient at the last shared weights can be chosen: its row of them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.last_shared = nn.Linear(1, count)
        self.heads = nn.ModuleDict()

    def losses(self, values: Sequence[float], lengths: Sequence[float]) -> dict[str, Tensor]:
        """Losses of these values, whose gradients have these lengths."""
        row = self.last_shared.weight[:, 0]
        slopes = (row - row.detach()).unbind()
        return {
            str(task): value + length * slope
            for task, (value, length, slope) in enumerate(zip(values, lengths, slopes, strict=True))
        }


class Linears(nn.Module):
    """Two shared layers and a head for each of three tasks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
        self.heads = nn.ModuleDict({task: nn.Linear(4, 2) for task in "abc"})
        self.double()

    def forward(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Features and losses."""
        features = self.shared(inputs).tanh()
        parts = enumerate(self.heads.items(), start=1)
        return features, {task: (head(features) - number).square().mean() for number, (task, head) in parts}


def inputs(rows: int = 7) -> Tensor:
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {
        key: parameter.grad for key, parameter in network.named_parameters() if parameter.grad is not None
    }


def steps(balancer: GradNorm, network: Rows, count: int, *losses: Sequence[float]) -> dict[str, float]:
    for _ in range(count):
        balancer.backward(network.losses(*losses))
    return balancer.weights


# Uniform


@pytest.mark.parametrize("extra", [False, True])
def test_uniform_is_the_plain_sum_to_the_bit(extra: bool) -> None:
    ours, plain = Linears().float(), Linears().float()
    features, losses = ours(inputs().float())
    balancing.build("uniform", [*"abc"], ours).backward(losses, features.abs().sum() if extra else None)
    features, losses = plain(inputs().float())
    total = sum(losses.values())
    (total + features.abs().sum() if extra else total).backward()
    assert list(gradients(ours)) == [key for key, _ in plain.named_parameters()]
    assert all(torch.equal(part, gradients(plain)[key]) for key, part in gradients(ours).items())


# Dynamic Weight Average


def test_dwa_of_halved_equal_and_doubled_losses() -> None:
    """By hand: 3 exp(r / 2) / sum, of r = 1/2, 1 and 2."""
    balancer = balancing.build("dwa", ["a", "b", "c"], nn.Identity())
    zero = {task: torch.zeros((), requires_grad=True) for task in "abc"}
    for means in ({"a": 4.0, "b": 1.0, "c": 0.1}, {"c": 0.2, "a": 2.0, "b": 1.0}):
        balancer.backward(zero)
        assert list(balancer.weights.values()) == [1.0, 1.0, 1.0]  # of the first two epochs
        balancer.end_epoch(means)
    balancer.backward(zero)
    assert balancer.weights == pytest.approx({"a": 0.681659, "b": 0.875268, "c": 1.443073}, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_dwa_equals_torchjd(temperature: float) -> None:
    ours = balancing.build("dwa", ["a", "b", "c"], nn.Identity(), temperature=temperature)
    theirs = LibraryDWA(temperature)
    history = 0.1 + torch.rand(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for means in history:
        values = means.clone().requires_grad_()
        (expected,) = torch.autograd.grad(theirs(values), values)
        theirs.step()
        separate = [value.clone().requires_grad_() for value in means]
        ours.backward(dict(zip("abc", separate, strict=True)))
        ours.end_epoch(dict(zip("abc", means.tolist(), strict=True)))
        found = torch.stack([value.grad for value in separate if value.grad is not None])
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


# GradNorm


def test_gradnorm_equals_adam_on_the_differentiated_distance() -> None:
    """The same, with the lengths differentiated by autograd and torch's own optimiser."""
    alpha, lr, tasks = 1.5, 0.025, [*"abc"]
    network = Linears()
    network.last_shared = network.shared[2]
    balancer = balancing.build("gradnorm", tasks, network, alpha=alpha, lr=lr)
    weights = nn.Parameter(torch.ones(3, dtype=torch.float64))
    adam = torch.optim.Adam([weights], lr=lr)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    first = None
    for _ in range(12):
        losses = network(inputs())[1]
        values = torch.stack([loss.detach() for loss in losses.values()])
        first = values if first is None else first
        lengths = []
        for weight, loss in zip(weights, losses.values(), strict=True):
            kernel = network.shared[2].weight
            (part,) = torch.autograd.grad(weight * loss, kernel, create_graph=True, retain_graph=True)
            lengths.append(part.norm())
        length = torch.stack(lengths)
        rate = (values / first) / (values / first).mean()
        aim = (length.mean() * rate**alpha).detach()
        optimizer.zero_grad()
        before = weights.detach().clone()
        balancer.backward(losses)
        assert [*balancer.weights.values()] == pytest.approx(before.tolist(), rel=1e-5)
        (weights.grad,) = torch.autograd.grad((length - aim).abs().sum(), weights)
        adam.step()
        with torch.no_grad():
            weights *= 3 / weights.sum()
        optimizer.step()
    assert max(before) - min(before) > 0.1  # so that something was compared


def test_gradnorm_evens_out_lengths_where_progress_is_alike() -> None:
    """Gradients of 1, 2 and 5: the weights go to 3 / (1 + 1/2 + 1/5) times 1, 1/2 and 1/5."""
    network = Rows(3)
    balancer = GradNorm(["0", "1", "2"], network, lr=0.01)
    weights = steps(balancer, network, 200, [1.0, 1.0, 1.0], [1.0, 2.0, 5.0])
    expected = np.array([1, 1 / 2, 1 / 5]) * 3 / 1.7
    assert [*weights.values()] == pytest.approx(expected, abs=0.04)


def test_gradnorm_favours_the_slower_task() -> None:
    """One task at its first loss, one at half of it, gradients alike: r is 4/3 and 2/3.

    The lengths aimed at are r ** 1.5 = 1.5396 and 0.5443, which do not sum to 2: the weights come to rest
    where neither is pulled outwards, the first between 2 - 0.5443 and 1.5396.
    """
    network = Rows(2)
    balancer = GradNorm(["0", "1"], network, lr=0.01)
    assert steps(balancer, network, 1, [3.0, 3.0], [1.0, 1.0]) == {"0": 1.0, "1": 1.0}
    weights = steps(balancer, network, 120, [3.0, 1.5], [1.0, 1.0])
    assert 2 - 0.5443 - 0.02 < weights["0"] < 1.5396 + 0.02
    assert weights["0"] + weights["1"] == pytest.approx(2)


def test_gradnorm_without_a_restoring_force_knows_no_progress() -> None:
    network = Rows(2)
    balancer = GradNorm(["0", "1"], network, alpha=0.0, lr=0.005)
    steps(balancer, network, 1, [3.0, 3.0], [1.0, 1.0])
    weights = steps(balancer, network, 100, [3.0, 0.3], [1.0, 1.0])
    assert weights == pytest.approx({"0": 1.0, "1": 1.0}, abs=0.02)


def test_gradnorm_never_makes_a_weight_negative() -> None:
    """A gradient that is 10000 times too long: steps of 0.025 would carry its weight far below 0."""
    network = Rows(2)
    balancer = GradNorm(["0", "1"], network)
    for _ in range(200):
        weights = steps(balancer, network, 1, [1.0, 1.0], [1.0, 1e4])
        assert 0 < weights["1"] <= 1 and weights["0"] + weights["1"] == pytest.approx(2)
    assert weights["1"] < 0.1


# MGDA: the shortest point in the convex hull of the gradients


TOLERANCE = 2e-3  # of the length of the shortest mean; see training/multitask/balancing/mgda.py


def cloud(count: int, seed: int, size: int = 8) -> Tensor:
    """Gradients that share a direction and differ in length up to 100 times, as losses' scales do."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size, generator=random, dtype=torch.float64)
    rows += torch.randn(size, generator=random, dtype=torch.float64)
    return rows * 10 ** (2 * torch.rand(count, 1, generator=random, dtype=torch.float64))


def shortest(rows: Tensor) -> np.ndarray:
    """The weights by scipy's constrained minimiser."""
    unit = float(rows.norm(dim=1).min())  # so that its tolerance is that of a number near 1
    gramian = (rows @ rows.T).numpy() / unit**2
    count = len(rows)
    found = minimize(
        lambda weights: weights @ gramian @ weights,
        np.full(count, 1 / count),
        jac=lambda weights: 2 * gramian @ weights,
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return found.x


@pytest.mark.parametrize("seed", range(8))
def test_two_tasks_equal_the_closed_form(seed: int) -> None:
    first, second = rows = cloud(2, seed)
    share = float(((second - first) @ second) / (second - first).square().sum())
    expected = min(max(share, 0.0), 1.0)
    assert min_norm_weights(rows @ rows.T).tolist() == pytest.approx([expected, 1 - expected], abs=1e-9)


@pytest.mark.parametrize("count, seed", [(3, seed) for seed in range(8)] + [(5, 0), (5, 1)])
def test_more_tasks_equal_scipys_minimiser(count: int, seed: int) -> None:
    rows = cloud(count, seed)
    weights = min_norm_weights(rows @ rows.T)
    assert weights.sum() == pytest.approx(1) and weights.min() >= 0
    point = weights @ rows
    best = torch.from_numpy(shortest(rows)) @ rows
    assert float(point.norm() / best.norm()) == pytest.approx(1, abs=TOLERANCE)
    # And what defines the point: along it, every task's gradient is at least as long as it is itself.
    assert float((rows @ point).min() / point.square().sum()) > 1 - 2 * TOLERANCE


def test_mgda_equals_torchjds_own_backward() -> None:
    ours, theirs = Linears(), Linears()
    losses = ours(inputs())[1]
    balancer = balancing.build("mgda", [*"abc"], ours)
    balancer.backward(losses)
    features, losses = theirs(inputs())
    mtl_backward(list(losses.values()), features=features, parallel_chunk_size=1)
    weights = jac_to_grad(theirs.shared.parameters(), LibraryMGDA(epsilon=1e-9, max_iters=20000))
    assert [*balancer.weights.values()] == pytest.approx(weights.tolist(), abs=1e-3)
    for key, gradient in gradients(theirs).items():
        torch.testing.assert_close(gradients(ours)[key], gradient, rtol=1e-3, atol=1e-5)
    assert sum(weight > 0.05 for weight in balancer.weights.values()) > 1  # not one task alone


def test_no_loss_grows_against_the_direction() -> None:
    network = Linears()
    before = network(inputs())[1]
    balancing.build("mgda", [*"abc"], network).backward(before)
    with torch.no_grad():
        for parameter in network.shared.parameters():
            parameter -= 1e-4 * parameter.grad
    after = network(inputs())[1]
    assert all(after[task] < before[task] for task in before)


@pytest.mark.parametrize("normalise, divisors", [
    ("none", lambda norms, losses: np.ones(3)),
    ("l2", lambda norms, losses: norms),
    ("loss", lambda norms, losses: losses),
    ("loss+", lambda norms, losses: norms * losses),
], ids=["none", "l2", "loss", "loss+"])  # fmt: skip
def test_normalisation_is_of_the_search_alone(normalise: str, divisors: object) -> None:
    network = Linears()
    losses = network(inputs())[1]
    shared = list(network.shared.parameters())
    rows = torch.stack([
        torch.cat([part.flatten() for part in torch.autograd.grad(loss, shared, retain_graph=True)])
        for loss in losses.values()
    ])  # fmt: skip
    values = np.array([float(loss.detach()) for loss in losses.values()])
    divisor = divisors(rows.norm(dim=1).numpy(), values)  # type: ignore[operator]
    scaled = rows / torch.from_numpy(divisor)[:, None]
    best = torch.from_numpy(shortest(scaled)) @ scaled
    balancer = balancing.build("mgda", [*"abc"], network, normalise=normalise)
    balancer.backward(losses)
    used = torch.tensor([*balancer.weights.values()], dtype=torch.float64)
    assert float((used @ scaled).norm() / best.norm()) == pytest.approx(1, abs=TOLERANCE)
    assert sum(weight > 0.05 for weight in balancer.weights.values()) > 1  # not one task alone
    found = torch.cat([parameter.grad.flatten() for parameter in shared])
    torch.testing.assert_close(found, used @ rows, rtol=1e-6, atol=1e-9)


def test_a_zero_gradient_does_not_stop_the_others() -> None:
    network = Linears()
    losses: Mapping[str, Tensor] = network(inputs())[1]
    balancer = balancing.build("mgda", [*"abc"], network)
    balancer.backward({**losses, "b": 0 * losses["b"]})
    assert balancer.weights["b"] == 0 and sum(balancer.weights.values()) == pytest.approx(1)
