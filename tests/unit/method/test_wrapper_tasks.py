"""The wrapper with all of it: every task, redactions, text, cycle, perceptual term, attention."""

from __future__ import annotations

import pytest
import scipy.fft
import torch
from torch import nn
from torch.nn import functional as F

from dejavu import CyclicConsistency, DejaVu, Perceptual, TextSupervision, networks
from dejavu.errors import DejavuError
from dejavu.method import redaction
from dejavu.method.loss import dejavu_loss
from dejavu.tasks.predictions import TASKS

K = 4
CLASSES = ["road", "car", "tree", "sky"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Heads(nn.Module):
    """One trunk, a head for each task; one task's prediction is returned plainly, several as a mapping."""

    stride = 4

    def __init__(self, *tasks: str) -> None:
        super().__init__()
        sizes = {"semantic": K, "depth": 1, "normals": 3, "panoptic": 5}
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.heads = nn.ModuleDict({task: nn.Conv2d(8, sizes[task], 1) for task in tasks})
        self.classes = nn.Linear(8, 5 * (K + 1)) if "panoptic" in tasks else None

    def forward(self, images: torch.Tensor):
        features = self.trunk(images)
        found = {task: head(features) for task, head in self.heads.items()}
        if self.classes is not None:
            found["panoptic"] = (self.classes(features.mean((2, 3))).view(-1, 5, K + 1), found["panoptic"])
        return found if len(found) > 1 else next(iter(found.values()))


def wrap(*tasks: str, **options) -> DejaVu:
    torch.manual_seed(0)
    return DejaVu(Heads(*tasks), task=list(tasks), num_classes=K, **options)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 64, generator=seeded(5))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(K, (2, 32, 64), generator=seeded(6))


def criterion(prediction: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.interpolate(prediction, labels.shape[-2:], mode="bilinear"), labels)


def untouched(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@pytest.mark.parametrize("tasks", [*((task,) for task in TASKS), ("semantic", "depth", "normals"), TASKS])
@pytest.mark.parametrize("condition", ["probabilities", "logits"])
def test_gradient_reaches_every_head(tasks: tuple[str, ...], condition: str, images: torch.Tensor) -> None:
    model = wrap(*tasks, condition=condition)
    model.regeneration_loss(images, model(images), seeded()).backward()
    cancelled = {"trunk.0.bias"}  # by the BatchNorm behind it
    assert set(untouched(model)) - {f"network.{name}" for name in cancelled} == set()


def test_one_task_may_be_named_without_a_list(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = DejaVu(Heads("depth"), task="depth")
    listed = wrap("depth")
    prediction = model(images)
    losses = [m.regeneration_loss(images, prediction, seeded()) for m in (model, listed)]
    assert torch.equal(*losses)


def test_several_redactions_are_the_mean_of_each(images: torch.Tensor) -> None:
    names = ["random_blocks", "low_pass"]
    both = wrap("semantic", redaction=names).eval()
    prediction = both(images)
    generator = seeded()
    each = [
        0.3 * dejavu_loss(both.regenerator(redact(images, generator).images, prediction.softmax(1)), images)
        for redact in map(redaction.build, names)
    ]
    torch.testing.assert_close(both.regeneration_loss(images, prediction, seeded()), sum(each) / 2)


@pytest.mark.parametrize("name", redaction.names())
@pytest.mark.parametrize("kind", ["l1", "mse"])
def test_redacted_compares_what_was_removed_only(name: str, kind: str, images: torch.Tensor) -> None:
    """An error in what was kept costs nothing; one in what was removed costs its own."""
    redact = redaction.build(name)
    mask = redact(images, seeded()).mask
    error = torch.randn(images.shape, generator=seeded(3))
    inside = redact.part(error, mask)
    spectral = isinstance(redact, redaction.SpectralRedaction)
    share = None if spectral else mask.float().mean()
    kept = dejavu_loss([images + error - inside], images, kind, mask, redact.part, share)
    removed = dejavu_loss([images + error], images, kind, mask, redact.part, share)
    if not spectral:  # the mean over removed pixels
        where = mask.expand_as(error)
        expected = (error[where].abs() if kind == "l1" else error[where].square()).mean()
    elif kind == "mse":  # Parseval: the energy of the removed coefficients, over all of them
        coefficients = torch.tensor(scipy.fft.dctn(error.numpy(), axes=(2, 3), norm="ortho"))
        expected = (coefficients.square() * mask).mean()
    else:
        expected = inside.abs().mean()
    assert kept < 1e-4 * removed
    torch.testing.assert_close(removed, expected, rtol=1e-4, atol=1e-6)


def test_perceptual_term_stands_beside_the_distance(images: torch.Tensor) -> None:
    perceptual = Perceptual(width=0.125, weight=0.5)
    plain, model = wrap("semantic").eval(), wrap("semantic", perceptual=perceptual).eval()
    prediction = model(images)
    _, regenerated = model.regenerate(images, prediction, seeded())
    expected = plain.regeneration_loss(images, prediction, seeded()) + 0.3 * perceptual(regenerated, images)
    torch.testing.assert_close(model.regeneration_loss(images, prediction, seeded()), expected)


def test_text_supervision_reads_the_labels_or_captions(images: torch.Tensor, labels: torch.Tensor) -> None:
    text = TextSupervision(width=0.0625, classes=CLASSES, weight=0.5)
    plain, model = wrap("semantic").eval(), wrap("semantic", text=text).eval()
    prediction = model(images)
    _, regenerated = model.regenerate(images, prediction, seeded())
    base = plain.regeneration_loss(images, prediction, seeded())
    captions = ["a road with cars", "trees"]
    for given, texts in (({"labels": labels}, text.prompts(labels)), ({"captions": captions}, captions)):
        loss = model.regeneration_loss(images, prediction, seeded(), **given)
        torch.testing.assert_close(loss, base + text(regenerated, texts))
    with pytest.raises(DejavuError, match="captions must be a list of strings"):  # not letter by letter
        model.regeneration_loss(images, prediction, seeded(), captions="ab")
    with pytest.raises(DejavuError, match="needs captions, or labels"):
        model.regeneration_loss(images, prediction, seeded())


def test_cycle_asks_the_network_again(images: torch.Tensor, labels: torch.Tensor) -> None:
    cycle = CyclicConsistency(weight=0.5)
    plain = wrap("semantic").eval()
    model = wrap("semantic", cycle=cycle, criterion=criterion).eval()
    prediction = model(images)
    _, regenerated = model.regenerate(images, prediction, seeded())
    expected = plain.regeneration_loss(images, prediction, seeded())
    expected = expected + 0.5 * criterion(model(regenerated), labels)
    torch.testing.assert_close(model.regeneration_loss(images, prediction, seeded(), labels=labels), expected)


@pytest.mark.parametrize("gradient", ["both", "regenerator", "network"])
def test_cycle_reaches_whom_it_should(gradient: str, images: torch.Tensor, labels: torch.Tensor) -> None:
    """With gamma 0 only the cycle's gradient is left."""
    cycle = CyclicConsistency(gradient=gradient)
    model = wrap("semantic", gamma=0.0, cycle=cycle, criterion=criterion)
    model.regeneration_loss(images, model(images), seeded(), labels=labels).backward()

    def reached(module: nn.Module) -> bool:
        return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())

    assert reached(model.network) == (gradient != "regenerator")
    assert reached(model.regenerator) == (gradient != "network")


def test_without_a_generator_the_global_random_state_rests(images: torch.Tensor) -> None:
    first, again = wrap("semantic"), wrap("semantic")
    prediction = first(images)
    state = torch.get_rng_state()
    losses = [model.regeneration_loss(images, prediction).item() for model in (first, again, first)]
    assert torch.equal(torch.get_rng_state(), state)
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (lambda x: x, r"must return \(images, mask\)"),
        (lambda x: (x, x), "mask must be bool"),
        (lambda x: (x[:1], x[:, :1] > 0), "keep the images' shape"),
    ],
)
def test_a_redaction_of_ones_own_is_checked(returned, expected: str, images: torch.Tensor) -> None:
    model = wrap("semantic", redaction=lambda x, generator: returned(x))
    with pytest.raises(DejavuError, match=expected):
        model.regeneration_loss(images, model(images))


