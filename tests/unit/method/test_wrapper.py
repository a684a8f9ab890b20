"""The wrapper: what it promises of any base network, and what its loss does."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dejavu
from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.method import redaction, regeneration
from dejavu.method.wrapper import DejaVu
from dejavu.networks import cost
from dejavu.tasks.predictions import as_tensor

K = 6  # classes


def convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, K, 3, 2, 1))


def hrnet() -> nn.Module:
    return networks.build("hrnet", K, width=0.25)


def lraspp() -> nn.Module:
    """Returns {'out': logits} at full resolution."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=K)


def full_resolution() -> nn.Module:
    return nn.Conv2d(3, K, 3, padding=1)


BASES = {"convolution": convolution, "hrnet": hrnet, "lraspp": lraspp, "full_resolution": full_resolution}
every_base = pytest.mark.parametrize("base", BASES.values(), ids=BASES)
every_regenerator = pytest.mark.parametrize("regenerator", regeneration.names())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(base, **options: object) -> DejaVu:
    torch.manual_seed(0)
    return DejaVu(base(), num_classes=K, **options)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 64, generator=seeded(5))


def gradient(network: nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)


@every_base
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_prediction_is_the_base_networks_to_the_bit(base, training: bool, images: torch.Tensor) -> None:
    torch.manual_seed(0)
    plain = base().train(training)
    model = fresh(base).train(training)
    results = []
    for module in (plain, model):
        torch.manual_seed(1)  # dropout
        results.append(as_tensor(module(images)))
    assert torch.equal(*results)


