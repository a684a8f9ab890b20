"""Cross-task consistency, against the published code's numbers, a plain loop and analytic cases."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dejavu.errors import DejavuError
from dejavu.tasks import load
from dejavu.tasks.semantic import drawn
from dejavu.training.multitask.consistency import ConsistencyNetwork, CrossTaskConsistency

K = 4
CHANNELS = {"semantic": K, "depth": 1, "normals": 3}
TASKS = tuple(CHANNELS)
SIZE = (32, 96)
WIDTH = 0.125
FEATURES = 64
Maps = dict[str, Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill(module: nn.Module) -> None:
    """Weights by a formula, none of them at its start."""
    with torch.no_grad():
        for place, (name, parameter) in enumerate(module.named_parameters()):
            wave = torch.sin(torch.arange(parameter.numel()) * 0.7 + place).view_as(parameter)
            shift = 1.0 if name.endswith(("gamma", "norm.weight", ".1.weight")) else 0.0
            parameter.copy_(shift + wave / (3 if parameter.ndim < 4 else parameter[0].numel() ** 0.5))


def network(
    channels: dict[str, int] = CHANNELS, depth: float = 1.0, start: bool = False
) -> ConsistencyNetwork:
    torch.manual_seed(0)
    made = ConsistencyNetwork(channels, FEATURES, WIDTH, depth)
    if not start:
        fill(made)
    return made


def waves(*shape: int, step: float) -> Tensor:
    """Smooth numbers within -1 and 1, no two images alike."""
    return torch.sin(torch.arange(torch.Size(shape).numel()) * step).view(shape)


def batch(images: int = 2) -> tuple[Maps, Maps, Tensor]:
    """Predictions, targets and features. Logits are so far apart that the drawn class is certain."""
    classes = waves(images, K, *SIZE, step=0.013).argmax(1)
    predictions = {
        "semantic": 200 * F.one_hot(classes, K).movedim(-1, 1).float(),
        "depth": 3 + waves(images, 1, *SIZE, step=0.017),
        "normals": waves(images, 3, *SIZE, step=0.019),
    }
    labels = (waves(images, *SIZE, step=0.011) * K).long().abs() % K
    labels[:, :7] = 255
    depth = (2 + 3 * waves(images, *SIZE, step=0.023)).clamp(min=0)
    normals = F.normalize(waves(images, 3, *SIZE, step=0.029), dim=1)
    normals[:, :, :, -5:] = 0
    features = waves(images, FEATURES, SIZE[0] // 32, SIZE[1] // 32, step=0.31).clamp(min=0)
    return predictions, {"semantic": labels, "depth": depth, "normals": normals}, features


def block(maps: Tensor, part: nn.Module, pair: int) -> Tensor:
    """Convolution, batch norm of a batch of one image, FiLM, ReLU: as the paper writes them."""
    maps = F.conv2d(maps, part.convolution.weight, part.convolution.bias, padding=1)
    maps = F.batch_norm(maps, None, None, part.norm.weight, part.norm.bias, training=True, eps=1e-5)
    return F.relu(maps * part.gamma[pair].view(1, -1, 1, 1) + part.beta[pair].view(1, -1, 1, 1))


def mapped(net: ConsistencyNetwork, maps: Tensor, task: str, pair: tuple[str, str]) -> Tensor:
    """The map of one image, layer by layer."""
    first = net.inputs[task]
    maps = F.conv2d(maps, first[0].weight, first[0].bias, padding=1)
    maps = F.relu(F.batch_norm(maps, None, None, first[1].weight, first[1].bias, training=True, eps=1e-5))
    for stage in net.stages:
        for part in stage:
            maps = block(maps, part, list(permutations(net.tasks, 2)).index(pair))
        maps = F.max_pool2d(maps, 2)
    return maps


def looped(
    loss: CrossTaskConsistency,
    predictions: Maps,
    targets: Maps,
    features: Tensor,
    rows: list[list[bool]] | None,
) -> Tensor:
    """The loss, one image and one pair after the other."""
    total = torch.zeros((), dtype=features.dtype)
    for image in range(len(features)):
        for source, target in permutations(TASKS, 2):
            row = dict(zip(TASKS, rows[image], strict=True)) if rows else None
            if row and (row[source] or not row[target]):
                continue
            one = slice(image, image + 1)
            said = load(source).consistency_prediction(predictions[source][one], seeded())
            known = load(target).consistency_target(targets[target][one], CHANNELS[target])
            said, known = (
                mapped(loss.network, maps, task, (source, target))
                for maps, task in ((said, source), (known, target))
            )
            frozen = features[one].detach()
            total = total + (1 - F.cosine_similarity(said, known).mean())
            for maps in (said, known):
                total = total + loss.regularisation * (1 - F.cosine_similarity(maps, frozen).mean())
    return loss.weight * total / len(features)


# Which labels each of two images has: None is all of them.
AVAILABLE = {
    "full": None,
    "one": [[True, False, False], [False, False, True]],
    "random": [[True, True, False], [False, True, False]],
}
# The published code's loss (MTPSL, model/mapfns.py, with our weights at a width of 1/8) on the same batch.
PUBLISHED = {"full": 5.5183420, "one": 1.8240535, "random": 1.9276125}


def rows_of(setting: str) -> Tensor | None:
    rows = AVAILABLE[setting]
    return None if rows is None else torch.tensor(rows)


@pytest.mark.parametrize("setting", AVAILABLE)
def test_is_the_published_codes_loss(setting: str) -> None:
    loss = CrossTaskConsistency(network())
    found = loss(*batch(), rows_of(setting), seeded())
    assert found.item() == pytest.approx(PUBLISHED[setting], abs=2e-5)


@pytest.mark.parametrize("setting", AVAILABLE)
def test_is_a_loop_over_images_and_pairs(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision: in single the difference depends on how a processor sums its convolutions."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    loss = CrossTaskConsistency(network().double(), weight=1.5, regularisation=0.25)
    predictions, targets, features = batch()
    predictions = {task: value.double().requires_grad_() for task, value in predictions.items()}
    features = features.double()
    leaves = [*predictions.values(), *loss.parameters()]
    found = loss(predictions, targets, features, rows_of(setting), seeded())
    expected = looped(loss, predictions, targets, features, AVAILABLE[setting])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    pairs = zip(
        torch.autograd.grad(found, leaves, allow_unused=True),
        torch.autograd.grad(expected, leaves, allow_unused=True),
        strict=True,
    )
    for ours, plain in pairs:
        for one in (ours, plain):
            assert one is None or one.isfinite().all()
        if plain is None:
            assert ours is None or not ours.any()
        else:
            torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-9 * max(1.0, float(plain.abs().max())))


def test_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        full = ConsistencyNetwork({"semantic": 13, "depth": 1, "normals": 3}, 512)
    assert sum(parameter.numel() for parameter in full.parameters()) == 14_819_328
    assert sum(parameter.numel() for parameter in full.film_parameters()) == 50_688


def test_film_parameters_are_the_gammas_and_betas() -> None:
    made = network()
    names = {id(parameter): name for name, parameter in made.named_parameters()}
    found = sorted(names[id(parameter)] for parameter in made.film_parameters())
    assert found == sorted(name for name in names.values() if name.endswith(("gamma", "beta")))
    assert len(found) == 2 * 13  # convolutions of SegNet's encoder


@pytest.mark.parametrize("task", TASKS)
def test_all_pairs_are_one_function_at_the_start(task: str) -> None:
    made = network(start=True)
    maps = waves(1, CHANNELS[task], *SIZE, step=0.02)
    first, *others = (made(maps, task, pair) for pair in made.pairs)
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=0)
    with torch.no_grad():
        made.stages[2][1].gamma[4].mul_(-1)
    changed = [not torch.equal(made(maps, task, pair), first) for pair in made.pairs]
    assert changed == [place == 4 for place in range(6)]


def test_width_and_depth_make_it_smaller() -> None:
    convolutions = [len(stage) for stage in network().stages]
    shallow = network(depth=0.5)
    assert convolutions == [2, 2, 3, 3, 3]
    assert sum(len(stage) for stage in shallow.stages) < sum(convolutions)
    assert shallow(torch.rand(1, 1, *SIZE), "depth", ("depth", "normals")).shape == (1, FEATURES, 1, 3)


def test_sides_are_rounded_up() -> None:
    assert network()(torch.rand(1, 1, 33, 70), "depth", ("normals", "depth")).shape == (1, FEATURES, 2, 3)


def alike() -> tuple[CrossTaskConsistency, Maps, Maps, Tensor]:
    """A semantic prediction and a normals target that are the same maps, through the same input layer."""
    made = network({"semantic": 3, "normals": 3})
    made.inputs["normals"].load_state_dict(made.inputs["semantic"].state_dict())
    labels = (waves(1, *SIZE, step=0.011) * 3).long().abs() % 3
    ones = F.one_hot(labels, 3).movedim(-1, 1).float()
    predictions = {"semantic": 200 * ones, "normals": ones}
    targets = {"semantic": labels, "normals": 2 * ones - 1}
    maps = made(ones, "semantic", ("semantic", "normals"))
    return CrossTaskConsistency(made, regularisation=0.0), predictions, targets, maps


def test_maps_that_are_alike_cost_nothing() -> None:
    loss, predictions, targets, features = alike()
    one_pair = torch.tensor([[False, True]])  # semantic -> normals alone
    assert loss(predictions, targets, features, one_pair).item() == pytest.approx(0, abs=1e-5)
    shifted = predictions | {"semantic": predictions["semantic"].roll(1, 1)}  # other classes
    assert loss(shifted, targets, features, one_pair).item() > 0.01


@pytest.mark.parametrize("sign, apart", [(1, 0), (-1, 2)])
def test_regularisation_is_the_distance_to_the_features(sign: int, apart: int) -> None:
    loss, predictions, targets, features = alike()
    loss.regularisation = 0.5
    assert (features.detach().norm(dim=1) > 0).all()
    found = loss(predictions, targets, sign * features, torch.tensor([[False, True]]))
    assert found.item() == pytest.approx(2.0 * 0.5 * (apart + apart), abs=1e-5)


def test_gradient_reaches_predictions_and_not_the_features() -> None:
    loss = CrossTaskConsistency(network())
    predictions, targets, features = batch()
    predictions["semantic"] = predictions["semantic"] / 100  # uncertain: else its relaxation has no gradient
    for value in (*predictions.values(), features):
        value.requires_grad_()
    loss(predictions, targets, features, generator=seeded()).backward()
    assert features.grad is None
    for name, value in (*predictions.items(), *loss.named_parameters()):
        assert value.grad is not None and value.grad.isfinite().all(), name
        # A bias before a normalisation has no effect, hence none.
        assert value.grad.abs().sum() > 0 or "convolution.bias" in name or ".0.bias" in name, name


@pytest.mark.parametrize("missing", TASKS)
def test_a_task_without_label_is_no_target_and_one_with_label_no_source(missing: str) -> None:
    loss = CrossTaskConsistency(network())
    predictions, targets, features = batch()
    predictions["semantic"] = predictions["semantic"] / 100
    for value in predictions.values():
        value.requires_grad_()
    available = torch.tensor([[task != missing for task in TASKS]] * 2)
    first = loss(predictions, targets, features, available, seeded())
    unknown = torch.full_like(targets[missing], 255 if missing == "semantic" else 0)
    second = loss(predictions, targets | {missing: unknown}, features, available, seeded())
    assert first.item() > 0 and torch.equal(first, second)
    first.backward()
    assert {task for task in TASKS if predictions[task].grad is not None} == {missing}


@pytest.mark.parametrize("there", [True, False])
def test_partial_labels_without_a_pair_cost_nothing(there: bool) -> None:
    found = CrossTaskConsistency(network())(*batch(), torch.full((2, 3), there))
    assert found.shape == () and found.item() == 0


@pytest.mark.parametrize("setting", ["full", "random"])
def test_is_the_mean_over_images_in_any_order(setting: str) -> None:
    loss = CrossTaskConsistency(network())
    predictions, targets, features = batch(3)
    rows = None if setting == "full" else torch.tensor([*AVAILABLE["random"], [False, False, True]])

    def of(images: list[int]) -> float:
        chosen = [{task: value[images] for task, value in maps.items()} for maps in (predictions, targets)]
        with torch.no_grad():
            return loss(*chosen, features[images], None if rows is None else rows[images]).item()

    alone = [of([image]) for image in range(3)]
    assert len({round(value, 3) for value in alone}) == 3
    for order in ([0, 1, 2], [2, 0, 1]):
        assert of(order) == pytest.approx(sum(alone) / 3, abs=1e-5)


def test_evaluation_mode_changes_nothing() -> None:
    loss = CrossTaskConsistency(network())
    first = loss(*batch(), generator=seeded())
    assert torch.equal(loss.eval()(*batch(), generator=seeded()), first)


def test_random_numbers_are_the_generators() -> None:
    loss = CrossTaskConsistency(network())
    predictions, targets, features = batch()
    predictions["semantic"] = predictions["semantic"] / 100
    before = torch.random.get_rng_state()
    first, again, other = (loss(predictions, targets, features, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.manual_seed(1)  # without a generator, torch's own
    assert torch.equal(loss(predictions, targets, features), first)


def test_classes_are_drawn_as_torch_draws_them() -> None:
    logits = (2 * waves(2, K, *SIZE, step=0.013)).requires_grad_()
    ours = drawn(logits, seeded(3))
    torch.manual_seed(3)
    theirs = F.gumbel_softmax(logits, tau=1, hard=True, dim=1)
    torch.testing.assert_close(ours, theirs)
    weights = waves(2, K, *SIZE, step=0.5)
    gradients = (torch.autograd.grad((maps * weights).sum(), logits)[0] for maps in (ours, theirs))
    torch.testing.assert_close(*gradients)


def test_predictions_and_features_may_have_another_size() -> None:
    loss = CrossTaskConsistency(network())
    predictions, targets, features = batch()
    small = {task: F.avg_pool2d(value, 4) for task, value in predictions.items()}
    large = {
        task: F.interpolate(value, size=SIZE, mode="bilinear", align_corners=False)
        for task, value in small.items()
    }
    fine = F.interpolate(features, scale_factor=4, mode="nearest")
    first, *others = (
        loss(predictions, targets, maps, generator=seeded()).detach()
        for predictions, maps in ((large, features), (small, features), (large, fine))
    )
    for other in others:
        torch.testing.assert_close(other, first)


def test_maps_are_those_of_the_published_code() -> None:
    depth = load("depth").consistency_target(torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]]), 1)
    assert depth.flatten().tolist() == [1.0, 0.0, 0.0, 0.0]
    said = load("depth").consistency_prediction(torch.tensor([[[[2.0, 0.5]]], [[[8.0, 2.0]]]]))
    assert said.flatten().tolist() == [1.0, 0.25, 1.0, 0.25]  # of each image on its own
    normals = load("normals").consistency_prediction(torch.tensor([0.0, 0.0, -7.0]).view(1, 3, 1, 1))
    assert normals.flatten().tolist() == [0.5, 0.5, 0.0]
    labels = load("semantic").consistency_target(torch.tensor([[[1, 255]]]), 3)
    assert labels.tolist() == [[[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 0.0]]]]


@pytest.mark.parametrize(
    "channels, features, sentence",
    [
        ({"depth": 1}, 64, "two or more, not of depth"),
        ({"depth": 1, "normals": 0}, 64, "normals must be at least 1, not 0"),
        ({"semantic": 1, "depth": 1}, 64, "semantic must be at least 2, not 1"),
        (CHANNELS, 512, "its 64 channels at width 0.125 .* bottleneck, which has 512"),
    ],
    ids=["one task", "no channels", "one class", "other features"],
)
def test_what_makes_no_network(channels: dict[str, int], features: int, sentence: str) -> None:
    with pytest.raises(DejavuError, match=sentence):
        ConsistencyNetwork(channels, features, WIDTH)


def test_unknown_names() -> None:
    made = network()
    with pytest.raises(DejavuError, match="unknown task 'dept', did you mean 'depth'"):
        made(torch.rand(1, 1, *SIZE), "dept", ("depth", "normals"))
    with pytest.raises(DejavuError, match="unknown pair of tasks 'depth-depth'"):
        made(torch.rand(1, 1, *SIZE), "depth", ("depth", "depth"))
    with pytest.raises(DejavuError, match="unknown task 'edges'"):
        CrossTaskConsistency(network({"depth": 1, "edges": 1}))


@pytest.mark.parametrize("name", ["weight", "regularisation"])
def test_weights_are_not_negative(name: str) -> None:
    with pytest.raises(DejavuError, match=f"consistency.{name} must be at least 0, not -1"):
        CrossTaskConsistency(network(), **{name: -1.0})


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            lambda p, t, f: (p | {"depth": p["normals"]}, t, f, None),
            r"must be \(N, 1, h, w\) for the task depth",
        ),
        (lambda p, t, f: ({"depth": p["depth"]}, t, f, None), "must have semantic and depth and normals"),
        (lambda p, t, f: (p, {"depth": t["depth"]}, f, None), "needs the target of semantic"),
        (lambda p, t, f: (p, t | {"depth": t["depth"][:1]}, f, None), r"depth must be \(2, 32, 96\)"),
        (lambda p, t, f: (p, t, f[:, :9], None), r"features \(N, 64, h, w\), not \(2, 9, 1, 3\)"),
        (lambda p, t, f: (p, t, f, torch.ones(2, 2).bool()), r"available must be \(2, 3\) booleans"),
        (lambda p, t, f: (p, t, f, torch.ones(2, 3)), "not .* of torch.float32"),
    ],
    ids=["channels", "prediction", "target", "shape", "features", "tasks", "type"],
)
def test_what_does_not_fit(change, sentence: str) -> None:
    with pytest.raises(DejavuError, match=sentence):
        CrossTaskConsistency(network())(*change(*batch()))
