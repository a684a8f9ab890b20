"""The recipes' losses, against numpy, scipy, torch's own and analytic cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional as F

from dejavu.config import Ohem, Recipe, Rmi
from dejavu.errors import DejavuError
from dejavu.method.cycle import CyclicConsistency
from dejavu.method.wrapper import DejaVu
from dejavu.tasks import load
from dejavu.training.losses import Criterion, check_auxiliary
from dejavu.training.losses.ohem import ohem_loss
from dejavu.training.losses.rmi import DIAGONAL, binary_cross_entropy, region_loss, rmi_loss

K = 5
WEIGHTS = (0.5, 1.0, 2.0, 0.8, 1.1)
CATEGORIES = ("flat", "flat", "vehicle", "nature", "vehicle")
OPTIMIZER = {"name": "sgd", "lr": 0.1}
AUXILIARY = {"early": 0.4, "late": 1.0}


def recipe(**options: object) -> Recipe:
    fixed = {"epochs": 1, "batch_size": 2, "crop": (16, 20), "schedule": {"name": "poly"}}
    return Recipe.model_validate(fixed | {"optimizer": OPTIMIZER} | options)


def criterion(categories: tuple[str, ...] | None = None, task: str = "semantic", **options) -> Criterion:
    return Criterion(recipe(**options), task, K, 255, categories)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(size: tuple[int, int] = (16, 20)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    unknown = torch.rand(2, *size, generator=generator) < 0.3
    return torch.randint(K, (2, *size), generator=generator).masked_fill(unknown, 255)


def outputs(dtype: torch.dtype = torch.float32) -> dict:
    """What a network in training mode returns, at other sizes than the labels'."""
    parts = [random(2, K, 4, 5, seed=seed).to(dtype).requires_grad_() for seed in (1, 2)]
    main = random(2, K, 8, 10).to(dtype).requires_grad_()
    return {"out": main, "auxiliary": dict(zip(AUXILIARY, parts, strict=True))}


def leaves(prediction: dict) -> list[Tensor]:
    return [prediction["out"], *prediction["auxiliary"].values()]


def combinations() -> Iterator[dict]:
    """Every combination of options that a recipe may have."""
    main = (
        {},
        {"class_weights": WEIGHTS},
        {"ohem": Ohem(min_kept=7)},
        {"ohem": Ohem(threshold=0.1), "class_weights": WEIGHTS},
        {"rmi": Rmi()},
        {"rmi": Rmi(weight=0.2, radius=2, pool=1)},
    )
    for options, coarse, align in itertools.product(main, ((), ("early",)), (False, True)):
        yield {**options, "auxiliary": AUXILIARY, "coarse": coarse, "align_corners": align}