@every_base
def test_weights_load_strictly_into_the_plain_network(base, images: torch.Tensor) -> None:
    model = fresh(base)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    prediction = model(images)
    (as_tensor(prediction).mean() + model.regeneration_loss(images, prediction)).backward()
    optimizer.step()
    plain = base()
    plain.load_state_dict(model.network.state_dict(), strict=True)
    assert any(not torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    assert torch.equal(*(as_tensor(m.eval()(images)) for m in (plain, model)))


@every_base
def test_inference_costs_what_the_base_network_costs(base) -> None:
    plain = cost.measure(base, (64, 64))
    wrapped = cost.measure(lambda: DejaVu(base(), num_classes=K), (64, 64))
    assert wrapped == plain and plain.gmacs > 0  # what is only trained is left out
    everything = sum(p.numel() for p in fresh(base).parameters()) / 1e6
    assert sum(p.numel() for p in fresh(base).network.parameters()) / 1e6 == plain.params_m < everything


@every_base
def test_wrapping_changes_neither_weights_nor_random_numbers(base) -> None:
    torch.manual_seed(0)
    plain = base()
    expected = torch.rand(3)
    torch.manual_seed(0)
    model = DejaVu(base(), num_classes=K, seed=4)
    assert torch.equal(torch.rand(3), expected)
    for one, other in zip(plain.state_dict().values(), model.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_regenerator_is_initialised_by_its_own_seed() -> None:
    def weights(seed: int, around: int) -> torch.Tensor:
        torch.manual_seed(around)
        return DejaVu(convolution(), num_classes=K, seed=seed).regenerator.layers[0].weight

    assert torch.equal(weights(1, around=0), weights(1, around=7))
    assert not torch.equal(weights(1, around=0), weights(2, around=0))


@every_base
@every_regenerator
@pytest.mark.parametrize("redact", redaction.names())
def test_gradient_reaches_network_and_regenerator(base, regenerator: str, redact: str, images) -> None:
    model = fresh(base, regenerator=regenerator, redaction=redact)
    model.regeneration_loss(images, model(images), seeded()).backward()
    assert gradient(model.network) > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.regenerator.parameters())


@every_base
def test_detached_control_is_the_baseline_to_the_bit(base, images: torch.Tensor) -> None:
    """Same computation, no gradient into the base network: it trains as if DejaVu were not there."""
    trained = []
    for detached in (True, False):
        model = fresh(base, detach=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        start = model.regenerator.layers[0].weight.detach().clone()
        for step in range(3):
            torch.manual_seed(step)
            prediction = model(images)
            loss = as_tensor(prediction).square().mean()
            if detached:
                loss = loss + model.regeneration_loss(images, prediction, seeded(step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert torch.equal(start, model.regenerator.layers[0].weight) != detached, "the CRM itself must learn"
        trained.append(model.network.state_dict())
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])


def test_detaching_changes_no_value(images: torch.Tensor) -> None:
    losses = []
    for detach in (True, False):
        model = fresh(convolution, detach=detach)
        losses.append(model.regeneration_loss(images, model(images), seeded()))
    assert torch.equal(*losses)


@pytest.mark.parametrize("loss", ["l1", "mse"])
@pytest.mark.parametrize("pixels", ["all", "redacted"])
@every_regenerator
def test_loss_is_the_papers_formula(regenerator: str, loss: str, pixels: str, images: torch.Tensor) -> None:
    """Worked out step by step: redact, regenerate, compare at every step, weigh."""
    model = fresh(convolution, regenerator=regenerator, loss=loss, pixels=pixels, gamma=0.7)
    logits = model(images)
    redacted, mask = model.redactions[0](images, seeded(3))
    steps = model.regenerator(redacted, logits.softmax(1))
    where = mask.expand_as(images) if pixels == "redacted" else torch.ones_like(images, dtype=torch.bool)
    power = 1 if loss == "l1" else 2
    distances = [(step - images)[where].abs().pow(power).mean() for step in steps]
    assert len(distances) == (3 if regenerator == "crm_r" else 1)
    expected = 0.7 * sum(distances) / len(distances)
    torch.testing.assert_close(model.regeneration_loss(images, logits, seeded(3)), expected)


@every_regenerator
def test_every_step_is_supervised(regenerator: str, images: torch.Tensor) -> None:
    """The gradient of the loss by each step's image is its share of the mean, so no step is skipped."""
    model = fresh(convolution, regenerator=regenerator, loss="mse", gamma=1.0)
    steps: list[torch.Tensor] = []
    model.regenerator.register_forward_hook(
        lambda module, inputs, outputs: [
            steps.append(o.detach().requires_grad_()) or steps[-1] for o in outputs
        ]
    )
    model.regeneration_loss(images, model(images)).backward()
    for step in steps:
        torch.testing.assert_close(step.grad, 2 * (step.detach() - images) / images.numel() / len(steps))


def test_gamma_weighs_and_warms_up(images: torch.Tensor) -> None:
    losses = {}
    for gamma in (0.0, 0.5, 1.0):
        model = fresh(convolution, gamma=gamma, warmup=0.4)
        logits = model(images)
        for progress in (0.0, 0.1, 0.4, 1.0):
            losses[gamma, progress] = model.regeneration_loss(images, logits, seeded(), progress).item()
    full = losses[1.0, 1.0]
    for (gamma, progress), loss in losses.items():
        assert loss == pytest.approx(full * gamma * min(1, progress / 0.4))


@pytest.mark.parametrize("size", [(32, 64), (16, 32), (8, 16), (2, 4), (1, 1), (5, 7), (30, 61)])
def test_predictions_of_any_size_will_do(size: tuple[int, int]) -> None:
    model = fresh(convolution)
    images = torch.randn(2, 3, 30, 61)
    logits = torch.randn(2, K, *size, requires_grad=True)
    model.regeneration_loss(images, logits).backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0


@pytest.mark.parametrize(("base", "stride"), [(convolution, 4), (full_resolution, 4), (hrnet, 4)])
def test_stride_is_the_networks_or_four(base, stride: int) -> None:
    assert fresh(base).regenerator.stride == stride
    assert fresh(base, stride=8).regenerator.stride == 8
    network = base()
    network.stride = 16
    assert DejaVu(network, num_classes=K).regenerator.stride == 16


def test_every_form_of_prediction_is_understood(images: torch.Tensor) -> None:
    model = fresh(convolution)
    logits = model(images)
    forms = [logits, {"out": logits, "aux": 0}, {"logits": logits}, SimpleNamespace(logits=logits)]
    assert len({model.regeneration_loss(images, form, seeded()).item() for form in forms}) == 1


def test_parts_may_be_names_mappings_or_objects(images: torch.Tensor) -> None:
    forms = [
        {"redaction": "random_blocks", "regenerator": "crm_f"},
        {"redaction": {"name": "random_blocks", "ratio": 0.5}, "regenerator": {"name": "crm_f", "width": 32}},
        {"redaction": redaction.RandomBlocks(), "regenerator": fresh(convolution).regenerator},
        {"redaction": lambda x, generator: tuple(redaction.RandomBlocks()(x, generator))},
    ]
    models = [fresh(convolution, **form) for form in forms]
    losses = {model.regeneration_loss(images, model(images), seeded()).item() for model in models}
    assert len(losses) == 1


def test_regenerate_shows_what_the_loss_compares(images: torch.Tensor) -> None:
    model = fresh(convolution, regenerator="crm_r", gamma=1.0).eval()
    with torch.no_grad():
        redacted, regenerated = model.regenerate(images, model(images), seeded(2))
    assert torch.equal(redacted, model.redactions[0](images, seeded(2)).images)
    assert regenerated.shape == images.shape


def test_mixed_precision_agrees_with_full(images: torch.Tensor) -> None:
    model = fresh(convolution, regenerator="crm_r")
    full = model.regeneration_loss(images, model(images), seeded())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.regeneration_loss(images, model(images), seeded())
    assert mixed.dtype == torch.float32 and mixed.item() == pytest.approx(full.item(), rel=0.02)


def test_a_plain_loop_learns() -> None:
    """The README's loop: both losses fall, and the regenerated image leans on the prediction."""
    generator = seeded(1)
    labels = torch.randint(K, (4, 8, 8), generator=generator)
    colours = torch.randn(K, 3, generator=generator)
    images = colours[labels].permute(0, 3, 1, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)

    model = fresh(convolution, gamma=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    history = []
    for _ in range(60):
        logits = model(images)
        task = F.cross_entropy(logits, labels)
        regeneration_loss = model.regeneration_loss(images, logits, generator)
        optimizer.zero_grad()
        (task + regeneration_loss).backward()
        optimizer.step()
        history.append((task.item(), regeneration_loss.item()))
    assert history[-1][0] < 0.3 * history[0][0] and history[-1][1] < 0.6 * history[0][1]

    with torch.no_grad():
        right = model.regeneration_loss(images, model(images), seeded()).item()
        misled = model.regeneration_loss(images, model(images).roll(1, dims=1), seeded()).item()
    assert misled > 1.5 * right


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda m, x: m.regeneration_loss(x.byte(), m(x)), "uint8"),
        (lambda m, x: m.regeneration_loss(x[0], m(x)), r"\(3, 32, 64\)"),
        (lambda m, x: m.regeneration_loss(x, m(x)[:, :4]), r"\(N, 6, h, w\).*\(2, 4, 8, 16\)"),
        (lambda m, x: m.regeneration_loss(x, m(x)[:1]), "prediction is of 1 images, but images are 2"),
        (lambda m, x: m.regeneration_loss(x, m(x).argmax(1)), r"\(2, 8, 16\)"),
        (lambda m, x: m.regeneration_loss(x, m(x) * torch.nan), "the network's prediction holds"),
        (lambda m, x: m.regeneration_loss(x * torch.inf, m(x)), "images hold"),
        (lambda m, x: m.regeneration_loss(x, {"aux": m(x)}), "keys aux"),
        (lambda m, x: m.regeneration_loss(x, (m(x),)), "tuple"),
        (lambda m, x: fresh(convolution, redaction="blocks"), "redaction"),
        (lambda m, x: fresh(convolution, redaction={"ratio": 0.5}), "redaction.name is missing"),
        (lambda m, x: fresh(convolution, redaction=3), "redaction must be"),
        (lambda m, x: fresh(convolution, regenerator=3), "regenerator must be"),
        (
            lambda m, x: fresh(convolution, regenerator=regeneration.ForwardCRM(K + 1, 4)),
            "the condition has 6",
        ),
        (lambda m, x: fresh(convolution, task="semantics"), "did you mean 'semantic'"),
        (lambda m, x: fresh(convolution, loss="l2"), "loss"),
        (lambda m, x: fresh(convolution, pixels="redact"), "did you mean 'redacted'"),
        (lambda m, x: fresh(convolution, condition="logit"), "did you mean 'logits'"),
        (lambda m, x: fresh(convolution, gamma=-1.0), "gamma"),
        (lambda m, x: fresh(convolution, warmup=1.5), "warmup"),
        (lambda m, x: fresh(convolution, gamma="0.3"), "gamma"),
        (lambda m, x: fresh(convolution, stride=0), "stride must be a whole number"),
        (lambda m, x: fresh(convolution, stride=2.5), "stride must be a whole number"),
        (lambda m, x: DejaVu(m.network, num_classes="19"), "num_classes must be a whole number"),
        (lambda m, x: DejaVu(None, num_classes=19), "network must be a torch module"),
        (lambda m, x: m.regeneration_loss(x.numpy(), m(x)), "images must be a tensor"),
        (lambda m, x: m.regeneration_loss(x[:, :1], m(x)), "images must have the 3 channels"),
        (lambda m, x: m.regeneration_loss(x, m(x).long()), "floating logits"),
        (lambda m, x: m.regeneration_loss(x, m(x).argmax(1)), "not class ids"),
        (lambda m, x: m.regeneration_loss(x, m(x).detach()), "the prediction has no graph"),
        (lambda m, x: m.regeneration_loss(x, m(x), progress=-1), "progress must be the share"),
        (lambda m, x: m.regeneration_loss(x, m(x), progress="0.1"), "progress must be the share"),
        (lambda m, x: m.regeneration_loss(x, m(x), generator=3), "generator must be a torch.Generator"),
        (
            lambda m, x: m.regeneration_loss(x[:0], m(x[:0])),
            r"at least one image.*\(0, 3, 32, 64\).*leave an empty",
        ),
        (lambda m, x: m.regeneration_loss(x[..., :0], m(x)), "at least one image and pixel"),
        (lambda m, x: m.regeneration_loss(x, m(x)[..., :0]), "prediction is empty"),
        (
            lambda m, x: m.eval().regeneration_loss(x, made_in_inference_mode(m, x)),
            "the prediction was made in inference_mode",
        ),
        (
            lambda m, x: m.regeneration_loss(made_in_inference_mode(m, x, 0), m(x)),
            "images were made in inference_mode",
        ),
        (
            lambda m, x: m.regeneration_loss(x[:1, :, :4, :4], m(x[:1, :, :4, :4])),
            "norm: 'batch'.*choose 'group'",
        ),
        (lambda m, x: m.regenerate(x, m(x), redaction=1), "redaction must be a whole number from 0 to 0"),
        (lambda m, x: m.regenerate(x, m(x), redaction="blocks"), "redaction must be a whole number"),
        (lambda m, x: m.regenerator(x, m(x)[:, :4]), r"the condition must be 2 x 6 maps .*\(2, 4, 8, 16\)"),
        (lambda m, x: m.regenerator(x, m(x)[:1]), "the condition must be 2 x 6 maps"),
        (lambda m, x: m.regenerator(x, None), "the condition must be 2 x 6 maps .* not NoneType"),
        (lambda m, x: m.regenerator(x[0], m(x)), "images must be"),
        (lambda m, x: redaction.RandomBlocks()(x, np.random.default_rng()), "generator must be a torch"),
        (lambda m, x: dejavu.dejavu_loss([x], x[:1]), "must have the image's shape"),
        (lambda m, x: dejavu.SharedAttention(30)(x), r"features must be \(N, 30, h, w\)"),
        (lambda m, x: dejavu.Perceptual(width=0.125, layers="relu1_2"), "layers must be a list"),
        (lambda m, x: dejavu.Perceptual(width=0.125)(None, x), "regenerated must be a tensor"),
        (lambda m, x: fresh(convolution, seed=1.5), "seed must be a whole number"),
        (lambda m, x: fresh(convolution, task=3), "task must be the name of a task"),
        (lambda m, x: fresh(convolution, loss=["l1"]), "loss: unknown"),
        (lambda m, x: fresh(convolution, detach="no"), "detach must be True or False"),
        (lambda m, x: fresh(convolution, share_attention=None), "share_attention must be True or False"),
        (
            lambda m, x: fresh(convolution, cycle="labels"),
            r"cycle must be an object, such as CyclicConsistency",
        ),
        (lambda m, x: fresh(convolution, text={"weight": 1}), r"text must be an object"),
        (lambda m, x: fresh(convolution, perceptual="vgg"), r"perceptual must be an object"),
        (lambda m, x: fresh(convolution, warmup=0.1).regeneration_loss(x, m(x)), "give .* the progress"),
        (lambda m, x: fresh(convolution, redaction=redaction.LowPass), r"LowPass\(\), not the class"),
        (lambda m, x: DejaVu(m.network, task="depth", depth_range=80), "depth_range must be"),
    ],
)
def test_what_cannot_be_right_is_named(call, expected: str, images: torch.Tensor) -> None:
    with pytest.raises(DejavuError, match=expected):
        call(fresh(convolution), images)