def test_the_control_has_no_cycle() -> None:
    with pytest.raises(DejavuError, match="leave one out"):
        wrap("semantic", detach=True, cycle=CyclicConsistency())


def test_warmup_weighs_everything_that_is_added(images: torch.Tensor, labels: torch.Tensor) -> None:
    model = wrap(
        "semantic",
        warmup=0.5,
        cycle=CyclicConsistency(),
        criterion=criterion,
        text=TextSupervision(width=0.0625, classes=CLASSES),
        perceptual=Perceptual(width=0.125),
    ).eval()
    prediction = model(images)
    losses = [
        model.regeneration_loss(images, prediction, seeded(), progress, labels=labels).item()
        for progress in (0.0, 0.25, 0.5)
    ]
    assert losses[0] == 0 and losses[1] == pytest.approx(losses[2] / 2) and losses[2] > 0


def test_what_judges_is_neither_trained_nor_saved() -> None:
    judged = wrap(
        "semantic",
        text=TextSupervision(width=0.0625, classes=CLASSES),
        perceptual=Perceptual(width=0.125),
        cycle=CyclicConsistency(),
    )
    assert judged.state_dict().keys() == wrap("semantic").state_dict().keys()


def attended(**options) -> DejaVu:
    torch.manual_seed(0)
    network = networks.build("hrnet", K, width=0.25, attention=True)
    return DejaVu(network, num_classes=K, **options)


def test_shared_attention_regenerates_and_is_not_exported(images: torch.Tensor) -> None:
    model = attended()
    assert model.shared is not None and set(model.training_only) == {"regenerator", "shared"}
    assert not any("shared" in name for name in model.network.state_dict())
    model.regeneration_loss(images, model(images), seeded()).backward()
    attention = model.network.attention
    for part in (attention.query, attention.key, model.shared.value):
        assert part.weight.grad.abs().sum() > 0


def test_attention_that_is_not_shared_learns_from_the_prediction_alone(images: torch.Tensor) -> None:
    model = attended(share_attention=False)
    assert model.shared is None and set(model.training_only) == {"regenerator"}
    assert model.regenerator.condition_channels == K


def test_detached_attention_gives_the_network_nothing(images: torch.Tensor) -> None:
    model = attended(detach=True)
    model.regeneration_loss(images, model(images), seeded()).backward()
    assert all(p.grad is None for p in model.network.parameters())
    assert model.shared.value.weight.grad.abs().sum() > 0


def test_attention_is_missing_in_evaluation(images: torch.Tensor) -> None:
    model = attended().eval()
    with pytest.raises(DejavuError, match="in training mode"):
        model.regeneration_loss(images, model(images))