every_combination = pytest.mark.parametrize(
    "options",
    list(combinations()),
    ids=lambda options: "-".join(key for key, value in options.items() if value),
)


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As in training: an operation that could differ from call to call is an error."""
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


@every_combination
@pytest.mark.parametrize("categories", [None, CATEGORIES], ids=["classes", "categories"])
def test_nothing_to_learn_costs_nothing(options: dict, categories: tuple[str, ...] | None) -> None:
    prediction = outputs()
    loss = criterion(categories, **options)(prediction, torch.full((2, 16, 20), 255))
    loss.backward()
    assert loss == 0
    assert all(not leaf.grad.any() for leaf in leaves(prediction))


@every_combination
def test_what_is_ignored_changes_nothing(options: dict) -> None:
    """Every loss is repeatable, has finite gradients, and none where pixels are ignored."""
    truth = labels()
    truth[:, :8] = 255
    results = []
    for other in (0, 0, 3):
        prediction = {
            "out": random(2, K, 16, 20),
            "auxiliary": {name: random(2, K, 16, 20, seed=5) for name in AUXILIARY},
        }
        for leaf in leaves(prediction):
            leaf[:, :, :8] += other * random(2, K, 8, 20, seed=9)
            leaf.requires_grad_()
        loss = criterion(CATEGORIES, **options)(prediction, truth)
        loss.backward()
        gradients = [leaf.grad for leaf in leaves(prediction)]
        assert all(gradient.isfinite().all() and gradient[:, :, 8:].any() for gradient in gradients)
        assert all(not gradient[:, :, :8].any() for gradient in gradients)
        results.append([loss.detach(), *gradients])
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[2], strict=True))


@every_combination
def test_deterministic_and_exact_to_the_precision(options: dict, deterministic: None) -> None:
    """float32 agrees with double, bfloat16 logits are upsampled and compared in float32."""
    values = {}
    for dtype in (torch.float32, torch.float64):
        prediction = outputs(dtype)
        loss = criterion(CATEGORIES, **options)(prediction, labels())
        loss.backward()
        values[dtype] = [loss.detach().float(), *(leaf.grad.float() for leaf in leaves(prediction))]
    for single, double in zip(values[torch.float32], values[torch.float64], strict=True):
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-6)
    coarse = outputs(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        under = criterion(CATEGORIES, **options)(coarse, labels())
    rounded = {
        "out": coarse["out"].float(),
        "auxiliary": {k: v.float() for k, v in coarse["auxiliary"].items()},
    }
    assert under.dtype == torch.float32
    assert torch.equal(under, criterion(CATEGORIES, **options)(rounded, labels()))


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_main_loss_is_torchs_cross_entropy(weights: tuple[float, ...] | None, align: bool) -> None:
    maps = random(2, K, 8, 10)
    full = F.interpolate(maps, (16, 20), mode="bilinear", align_corners=align)
    weight = None if weights is None else torch.tensor(weights)
    expected = F.cross_entropy(full, labels(), weight=weight, ignore_index=255)
    module = criterion(class_weights=weights, align_corners=align)
    for form in (maps, {"out": maps}):
        torch.testing.assert_close(module(form, labels()), expected)


@pytest.mark.parametrize("task", ["semantic", "depth", "normals"])
def test_without_options_it_is_the_tasks_loss_to_the_bit(task: str) -> None:
    """Committed results depend on it."""
    target = {"semantic": labels(), "depth": random(2, 16, 20).abs(), "normals": random(2, 3, 16, 20)}[task]
    maps = random(2, {"semantic": K, "depth": 1, "normals": 3}[task], 8, 10)
    assert torch.equal(criterion(task=task)(maps, target), load(task).loss(maps, target))


def test_auxiliary_losses_are_added_by_their_weights() -> None:
    prediction, truth = outputs(), labels()
    parts = [
        F.cross_entropy(F.interpolate(leaf, (16, 20), mode="bilinear"), truth, ignore_index=255)
        for leaf in leaves(prediction)
    ]
    for options in (
        {},
        {"ohem": Ohem(threshold=1.0)},
    ):  # all pixels are hard, and of auxiliary outputs anyway
        torch.testing.assert_close(
            criterion(auxiliary=AUXILIARY, **options)(prediction, truth),
            parts[0] + 0.4 * parts[1] + 1.0 * parts[2],
        )
    assert criterion(auxiliary={"early": 0.0, "late": 0.0})(prediction, truth) == parts[0]


def test_auxiliary_outputs_of_depth_are_compared_as_depth() -> None:
    depth, maps = 1 + random(2, 16, 20).abs(), random(2, 1, 8, 10)
    loss = criterion(task="depth", auxiliary={"early": 0.5})(
        {"out": maps, "auxiliary": {"early": maps}}, depth
    )
    torch.testing.assert_close(loss, 1.5 * load("depth").loss(maps, depth))


def test_auxiliary_outputs_beside_rmi_have_binary_cross_entropy() -> None:
    prediction, truth = outputs(), labels()
    early, late = (
        F.interpolate(part, (16, 20), mode="bilinear") for part in prediction["auxiliary"].values()
    )
    expected = criterion(rmi=Rmi())(prediction["out"], truth)
    expected = expected + 0.4 * binary_cross_entropy(early, truth) + binary_cross_entropy(late, truth)
    torch.testing.assert_close(criterion(rmi=Rmi(), auxiliary=AUXILIARY)(prediction, truth), expected)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("min_kept", [1, 30, 10**6])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_hard_pixels_against_a_loop(threshold: float, min_kept: int, weights) -> None:
    logits, truth = random(2, K, 6, 7), labels((6, 7))
    probabilities = softmax(logits.double().numpy(), axis=1)
    pixels = []
    for n, y, x in np.ndindex(2, 6, 7):
        if (label := int(truth[n, y, x])) != 255:
            own = probabilities[n, label, y, x]
            pixels.append((own, -math.log(own) * (1 if weights is None else weights[label])))
    pixels.sort()
    kept = [loss for place, (own, loss) in enumerate(pixels) if own < threshold or place < min_kept]
    weight = None if weights is None else torch.tensor(weights)
    ours = ohem_loss(logits, truth, threshold, min_kept, 255, weight).item()
    assert ours == pytest.approx(np.mean(kept), rel=1e-5)


def test_as_hard_pixels_are_all_kept() -> None:
    """A network that knows nothing finds all as hard: none is left out, as the published code would."""
    flat = torch.zeros(2, K, 6, 7)
    assert ohem_loss(flat, labels((6, 7)), 0.0, 3).item() == pytest.approx(math.log(K))


def fields(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Jointly Gaussian labels and probabilities, correlated with each other and with their neighbours."""
    shared, first, second = (random(2, 3, 40, 50, seed=seed + part).double() for part in range(3))
    smooth = F.avg_pool2d(shared, 3, 1, 1)
    return smooth + 0.1 * first, 0.7 * smooth + 0.2 * second


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_regions_of_gaussians_have_their_conditional_entropy(radius: int) -> None:
    """By the chain rule, from numpy's covariance of both together: H(Y | P) = H(Y, P) - H(P)."""
    truth, known = fields()
    expected = []
    for image, channel in np.ndindex(2, 3):
        windows = [
            np.lib.stride_tricks.sliding_window_view(maps[image, channel].numpy(), (radius, radius))
            for maps in (truth, known)
        ]
        points = np.concatenate([window.reshape(-1, radius**2) for window in windows], 1)
        joint = np.cov(points.T, ddof=0) * len(points) + DIAGONAL * np.eye(2 * radius**2)
        inner = joint[radius**2 :, radius**2 :]
        entropy = 0.5 * (np.linalg.slogdet(joint)[1] - np.linalg.slogdet(inner)[1])
        expected.append(entropy / radius**2 - 0.5 * math.log(DIAGONAL))
    ours = region_loss(truth, known, radius, pool=1).item()
    assert ours == pytest.approx(3 * np.mean(expected), rel=1e-9)


