"""Recipes (training of a network) and protocols (its evaluation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Strict, Tag, create_model, model_validator

from .data import KeepAspect
from .values import (
    Count,
    Decay,
    Drop,
    Epochs,
    Factor,
    Flag,
    Name,
    Named,
    NotNegative,
    Positive,
    Section,
    Share,
    Side,
    Size,
    Width,
    optional,
)


class Optimizer(Section):
    name: Literal["sgd", "adam", "adamw"]
    lr: Positive
    momentum: Share = 0.9
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    weight_decay: NotNegative = 0.0
    backbone: Positive = 1.0
    """Factor of the learning rate of the network's `backbone`."""
    head: Positive = 1.0
    """Factor of the learning rate of all other layers of the network."""
    layer_decay: Drop = 1.0
    """Factor of the learning rate from each layer of the network to the one before it, towards the image."""
    decay_norms: Flag = True
    """false: no weight decay of norms, biases and embeddings."""
    clip: Positive | None = None
    """Largest norm of the gradient of the whole base network, without the regenerator."""


class Schedule(Section):
    name: Literal["poly", "one_cycle", "constant", "step", "multistep"] = "poly"
    power: Positive = 0.9
    warmup: Share = 0.0
    """Share of all steps in which the learning rate rises linearly from zero (one_cycle: to its peak)."""
    every: Count | None = None
    """step: after so many epochs the learning rate is multiplied by `factor`, repeatedly."""
    factor: Drop = 0.5
    at: tuple[Share, ...] = ()
    """multistep: after these shares of all steps the learning rate is multiplied by `factor`."""

    @model_validator(mode="after")
    def _steps_are_given(self) -> Schedule:
        if (self.name == "step") != (self.every is not None):
            raise ValueError("every, a number of epochs, belongs to the schedule step: give both or neither")
        if (self.name == "multistep") != bool(self.at):
            raise ValueError("at, shares of steps, belongs to the schedule multistep: give both or neither")
        if list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at must rise, not be {list(self.at)}")
        return self


class Ohem(Section):
    """Online hard example mining: only the pixels with the most uncertain predictions are in the loss."""

    threshold: Share = 0.7
    """Pixels whose own class has less than this probability are kept."""
    min_kept: Count = 100_000
    """At least so many pixels of a batch are kept, the hardest ones."""


class Rmi(Section):
    """Region mutual information, added to the pixels' loss (Zhao et al., NeurIPS 2019)."""

    weight: Share = 0.5
    """Weight of this loss; the weight of the pixels' loss is 1 - weight."""
    radius: Side = 3
    """Side of the square of pixels that is one point."""
    pool: Side = 4
    """Labels and probabilities are averaged over squares of this side first."""


class Photometric(Section):
    """Photometric distortion: the largest change of each kind. Changes are drawn for each image."""

    brightness: Share = 0.0
    """Share of white that is added or taken away."""
    contrast: Share = 0.0
    """All values are multiplied by 1 - contrast to 1 + contrast."""
    saturation: Share = 0.0
    """The saturation is multiplied by 1 - saturation to 1 + saturation."""
    hue: Share = 0.0
    """Largest share of a full turn of hues."""
    probability: Share = 0.5
    """Probability of each of the four changes."""


BESIDE = "with_unlabelled"
Labelled = Annotated[
    Annotated[Literal["full", "onelabel", "randomlabels", "with_unlabelled"], Tag("str")]
    | Annotated[float, Strict(), Field(gt=0, lt=1), Tag("float")],
    Discriminator(lambda value: "str" if isinstance(value, str | bool) else "float"),
]
"""A setting of training/multitask/partial_labels.py, `BESIDE`, or a share of the images."""


