"""DejaVu: a base network that is also trained to predict the removed content.

    C   = h(I)                                    the base network's prediction
    I_R = redact(I)                               structure destroyed, context kept
    I_G = CRM(I_R, C)                             what is missing can only come from C
    L   = L_task(C) + gamma * distance(I_G, I)    its gradient reaches h through C
          [ + DejaVu-TS(I_G) + DejaVu-CL(I_G) ]   text supervision, cyclic consistency

At inference the CRM is gone: the wrapper's forward is the base network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..compute.processes import across
from ..compute.random import seeded, undisturbed
from ..errors import DejavuError, check_number
from ..tasks.predictions import detached
from . import batch_checks
from .attention import SharedAttention, SharedRegeneration, shared_of
from .build_parts import (
    Choice,
    build_redactions,
    build_regenerator,
    build_shared,
    choice,
    device_and_dtype,
    instances,
    stride_of,
    switches,
    weight,
)
from .conditioning import DEPTH_RANGE, Conditioning
from .cycle import Criterion, CyclicConsistency, call_without_trace
from .distributed import check_one_call, check_order, loss_options, uncompiled
from .draws import Draws, complete_state
from .health import Health
from .loss import DISTANCES, dejavu_loss, removed_pixels, warmup_factor
from .perceptual import Perceptual
from .redaction import Redaction, SpectralRedaction, check_generator, check_images, check_redacted
from .regeneration import CRM, to_grid
from .text import TextSupervision, describe_images


class Regenerated(NamedTuple):
    """A batch after one redaction and its regeneration."""

    redacted: Tensor  # (N, 3, H, W)
    condition: Tensor  # (N, C, H/s, W/s), the CRM's condition
    mask: Tensor  # over pixels or frequencies, 1 is removed
    steps: list[Tensor]  # each (N, 3, H, W), the final images last
    removed_by: Callable[[Tensor, Tensor], Tensor]  # (images, mask) -> what the mask removes of the images
    share: Tensor | None  # share of the pixels that were removed; None where the loss does not need it


class DejaVu(nn.Module):
    """Any dense prediction network with redaction, regeneration and the DejaVu loss.

    Args:
        network: the base network, images (N, 3, H, W) to a dense prediction of any size. It is not
            changed: `model.network.state_dict()` is that of the plain network.
        task: the network's task, or a list of tasks: "semantic" (class logits (N, K, h, w)), "depth"
            (N, 1, h, w) or (N, h, w), "normals" (N, 3, h, w) or "panoptic" (class and mask logits of
            queries, as MaskFormer returns them). The prediction of one task is a tensor, a mapping with
            "out", "logits" or the task's name, or an object with such an attribute; with a list of tasks it
            is a mapping from task to prediction.
        num_classes: K of a semantic or panoptic prediction, or a mapping from task to K. One channel
            of a semantic prediction is the second of two classes: 1 is a sigmoid.
        activation: what makes probabilities of a semantic prediction: "softmax" of class logits, "sigmoid" of
            logits of labels that do not exclude each other, "none" where the network returns probabilities.
        redaction: a name, a mapping {name: ..., options}, or a callable such as `RandomBlocks()`; or a list
            of these, which are regenerated side by side. `tasks` in a mapping names the tasks whose
            predictions condition its regeneration; without it, all do.
        regenerator: a name, a mapping {name: ..., options}, or a built `CRM`, which has a stride of its own.
        stride: of the grid that the CRM works on. None takes the network's own `stride` attribute, or 4
            where it has none or predicts at full resolution: there, the CRM would cost more than the
            network. Predictions of any other size are averaged or interpolated to that grid.
        condition: the prediction enters as "probabilities" or "logits".
        depth_range: nearest and farthest depth, in the prediction's unit, which become 0 and 1.
        loss: "l1" or "mse".
        pixels: "all", or "redacted" to compare only what was removed: pixels, or frequencies.
        perceptual: a term of the DejaVu loss beside the pixels' distance.
        gamma: the DejaVu loss' weight.
        warmup: share of the training in which the weight of all that is added rises linearly from 0.
        detach: the control: the same computation, but no gradient reaches the base network. The CRM still
            learns. Not with `cycle`, which calls the base network itself.
        text: DejaVu-TS, text supervision.
        cycle: DejaVu-CL, cyclic consistency.
        criterion: (prediction, labels) -> the task's loss. DejaVu-CL needs it.
        share_attention: DejaVu-SA: where `network.attention` is a `SharedAttention`, its attention
            regenerates, too.
        seed: of the CRM's initial weights. The global random state is left alone, so that a baseline and
            its DejaVu run draw the same random numbers.

    The CRM learns, too: give the optimizer `model.parameters()`, and deploy `model.network`.

    Raises:
        DejavuError: an argument, images or a prediction that cannot be right.

    >>> network = nn.Conv2d(3, 5, 3, stride=4, padding=1)
    >>> model = DejaVu(network, num_classes=5)
    >>> images, labels = torch.randn(2, 3, 32, 64), torch.randint(5, (2, 8, 16))
    >>> logits = model(images)
    >>> loss = nn.functional.cross_entropy(logits, labels) + model.regeneration_loss(images, logits)
    >>> loss.backward()
    """

    accepts_loss_kwargs = False
    """for Hugging Face's Trainer: losses are means of a batch, which it divides where it accumulates"""

    def __init__(
        self,
        network: nn.Module,
        *,
        task: str | Sequence[str] = "semantic",
        num_classes: int | Mapping[str, int] | None = None,
        activation: str = "softmax",
        redaction: Choice | Redaction | Sequence[Choice | Redaction] = "random_blocks",
        regenerator: Choice | CRM = "crm_f",
        stride: int | None = None,
        condition: str = "probabilities",
        depth_range: tuple[float, float] = DEPTH_RANGE,
        loss: str = "l1",
        pixels: str = "all",
        perceptual: Perceptual | None = None,
        gamma: float = 0.3,
        warmup: float = 0.0,
        detach: bool = False,
        text: TextSupervision | None = None,
        cycle: CyclicConsistency | None = None,
        criterion: Criterion | None = None,
        share_attention: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise DejavuError(f"network must be a torch module, not {type(network).__name__}")
        check_order(network)
        choice("loss", loss, DISTANCES)
        choice("pixels", pixels, ("all", "redacted"))
        weight(gamma, warmup)
        if stride is not None:
            check_number("stride", stride, 1, whole=True)
        switches(detach=detach, share_attention=share_attention)
        given = {"perceptual": perceptual, "text": text, "cycle": cycle}
        instances(given, {"perceptual": Perceptual, "text": TextSupervision, "cycle": CyclicConsistency})
        self.draws = Draws(seed)
        self.network = network
        self.conditioning = Conditioning(
            [task] if isinstance(task, str) else task, num_classes, condition, depth_range, activation
        )
        self.redactions, self._conditions = build_redactions(redaction, self.conditioning.tasks)
        self.loss, self.pixels, self.gamma, self.warmup, self.detach = loss, pixels, gamma, warmup, detach
        self.perceptual, self.text, self.cycle, self.criterion = perceptual, text, cycle, criterion
        attention = getattr(network, "attention", None)
        channels = self.conditioning.channels
        self.shared: SharedRegeneration | None = None
        if share_attention and isinstance(attention, SharedAttention):
            with seeded(seed + 1):
                self.shared = build_shared(attention)
            channels += self.shared.channels
        self.regenerator = build_regenerator(
            regenerator, channels, stride_of(network) if stride is None else stride, seed
        )
        self.training_only.to(**device_and_dtype(network))
        if detach and cycle is not None:
            raise DejavuError("detach is the control without a gradient, and a cycle has one: leave one out")
        self.register_load_state_dict_pre_hook(complete_state)
        self.health = Health(depth_range if condition == "probabilities" else None)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the network's tasks."""
        return self.conditioning.tasks

    @property
    def training_only(self) -> nn.ModuleDict:
        """Modules that are trained with the base network and removed at inference."""
        modules: dict[str, nn.Module] = {"regenerator": self.regenerator}
        if self.shared is not None:
            modules["shared"] = self.shared
        return nn.ModuleDict(modules)

    def forward(
        self,
        images: Tensor,
        *arguments: Any,
        regeneration: bool | Mapping[str, Any] = False,
        **options: Any,
    ) -> Any:
        """Return the base network's prediction, to the bit and at its cost, in training and in evaluation.

        Args:
            images: the network's input.
            arguments: more of the network's arguments.
            regeneration: True, or a mapping with options of `regeneration_loss`, returns a pair: the
                prediction and that loss. Modules that average gradients over processes need it in one call:
                `prediction, added = DistributedDataParallel(model)(images, regeneration={"progress": 0.5})`.
            options: more of the network's arguments, by name.
        """
        requested = loss_options(regeneration, getattr(self, "_is_replica", False))
        prediction = self.network(images, *arguments, **options)
        if requested is None:
            return prediction
        return prediction, uncompiled(self.regeneration_loss)(images, prediction, **requested)

    def regeneration_loss(
        self,
        images: Tensor,
        prediction: Any,
        generator: torch.Generator | None = None,
        progress: float | None = None,
        *,
        labels: Any = None,
        captions: Sequence[str] | None = None,
    ) -> Tensor:
        """Compute all that DejaVu adds to the task's loss, weighted: a scalar to be added to it.

        Args:
            images: the network's input, normalised, (N, 3, H, W).
            prediction: the network's output for these images, with its graph.
            generator: source of the redaction's random numbers. Without one they come from `seed` and the
                number of calls; the global random state is left alone.
            progress: share of the training that is done, within 0 and 1: a warm-up needs it.
            labels: the ground truth, for DejaVu-CL, and for the classes in DejaVu-TS's prompts: class ids
                (N, H, W), or of a panoptic task the codes of tasks/segments.py.
            captions: a description of each image, for DejaVu-TS; without, one is made of the labels.
        """
        factor = warmup_factor(progress, self.warmup)
        batch_checks.in_forward_pass()
        predictions = self.conditioning.read(prediction)
        if self.training:
            check_one_call(predictions, self.training_only)
        if self.training and not self.detach:
            batch_checks.has_graph(predictions, self.network)
        regenerated = self._regenerate(images, prediction, generator)
        batch_checks.fits_activation(predictions, self.conditioning.activation, self.health.fresh)
        weighs = self.gamma * factor > 0
        modes = {"training": self.training, "detach": self.detach, "weighs": weighs}
        self.health.inspect(images, predictions, self.network, self.training_only, **modes)
        loss = self.gamma * _mean([self._distance(images, one) for one in regenerated])
        batch_checks.is_finite(loss, images, predictions)
        if self.text is not None:
            texts = describe_images(self.text, self.tasks, labels, captions)
            loss = loss + _mean([self.text(one.steps[-1], texts) for one in regenerated])
        if self.cycle is not None:
            inputs = [self._cycle_input(one) for one in regenerated]
            rest = (prediction, labels, self.criterion, self.tasks, self.conditioning.activation)
            loss = loss + _mean([self.cycle(self.network, image, *rest) for image in inputs])
        return factor * loss

    def regenerate(
        self, images: Tensor, prediction: Any, generator: torch.Generator | None = None, redaction: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return the redacted and the final regenerated images, each (N, 3, H, W).

        It leaves no trace, in training and in evaluation mode: neither in the global random numbers nor in
        BatchNorm's statistics nor in the numbers that the next loss draws, which are the same as here.

        redaction: index of the redaction, in a list of them.
        """
        check_number("redaction", redaction, 0, len(self.redactions) - 1, whole=True)
        with undisturbed(images):
            result = self._regenerate(images, prediction, generator, picture=True)[redaction]
        return result.redacted, result.steps[-1]

    def _regenerate(
        self, images: Tensor, prediction: Any, generator: torch.Generator | None, picture: bool = False
    ) -> list[Regenerated]:
        check_images(images)
        predictions = self.conditioning.read(prediction)
        batch_checks.same_batch(images, predictions)
        check_generator(generator)
        if generator is None:
            generator = self.draws.next(counted=not picture)
        if self.detach:
            predictions = {task: detached(value) for task, value in predictions.items()}
        condition = self.conditioning(predictions, self.regenerator.grid(images))  # (N, C, H/s, W/s)
        attention = None if self.shared is None else shared_of(prediction, self.detach)
        results = []
        for redaction, tasks in zip(self.redactions, self._conditions, strict=True):
            redacted, mask = check_redacted(redaction(images, generator), images)  # (N, 3, H, W)
            own = self.conditioning.only(condition, tasks)
            if self.shared is not None and attention is not None:
                attended = to_grid(self.shared(redacted, attention), self.regenerator.grid(images))
                own = torch.cat([own, attended], 1)
            called = (redacted, own)
            steps = call_without_trace(self.regenerator, *called) if picture else self.regenerator(*called)
            removed_by = getattr(redaction, "part", removed_pixels)
            spatial = not isinstance(redaction, SpectralRedaction)
            share = across(mask.float().mean(), 0.0) if spatial and self.pixels == "redacted" else None
            results.append(Regenerated(redacted, own, mask, steps, removed_by, share))
        return results

    def _distance(self, images: Tensor, one: Regenerated) -> Tensor:
        """Compare one redaction's regenerated images with the originals: a scalar, without gamma."""
        mask = one.mask if self.pixels == "redacted" else None
        loss = dejavu_loss(one.steps, images, self.loss, mask, one.removed_by, one.share)
        if self.perceptual is not None:
            loss = loss + _mean(self.perceptual.per_step(one.steps, images))
        return loss

    def _cycle_input(self, one: Regenerated) -> Tensor:
        """Return the regenerated images that DejaVu-CL gives to the base network, (N, 3, H, W)."""
        assert self.cycle is not None
        if self.cycle.gradient != "regenerator":
            return one.steps[-1]
        # Else the cycle's gradient would reach the base network through the condition after all.
        return call_without_trace(self.regenerator, one.redacted, one.condition.detach())[-1]


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return losses[0] if len(losses) == 1 else torch.stack(list(losses)).mean()