def test_noise_of_known_size_costs_the_logarithm_of_its_size() -> None:
    """Labels = probabilities + noise: 0.5 log(variance of the noise) per class, up to the sample's error."""
    known = random(1, 1, 200, 200).double()
    noise = random(1, 1, 200, 200, seed=1).double()
    costs = [region_loss(known + size * noise, known, 3, pool=1).item() for size in (0.1, 1.0)]
    points = 198**2
    expected = [0.5 * math.log(size**2 * points / DIAGONAL) for size in (0.1, 1.0)]
    assert costs == [pytest.approx(value, abs=0.02) for value in expected]


def test_pooling_averages_first() -> None:
    truth, known = fields()
    pooled = [F.avg_pool2d(maps, 4, 4, padding=2) for maps in (truth, known)]
    assert torch.equal(region_loss(truth, known, 2, pool=4), region_loss(*pooled, 2, pool=1))


def test_better_predictions_cost_less() -> None:
    truth = labels((32, 40))
    blocks = truth[:, ::8, ::8].repeat_interleave(8, 1).repeat_interleave(8, 2)  # regions, not noise
    logits = 20 * (F.one_hot(blocks.where(blocks != 255, 0), K).permute(0, 3, 1, 2).float() - 0.5)
    shuffled = logits[:, torch.tensor([1, 2, 3, 4, 0])]
    perfect, blurred, wrong = (
        rmi_loss(maps, blocks, 1.0).item() for maps in (logits, F.avg_pool2d(logits, 5, 1, 2), shuffled)
    )
    assert perfect < blurred < wrong
    assert 0 < perfect <= 0.5 * K * math.log(2)  # the two numbers on the diagonal leave as much