class Recipe(Section):
    """The training of a network, the same for a baseline and its DejaVu row."""

    epochs: Epochs | None = None
    iterations: Count | None = None
    """Steps of the training, instead of epochs."""
    batch_size: Count
    crop: Size
    scale_range: tuple[Factor, Factor] = (1.0, 1.0)
    scale_choices: Annotated[tuple[Factor, ...], Field(min_length=1)] | None = None
    """Scales that are drawn equally often, instead of a range."""
    flip: Flag = True
    photometric: Photometric | None = None
    cat_max_ratio: Annotated[float, Strict(), Field(gt=0, le=1)] = 1.0
    """Crops in which one class has a larger share are drawn again, at most ten times."""
    class_uniform: Share = 0.0
    """Share of the images that are drawn by class, all classes equally often, and cropped around it."""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    class_weights: tuple[Positive, ...] | None = None
    align_corners: Flag = False
    """Mode of the upsampling of logits to the labels' size, in the loss and in evaluation."""
    ohem: Ohem | None = None
    rmi: Rmi | None = None
    auxiliary: dict[Name, NotNegative] = {}
    """Weights of the losses of the network's auxiliary outputs, by their names."""
    labelled: Labelled = "full"
    """Which labels are learnt from. With more than one task onelabel or randomlabels, one or some of each
    image's. With one task the share of the images whose labels are, such as 0.125: half of each batch are
    such images. with_unlabelled: those of all training images, and the other half of each batch are images
    of the dataset's split `unlabelled`, from which only the losses of DejaVu learn."""
    coarse: tuple[Name, ...] = ()
    """The auxiliary outputs that learn the dataset's categories instead of its classes (HS3)."""
    sync_norm: Flag = False
    """Where GPUs share a batch, BatchNorm's statistics are those of the whole batch (SyncBN)."""
    evaluations: Count = 10
    """Number of validations for the learning curve, evenly spaced up to the last epoch."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        if self.scale_range[0] > self.scale_range[1]:
            raise ValueError(f"scale_range must be [smallest, largest], not {list(self.scale_range)}")
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("epochs or iterations must be given, and not both")
        if self.scale_choices is not None and self.scale_range != (1.0, 1.0):
            raise ValueError("scale_range and scale_choices exclude each other: leave one of them out")
        for key in ("class_weights", "ohem"):
            if self.rmi is not None and getattr(self, key) is not None:
                raise ValueError(f"{key} weighs cross-entropy, which rmi replaces: leave one of them out")
        for name in self.coarse:
            if name not in self.auxiliary:
                raise ValueError(f"coarse names '{name}', which has no weight in auxiliary")
        return self

    def steps(self, images: int) -> int:
        """Return the number of steps of the whole training on this number of images."""
        return self.iterations or (self.epochs or 0) * (images // self.batch_size)


KEYS = frozenset(Recipe.model_fields)


class Overrides(create_model("_Overrides", __base__=Section, **optional(Recipe))):  # type: ignore[misc]
    """The keys of a recipe that a budget or an experiment changes; null sets a key to its default."""

    def over(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """Return a recipe's keys, replaced by these where they are given."""
        given = {key: value for key, value in self.model_dump(exclude_unset=True).items() if key in KEYS}
        merged = recipe | given
        if given.get("epochs"):
            merged.pop("iterations", None)
        if given.get("iterations"):
            merged.pop("epochs", None)
        return {key: value for key, value in merged.items() if value is not None}


class Budget(Overrides):
    """Length, seeds and size of rows at a scale, and the keys of a recipe that it changes."""

    seeds: Count | None = None
    """The number of the scale's seeds that are run. Default: all."""
    width: Width | None = None
    """Width of the networks. Default: the scale's."""
    depth: Width | None = None
    """Depth of the networks. Default: the scale's."""
    pretrained: Flag | None = None
    """Whether networks start from their `pretrained` weights, at full size only. Default: the scale's."""
    gpus: Count = 1
    """Processes, one a GPU, that share each batch."""
    protocol: Name | None = None
    """The protocol of the evaluation. Default: the experiment's own."""


class DepthScoring(Section):
    """The pixels at which depth is scored, and how. Default: as on NYUD-v2, every pixel as it is."""

    minimum: NotNegative = 0.0
    """Metres; only true depths above it are scored, and smaller predictions are set to it."""
    maximum: Positive | None = None
    """Metres; only true depths below it are scored, and larger predictions are set to it."""
    crop: Literal["none", "garg", "eigen"] = "none"
    median_scaling: Flag = False
    """Each image's prediction is scaled to the median of the true depth."""

    @model_validator(mode="after")
    def _caps_are_ordered(self) -> DepthScoring:
        if self.maximum is not None and self.maximum <= self.minimum:
            raise ValueError(f"maximum must be above minimum, not {self.maximum:g} and {self.minimum:g}")
        return self


class Fusion(Named):
    """Fusion of queries into one panoptic map: a name of dejavu/evaluation/fusion, and its thresholds."""


class Protocol(Section):
    """The evaluation of trained networks. Default: on the whole image, once."""

    slide: Annotated[float, Strict(), Field(gt=0, le=1)] | None = None
    """A window of the recipe's crop size moves by this share of it; overlapping predictions are averaged."""
    average: Literal["logits", "scores"] = "logits"
    """What is averaged where windows overlap. scores: for networks whose logits are logarithms of class
    scores, as Mask2Former's, the scores themselves."""
    scales: Annotated[tuple[Factor, ...], Field(min_length=1)] = (1.0,)
    """The network runs at each of these sizes; probabilities are averaged."""
    flip: Flag = False
    """The network also runs on the mirrored image."""
    multiple: Side | None = None
    """The image is resized to the next larger sides that are multiples of this ("aligned resize")."""
    fit: KeepAspect | None = None
    """The image is first resized to `short`, or smaller if its long side would exceed `long`."""
    depth: DepthScoring | None = None
    """The scoring of depth."""
    panoptic: Fusion | None = None
    """Fusion of queries into a panoptic map. Default: that of the network, with its thresholds."""

    @model_validator(mode="after")
    def _windows_are_averaged(self) -> Protocol:
        if self.average != "logits" and self.slide is None:
            raise ValueError(f"average is {self.average}, and without slide there are no windows: give both")
        return self

    @property
    def views(self) -> list[str]:
        """The keys that change how the network is run, and not how its predictions are scored."""
        return list(self.model_dump(exclude_defaults=True, exclude={"depth", "panoptic"}))

    def foreign_to(self, task: str | Sequence[str]) -> list[str]:
        """Return those of `views` that a task, or a list of tasks, cannot be evaluated with."""
        return [] if task == "semantic" else [key for key in self.views if (key, task) != ("fit", "panoptic")]
