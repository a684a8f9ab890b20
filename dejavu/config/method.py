"""The method's keys in params.yaml: all that a row adds to its base network's training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, create_model, model_validator

from .values import (
    Count,
    Drop,
    Flag,
    Named,
    NotNegative,
    Options,
    Positive,
    Section,
    Share,
    Side,
    Text,
    optional,
)


class Redaction(Named):
    """A redaction: its name and its options."""

    @model_validator(mode="after")
    def _tasks_are_tasks(self) -> Redaction:
        given = (self.model_extra or {}).get("tasks")
        if given is not None and (not isinstance(given, list | tuple) or not given):
            raise ValueError(f"tasks must be a list of tasks, such as [semantic], not {given!r}")
        return self

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """Tasks whose predictions condition the CRM. Default: all."""
        given = (self.model_extra or {}).get("tasks")
        return tuple(given) if isinstance(given, list | tuple) else given

    @property
    def options(self) -> Options:
        return {key: value for key, value in super().options.items() if key != "tasks"}


class Balance(Named):
    """The weighting of the tasks' losses: a name of dejavu/training/multitask/balancing, and its options."""


class Consistency(Section):
    """XTC: predictions of one task and labels of another must agree in a common feature space."""

    weight: NotNegative = 2.0
    regularisation: NotNegative = 0.5
    """Weight of the term that compares each of the two with the network's features."""
    lr: Positive = 0.001
    """Learning rate of the auxiliary network's FiLM parameters; its others have the recipe's rate."""
    every: Count = 30
    """With the schedule `step`: every so many epochs that rate is multiplied by `factor`."""
    factor: Drop = 0.5


class Perceptual(Section):
    """A perceptual term of the DejaVu loss: distances of the features of a frozen network."""

    weight: NotNegative = 0.1
    """Weight of this term relative to the pixels' distance; gamma multiplies both."""
    weights: Text | None = None
    """Of vgg16: a local file, or DEFAULT for torchvision's; random where the scale is not `pretrained`. Of
    tf_efficientnet_lite0 as a network's `pretrained`: it is whole, with these weights, at every scale."""
    network: Literal["vgg16", "tf_efficientnet_lite0"] = "vgg16"

    @property
    def backbone(self) -> str | None:
        """The file of networks that has this network as a backbone; None of vgg16, which is torchvision's."""
        return None if self.network == "vgg16" else "semantic_fpn"

    @model_validator(mode="after")
    def _weights_are_given(self) -> Perceptual:
        if self.backbone and self.weights is None:
            raise ValueError(f"weights is missing: random features of {self.network} would compare nothing")
        return self


class TextSupervision(Section):
    """DejaVu-TS: CLIP compares the regenerated image with a description of the scene."""

    weight: NotNegative = 0.1
    model: Text = "ViT-B-32"
    pretrained: Text | None = None
    """A tag of open_clip, hf-hub:NAME or a local file; random where the scale is not `pretrained`."""
    template: Text = "a photo of a scene with {}."


class Cycle(Section):
    """DejaVu-CL: the base network sees the regenerated image, and its prediction there must agree."""

    weight: NotNegative = 0.1
    target: Literal["labels", "prediction"] = "labels"
    gradient: Literal["both", "regenerator", "network"] = "both"


Redactions = Annotated[tuple[Redaction, ...], Field(min_length=1)]
OneOrMore = Annotated[
    Annotated[Redaction, Tag("Redaction")] | Annotated[Redactions, Tag("tuple[Redaction]")],
    Discriminator(lambda value: "tuple[Redaction]" if isinstance(value, list | tuple) else "Redaction"),
]


class Method(Section):
    """The method of a DejaVu row: all that it adds to its base."""

    redaction: OneOrMore
    """One redaction, or a list of them, each regenerated on its own."""
    regenerator: Named
    stride: Side | None = None
    """Stride of the grid that the CRM works on. Default: that of the network's prediction."""
    condition: Literal["probabilities", "logits"] = "probabilities"
    loss: Literal["l1", "mse"] = "l1"
    pixels: Literal["all", "redacted"] = "all"
    perceptual: Perceptual | None = None
    gamma: NotNegative
    warmup: Share = 0.0
    """Share of all steps in which the weights of DejaVu's losses rise linearly from zero."""
    detach: Flag = False
    """The control experiment: the same computation, with no gradient into the base network."""
    text: TextSupervision | None = None
    cycle: Cycle | None = None
    share_attention: Flag | None = None
    """false: a network's attention (DejaVu-SA) is not used for the regeneration. Default: it is."""

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """The redactions as a tuple."""
        return _listed(self.redaction)


def _listed(redaction: Redaction | tuple[Redaction, ...]) -> tuple[Redaction, ...]:
    return (redaction,) if isinstance(redaction, Redaction) else redaction


class MethodChanges(create_model("_MethodChanges", __base__=Section, **optional(Method))):  # type: ignore[misc]
    """The keys of the method that a row changes; null sets a key to its default."""

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """The redactions as a tuple."""
        return () if self.redaction is None else _listed(self.redaction)

    def over(self, default: MethodChanges) -> Method:
        """Return the whole method: these keys replace the default's. Raises ValueError for a missing key."""
        given = {key: getattr(layer, key) for layer in (default, self) for key in layer.model_fields_set}
        given = {key: value for key, value in given.items() if value is not None}
        for key, field in Method.model_fields.items():
            if field.is_required() and key not in given:
                raise ValueError(f"{key} is missing, here and in the top-level 'dejavu'")
        return Method(**given)