def test_rmi_is_shared_with_binary_cross_entropy() -> None:
    logits, truth = random(2, K, 16, 20), labels()
    known = truth != 255
    hot = F.one_hot(truth.where(known, 0), K)[known].float()
    by_pixel = F.binary_cross_entropy_with_logits(logits.permute(0, 2, 3, 1)[known], hot) * K
    torch.testing.assert_close(rmi_loss(logits, truth, 0.0), by_pixel)
    regions = rmi_loss(logits, truth, 1.0)
    torch.testing.assert_close(rmi_loss(logits, truth, 0.3), 0.3 * regions + 0.7 * by_pixel)


@pytest.mark.parametrize("pool", [1, 2])
def test_gradient_of_rmi(pool: int, deterministic: None) -> None:
    logits = random(1, 2, 7, 8).double().requires_grad_()
    truth = torch.randint(2, (1, 7, 8), generator=torch.Generator().manual_seed(3))
    truth[0, 0] = 255
    assert torch.autograd.gradcheck(lambda maps: rmi_loss(maps, truth, 0.5, 2, pool), logits)


def test_what_is_not_finite_stays_so() -> None:
    """The training stops for it, with a sentence; an exception of Cholesky's would say less."""
    assert rmi_loss(torch.full((1, K, 16, 20), math.nan), labels()[:1]).isnan()


def test_images_smaller_than_a_region_are_said() -> None:
    with pytest.raises(DejavuError, match=r"images of 4 x 64 are 2 x 17 after pooling by 4"):
        rmi_loss(random(1, K, 4, 64), labels((4, 64))[:1])


def test_coarse_outputs_learn_the_sum_over_a_categorys_classes() -> None:
    prediction, truth = outputs(), labels()
    full = F.interpolate(prediction["auxiliary"]["early"], (16, 20), mode="bilinear").detach().double()
    probabilities = softmax(full.numpy(), axis=1)
    own = [
        -math.log(sum(probabilities[n, k, y, x] for k in range(K) if CATEGORIES[k] == CATEGORIES[label]))
        for (n, y, x), label in np.ndenumerate(truth.numpy())
        if label != 255
    ]
    with_, without = (
        criterion(
            CATEGORIES, auxiliary={"early": weight, "late": 0.0}, coarse=("early",), class_weights=WEIGHTS
        )
        for weight in (1.0, 0.0)
    )
    ours = with_(prediction, truth) - without(prediction, truth)
    assert ours.item() == pytest.approx(np.mean(own), rel=1e-5)


def test_without_categories_coarse_outputs_learn_classes() -> None:
    prediction, truth = outputs(), labels()
    plain = criterion(CATEGORIES, auxiliary=AUXILIARY)(prediction, truth)
    assert torch.equal(criterion(auxiliary=AUXILIARY, coarse=("early",))(prediction, truth), plain)
    assert criterion(CATEGORIES, auxiliary=AUXILIARY, coarse=("early",))(prediction, truth) < plain


def test_auxiliary_outputs_may_be_missing_in_evaluation_only() -> None:
    module, prediction, truth = criterion(auxiliary=AUXILIARY), outputs(), labels()
    with pytest.raises(DejavuError, match="this prediction has no auxiliary output 'early'"):
        module(prediction["out"], truth)
    with pytest.raises(DejavuError, match="this prediction has no auxiliary output 'late'"):
        module({**prediction, "auxiliary": {"early": prediction["out"]}}, truth)
    more = {**prediction["auxiliary"], "more": prediction["out"]}
    with pytest.raises(DejavuError, match="auxiliary output 'more' of this prediction has no weight"):
        module({**prediction, "auxiliary": more}, truth)
    main = criterion()(prediction["out"], truth)
    assert module.main(prediction["out"], truth) == main == module.eval()(prediction["out"], truth)
    assert module(prediction, truth) > main  # where they are, they count


class Network(nn.Module):
    """Two auxiliary outputs in training mode."""

    stride = 1
    auxiliary_outputs = tuple(AUXILIARY)

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, K, 1)

    def forward(self, images: Tensor) -> Tensor | dict:
        out = self.head(images)
        return {"out": out, "auxiliary": dict.fromkeys(AUXILIARY, out)} if self.training else out