def made_in_inference_mode(model: DejaVu, images: torch.Tensor, which: int = 1) -> torch.Tensor:
    with torch.inference_mode():
        return (images.clone(), model(images))[which]


MOVED = {
    "network alone": (
        lambda m: m.network.to("meta"),
        "meta",
        torch.float32,
        "regenerator is on cpu and .* on meta",
    ),
    "images": (lambda m: m.network.to("meta"), "meta", torch.float32, r"model.to\('meta'\)"),
    "regenerator": (
        lambda m: m.regenerator.to("meta"),
        "cpu",
        torch.float32,
        "regenerator is on meta and images on cpu",
    ),
    "network's type": (
        lambda m: m.network.double(),
        "cpu",
        torch.float64,
        r"float32, but images torch.float64.*model.to\(torch.float64\)",
    ),
    "regenerator's type": (
        lambda m: m.regenerator.double(),
        "cpu",
        torch.float32,
        "regenerator is torch.float64, but images torch.float32",
    ),
}


@pytest.mark.parametrize(("move", "device", "dtype", "expected"), MOVED.values(), ids=MOVED)
@every_regenerator
@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
def test_another_device_or_number_type_is_named(
    move,
    device: str,
    dtype: torch.dtype,
    expected: str,
    regenerator: str,
    autocast: bool,
    images: torch.Tensor,
) -> None:
    model = fresh(convolution, regenerator=regenerator)
    move(model)
    images = images.to(device, dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), pytest.raises(DejavuError, match=expected):
        model.regeneration_loss(images, model(images))


