"""DejaVu: a base network that is also trained to predict what redaction removed.

    C   = h(I)                                    the base network's prediction
    I_R = redact(I)                               structure destroyed, context kept
    I_G = CRM(I_R, C)                             what is missing can only come from C
    L   = L_task(C) + gamma * distance(I_G, I)    its gradient reaches h through C

At inference the CRM is gone: the wrapper's forward is the base network's own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from . import redaction as redactions
from . import regeneration
from .errors import DejavuError, nearest
from .losses import DISTANCES, dejavu_loss, gamma_at
from .redaction import Redacted, Redaction
from .regeneration import CRM

DEFAULT_STRIDE = 4


class DejaVu(nn.Module):
    """Joins any dense prediction network with redaction, regeneration and the DejaVu loss.

    Args:
        network: the base network, (N, 3, H, W) to class logits (N, num_classes, any, any): a tensor, a
            mapping with the key "out" or "logits", or an object with `.logits`. It is not touched:
            `model.network.state_dict()` is that of the plain network.
        task: what is predicted; "semantic".
        num_classes: K, the prediction's channels.
        redaction: a name, a mapping {name: ..., options}, or a callable such as `RandomBlocks()`.
        regenerator: a name, a mapping {name: ..., options}, or a built `CRM`, which has a stride of its own.
        stride: of the grid that the CRM works on. None takes the network's own `stride` attribute, or 4
            where it has none or predicts at full resolution: there, the CRM would cost more than the
            network. Predictions of any other size are averaged or interpolated to that grid.
        loss: "l1" or "mse".
        pixels: "all", or "redacted" to compare only what was removed.
        gamma: the DejaVu loss' weight.
        warmup: share of the training in which gamma rises linearly from 0.
        condition: the prediction enters as "probabilities" or "logits".
        detach: the control: the same computation, but no gradient reaches the base network. The CRM
            still learns.
        seed: of the CRM's initial weights. The global random state is left alone, so that a baseline and
            its DejaVu run see the same random numbers.

    Raises:
        DejavuError: an argument, images or a prediction that cannot be right.

    >>> network = nn.Conv2d(3, 5, 3, stride=4, padding=1)
    >>> model = DejaVu(network, num_classes=5)
    >>> images, labels = torch.rand(2, 3, 32, 64), torch.randint(5, (2, 8, 16))
    >>> logits = model(images)
    >>> loss = nn.functional.cross_entropy(logits, labels) + model.regeneration_loss(images, logits)
    >>> loss.backward()
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        task: str = "semantic",
        redaction: str | Mapping[str, Any] | Redaction = "random_blocks",
        regenerator: str | Mapping[str, Any] | CRM = "crm_f",
        stride: int | None = None,
        loss: str = "l1",
        pixels: str = "all",
        gamma: float = 0.3,
        warmup: float = 0.0,
        condition: str = "probabilities",
        detach: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _choice("task", task, regeneration.CONDITIONS)
        _choice("loss", loss, DISTANCES)
        _choice("pixels", pixels, ("all", "redacted"))
        _choice("condition", condition, regeneration.FORMS)
        if not isinstance(network, nn.Module):
            raise DejavuError(f"network must be a torch module, not {type(network).__name__}")
        _whole_number("num_classes", num_classes)
        if stride is not None:
            _whole_number("stride", stride)
        if not all(isinstance(value, int | float) for value in (gamma, warmup)):
            raise DejavuError(f"gamma and warmup must be numbers, not {gamma!r} and {warmup!r}")
        if not (0 <= gamma < math.inf and 0 <= warmup <= 1):
            raise DejavuError(f"gamma must be at least 0 and warmup within 0 and 1, not {gamma} and {warmup}")
        self.network = network
        self.task, self.num_classes, self.condition = task, num_classes, condition
        self.loss, self.pixels, self.gamma, self.warmup, self.detach = loss, pixels, gamma, warmup, detach
        self.redaction = _redaction(redaction)
        self.regenerator = _regenerator(
            regenerator, num_classes, _stride(network) if stride is None else stride, seed
        )
        self.regenerator.to(_device(network))
        self._looked = False  # whether the images' range was looked at, once

    def forward(self, images: Tensor) -> Any:
        """The base network's prediction, to the bit and at its cost, in training and in evaluation."""
        return self.network(images)

    def regeneration_loss(
        self, images: Tensor, prediction: Any, generator: torch.Generator | None = None, progress: float = 1.0
    ) -> Tensor:
        """gamma * DejaVu loss, a scalar to be added to the task's loss.

        Args:
            images: what the network saw, normalised, (N, 3, H, W).
            prediction: what it said of them, with its graph.
            generator: of the redaction's random numbers.
            progress: share of the training that is done, for gamma's warm-up.
        """
        redacted, regenerated = self._regenerate(images, prediction, generator)
        if not self._looked:
            self._looked = True
            _warn_of_range(images)
        mask = redacted.mask if self.pixels == "redacted" else None
        loss = dejavu_loss(regenerated, images, self.loss, mask)
        _check_finite(loss, images, as_tensor(prediction))
        return gamma_at(progress, 1.0, self.gamma, self.warmup) * loss

    def regenerate(
        self, images: Tensor, prediction: Any, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The redacted and the (last) regenerated images, each (N, 3, H, W), for looking at."""
        redacted, regenerated = self._regenerate(images, prediction, generator)
        return redacted.images, regenerated[-1]

    def _regenerate(
        self, images: Tensor, prediction: Any, generator: torch.Generator | None
    ) -> tuple[Redacted, list[Tensor]]:
        redactions.check_images(images)
        logits = self._check_prediction(images, as_tensor(prediction))  # (N, K, h, w)
        if self.detach:
            logits = logits.detach()
        redacted = Redacted(*self.redaction(images, generator))  # (N, 3, H, W), (N, 1, H, W)
        # To the CRM's grid first: a softmax of upsampled logits would be the dearest part of all.
        logits = regeneration.resize(logits, self.regenerator.grid(images))  # (N, K, H/s, W/s)
        condition = regeneration.condition(self.task, logits, self.condition)
        return redacted, self.regenerator(redacted.images, condition)

    def _check_prediction(self, images: Tensor, logits: Tensor) -> Tensor:
        expected = (images.shape[0], self.num_classes)
        if logits.ndim != 4 or tuple(logits.shape[:2]) != expected:
            raise DejavuError(
                f"the network's prediction must be ({expected[0]}, {expected[1]}, h, w) "
                f"for num_classes={self.num_classes}, not {tuple(logits.shape)}"
            )
        if not logits.is_floating_point():
            raise DejavuError(f"the network's prediction must be floating logits, not {logits.dtype}")
        return logits


def as_tensor(prediction: Any) -> Tensor:
    """The tensor in what a network returns: itself, ["out"], ["logits"] or .logits."""
    if isinstance(prediction, Tensor):
        return prediction
    if isinstance(prediction, Mapping):
        for key in ("out", "logits"):
            if key in prediction:
                return prediction[key]
        raise DejavuError(
            f"the network's prediction has the keys {', '.join(prediction)}, but neither out nor logits"
        )
    if isinstance(getattr(prediction, "logits", None), Tensor):
        return prediction.logits
    raise DejavuError(
        "the network's prediction must be a tensor, a mapping with 'out' or 'logits', or an object with "
        f".logits, not {type(prediction).__name__}"
    )


def _redaction(value: str | Mapping[str, Any] | Redaction) -> Redaction:
    if isinstance(value, str | Mapping):
        name, options = _named("redaction", value)
        return redactions.build(name, **options)
    if not callable(value):
        raise DejavuError(f"redaction must be a name, a mapping or a callable, not {value!r}")
    return value


def _regenerator(value: str | Mapping[str, Any] | CRM, channels: int, stride: int, seed: int) -> CRM:
    if isinstance(value, str | Mapping):
        name, options = _named("regenerator", value)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs too
            return regeneration.build(name, channels, stride, **options)
    if not isinstance(value, CRM):
        raise DejavuError(f"regenerator must be a name, a mapping or a CRM, not {value!r}")
    if value.condition_channels != channels:
        raise DejavuError(
            f"regenerator has condition_channels={value.condition_channels}, but num_classes is {channels}"
        )
    return value


def _named(key: str, value: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    if "name" not in value:
        raise DejavuError(f"{key}.name is missing: a mapping names what it configures")
    return value["name"], {option: value[option] for option in value if option != "name"}


def _stride(network: nn.Module) -> int:
    stride = getattr(network, "stride", None)
    return stride if isinstance(stride, int) and stride > 1 else DEFAULT_STRIDE


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def _whole_number(key: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DejavuError(f"{key} must be a whole number of at least 1, not {value!r}")


def _choice(key: str, value: object, known: Any) -> None:
    if value not in known:
        raise DejavuError(f"{key}: unknown {value!r}, {nearest(str(value), known)}")


def _warn_of_range(images: Tensor) -> None:
    """Say so when images look as if nobody had normalised them: gamma would drown the task's loss."""
    size = float(images.detach().abs().mean())
    if 10 < size < math.inf:
        warnings.warn(
            f"images have a mean magnitude of {size:.0f}: normalise them, so that 0 is the mean pixel",
            stacklevel=3,
        )


def _check_finite(loss: Tensor, images: Tensor, logits: Tensor) -> None:
    """Name the culprit of a loss that is not finite."""
    if loss.is_cuda or loss.is_meta or bool(loss.isfinite()):  # on a GPU asking would stall every step
        return
    for culprit, values in (("images hold", images), ("the network's prediction holds", logits)):
        if not bool(values.isfinite().all()):
            raise DejavuError(
                f"the DejaVu loss is {loss.item()} because {culprit} values that are not finite"
            )
    raise DejavuError(
        f"the DejaVu loss is {loss.item()} though images and prediction are finite: the CRM diverged"
    )