class Own(Network):
    """And a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.criterion = nn.Flatten()  # a module, as some losses are
        self.criterion.forward = lambda prediction, labels, ignore: (  # type: ignore[method-assign]
            prediction["out"].mean() * 0 + (labels != ignore).sum()
        )


def test_networks_and_recipes_must_agree() -> None:
    check_auxiliary(Network(), recipe(auxiliary=AUXILIARY))
    check_auxiliary(nn.Conv2d(3, K, 1), recipe())
    with pytest.raises(DejavuError, match="Network has no auxiliary output 'earl', did you mean 'early'"):
        check_auxiliary(Network(), recipe(auxiliary={**AUXILIARY, "earl": 1.0}))
    with pytest.raises(DejavuError, match="'late' of Network has no weight"):
        Criterion(recipe(auxiliary={"early": 1.0}), "semantic", K, network=Network())


def test_a_networks_own_loss_is_used_instead() -> None:
    network, truth = Own(), labels()
    module = Criterion(recipe(), "semantic", K, 255, network=network)
    images = random(2, 3, 16, 20)
    assert module(network(images), truth) == (truth != 255).sum()
    assert not list(module.parameters()) and not list(module.children())  # it is the network's, not ours
    assert module.eval()(network.eval()(images), truth) == criterion()(network(images), truth)


@pytest.mark.parametrize(
    "options",
    [{"ohem": Ohem()}, {"rmi": Rmi()}, {"class_weights": WEIGHTS}, {"auxiliary": AUXILIARY}],
    ids=["ohem", "rmi", "class_weights", "auxiliary"],
)
def test_a_networks_own_loss_leaves_no_room_for_options(options: dict) -> None:
    with pytest.raises(DejavuError, match=rf"recipe\.{next(iter(options))} is set, but Own has a loss"):
        check_auxiliary(Own(), recipe(**options))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("depth", {"class_weights": WEIGHTS}, r"recipe\.class_weights is for segmentation"),
        ("normals", {"rmi": Rmi()}, r"recipe\.rmi is for segmentation"),
        ("semantic", {"class_weights": (1.0, 2.0)}, r"class_weights has 2 values for a dataset of 5 classes"),
    ],
    ids=["depth", "normals", "count"],
)
def test_options_without_effect_are_refused(task: str, options: dict, message: str) -> None:
    with pytest.raises(DejavuError, match=message):
        criterion(task=task, **options)


def test_categories_must_be_one_a_class() -> None:
    with pytest.raises(DejavuError, match="categories has 2 names for a dataset of 5 classes"):
        criterion(("a", "b"), auxiliary=AUXILIARY, coarse=("early",))


def test_it_adds_nothing_to_checkpoints() -> None:
    options = {"class_weights": WEIGHTS, "auxiliary": AUXILIARY, "coarse": ("early",)}
    module = criterion(CATEGORIES, **options)
    assert not module.state_dict() and not list(module.parameters())
    assert {name for name, _ in module.named_buffers()} == {
        "class_weights",
        "categories.of_class",
    }  # they move


@pytest.mark.parametrize("options", [{}, {"ohem": Ohem()}, {"rmi": Rmi()}], ids=["plain", "ohem", "rmi"])
def test_the_cycle_of_dejavu_asks_for_the_main_loss(options: dict) -> None:
    """DejaVu-CL hands over a tensor without auxiliary outputs, in training mode too."""
    network, truth = Network(), labels()
    module = Criterion(recipe(auxiliary=AUXILIARY, **options), "semantic", K, 255, network=network)
    cycle = CyclicConsistency(weight=2.0)
    model = DejaVu(network, num_classes=K, stride=4, gamma=0.0, cycle=cycle, criterion=module.main)
    images = random(2, 3, 16, 20)
    prediction = model(images)
    generator = torch.Generator()
    loss = model.regeneration_loss(images, prediction, generator.manual_seed(0), labels=truth)
    _, seen = model.regenerate(images, prediction, generator.manual_seed(0))
    torch.testing.assert_close(loss, 2 * module.main(network.eval()(seen), truth))
    module(prediction, truth).backward()