def test_numbers_may_be_numpys(images: torch.Tensor) -> None:
    """All numbers of the wrapper and of what it builds: the results are those of Python's numbers."""
    choices = [
        (int, float),
        (np.int64, np.float64),
        (np.uint8, np.float32),
    ]
    losses = []
    for whole, real in choices:
        torch.manual_seed(0)
        network = convolution()
        network.stride = whole(8)
        model = DejaVu(
            network,
            num_classes=whole(K),
            redaction=[
                {"name": "random_blocks", "ratio": real(0.5), "block": real(0.25)},
                {"name": "random_bands", "count": whole(8), "removed": whole(3)},
                {"name": "bands", "remove": [[real(0.25), real(0.5)]]},
            ],
            regenerator={"name": "crm_r", "width": whole(16), "depth": whole(2), "recursions": whole(2)},
            gamma=real(0.25),
            warmup=real(0.5),
            perceptual=dejavu.Perceptual(width=real(0.125), weight=real(0.5), seed=whole(1)),
            cycle=dejavu.CyclicConsistency(target="prediction", weight=real(0.5)),
            seed=whole(3),
        )
        assert model.regenerator.stride == 8
        losses.append(model.regeneration_loss(images, model(images), progress=real(0.25)))
        losses[-1].backward()
        other = DejaVu(nn.Conv2d(3, 1, 1), task="depth", depth_range=(real(0), real(5)), stride=whole(4))
        other.regeneration_loss(images, other(images)).backward()
        networks.build("segnet", whole(K), width=real(0.25))
        dejavu.SharedAttention(whole(30), dim=whole(8), heads=whole(2), stride=whole(8))
    assert len({loss.item() for loss in losses}) == 1 and losses[0].requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_regenerator_has_the_networks_number_type(dtype: torch.dtype, images: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = DejaVu(convolution().to(dtype), num_classes=K)
    loss = model.regeneration_loss(images.to(dtype), model(images.to(dtype)), seeded())
    loss.backward()
    assert loss.dtype == dtype and gradient(model.network) > 0


def test_forward_hands_on_further_arguments(images: torch.Tensor) -> None:
    class Wants(nn.Conv2d):
        def forward(self, images, factor, *, offset):
            return factor * super().forward(images) + offset

    torch.manual_seed(0)
    model = DejaVu(Wants(3, K, 1), num_classes=K)
    assert torch.equal(model(images, 2.0, offset=1.0), model.network(images, 2.0, offset=1.0))


def test_import_is_light_and_every_public_name_is_there() -> None:
    program = (
        "import sys, dejavu; "
        "heavy = {'torch', 'numpy', 'timm', 'snakemake', 'dvc', 'pandas', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy; dir(dejavu); assert 'torch' not in sys.modules; "
        "missing = [name for name in dejavu.__all__ if getattr(dejavu, name, None) is None]; "
        "assert not missing, missing; assert dejavu.DejaVu.__module__ == 'dejavu.method.wrapper'"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    with pytest.raises(AttributeError, match="no attribute 'Dejavu'"):
        _ = dejavu.Dejavu
