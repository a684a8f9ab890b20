"""What params.yaml holds, as frozen objects; `Params.run` resolves one experiment at one scale.

Only pydantic is imported here: every command and both engines pay for this module.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, create_model, model_validator

from .errors import DejavuError, nearest

# YAML's 1e-3 is text to PyYAML and a number to others: strict types refuse what the two read differently.
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Count = Annotated[int, Strict(), Field(ge=1)]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Flag = Annotated[bool, Strict()]
Byte = Annotated[int, Strict(), Field(ge=0, le=255)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Width = Annotated[float, Strict(), Field(gt=0, le=1)]
Decay = Annotated[float, Strict(), Field(ge=0, lt=1)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
# Names become file names: no separators, no dots in front, nothing that a shell reads.
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Text = Annotated[str, Strict()]
Size = tuple[Count, Count]  # height, width in pixels
Options = dict[str, Any]


class Section(BaseModel):
    """A part of params.yaml: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and not cls._open():
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}', {nearest(str(key), cls.model_fields)}")
        return value

    @classmethod
    def _open(cls) -> bool:
        return False


class KeepAspect(Section):
    """Images of many sizes: each is brought to this short side, its long side at most so long."""

    short: Count
    long: Count

    @model_validator(mode="after")
    def _sides_are_ordered(self) -> KeepAspect:
        if self.short > self.long:
            raise ValueError(f"short must be at most long, not {self.short} and {self.long}")
        return self


class Part(Section):
    """What plays a dataset's part at one scale."""

    source: Name
    size: Annotated[
        Annotated[Size, Tag("tuple[Size]")] | Annotated[KeepAspect, Tag("KeepAspect")],
        Discriminator(lambda value: "tuple[Size]" if isinstance(value, list | tuple) else "KeepAspect"),
    ]
    """Height and width of every image, or how to bring images of many sizes nearer to each other."""

    train: Count | None = None
    val: Count | None = None

    @property
    def pixels(self) -> str:
        """The size in words: '96x128', or 'short side 512'."""
        if isinstance(self.size, KeepAspect):
            return f"short side {self.size.short}"
        return f"{self.size[0]}x{self.size[1]}"


class Optimizer(Section):
    name: Literal["sgd", "adamw"]
    lr: Positive
    momentum: Share = 0.9
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    weight_decay: NotNegative = 0.0
    backbone: Positive = 1.0
    """Factor of the learning rate of the network's `backbone`."""
    head: Positive = 1.0
    """Factor of the learning rate of all of the network but its `backbone`."""
    decay_norms: Flag = True
    """false: no weight decay of norms, biases and embeddings."""
    clip: Positive | None = None
    """Largest norm of the gradient of the whole base network, regenerator left out."""


class Schedule(Section):
    name: Literal["poly", "one_cycle", "constant"]
    power: Positive = 0.9
    warmup: Share = 0.0
    """Share of all steps in which the learning rate rises linearly from zero (one_cycle: to its peak)."""


class Ohem(Section):
    """Online hard example mining: only pixels that the network is not sure of are learnt from."""

    threshold: Share = 0.7
    """Pixels whose own class has less than this probability are kept."""
    min_kept: Count = 100_000
    """At least so many pixels of a batch are kept, the hardest ones."""


class Rmi(Section):
    """Region mutual information beside the pixels' loss (Zhao et al., NeurIPS 2019)."""

    weight: Share = 0.5
    """Its share; the pixels' loss has the rest."""
    radius: Count = 3
    """Side of the square of pixels that is one point."""
    pool: Count = 4
    """Labels and probabilities are averaged over squares of this side first."""


class Photometric(Section):
    """Photometric distortion: how far an image may be changed, each drawn for each image."""

    brightness: Share = 0.0
    """Share of white that is added or taken away."""
    contrast: Share = 0.0
    """All values are multiplied by 1 - contrast to 1 + contrast."""
    saturation: Share = 0.0
    """Likewise the saturation."""
    hue: Share = 0.0
    """Largest share of a full turn of hues."""
    probability: Share = 0.5
    """Of each of the four."""


class Recipe(Section):
    """How a network is trained, the same for a baseline and its DejaVu row."""

    epochs: Count | None = None
    iterations: Count | None = None
    """Instead of epochs."""
    batch_size: Count
    crop: Size
    scale_range: tuple[Positive, Positive] = (1.0, 1.0)
    flip: Flag = True
    photometric: Photometric | None = None
    cat_max_ratio: Annotated[float, Strict(), Field(gt=0, le=1)] = 1.0
    """Crops in which one class has a larger share are drawn anew, ten times at most."""
    class_uniform: Share = 0.0
    """Share of the images that are drawn by class, each as often, with a crop around a pixel of it."""
    optimizer: Optimizer
    schedule: Schedule
    class_weights: tuple[Positive, ...] | None = None
    align_corners: Flag = False
    """Of the upsampling of logits to the labels' size, in the loss and in evaluation."""
    ohem: Ohem | None = None
    rmi: Rmi | None = None
    auxiliary: dict[Name, NotNegative] = {}
    """Weights of the losses of the network's auxiliary outputs, by their names."""
    coarse: tuple[Name, ...] = ()
    """The auxiliary outputs that are told the dataset's categories instead of its classes (HS3)."""
    evaluations: Count = 1
    """How often the validation split is measured for the learning curve: evenly, the last epoch too."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        if self.scale_range[0] > self.scale_range[1]:
            raise ValueError(f"scale_range must be [smallest, largest], not {list(self.scale_range)}")
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("epochs or iterations must be given, and not both")
        for key in ("class_weights", "ohem"):
            if self.rmi is not None and getattr(self, key) is not None:
                raise ValueError(f"{key} weighs cross-entropy, which rmi replaces: leave one of them out")
        for name in self.coarse:
            if name not in self.auxiliary:
                raise ValueError(f"coarse names '{name}', which has no weight in auxiliary")
        return self

    def steps(self, images: int) -> int:
        """Steps of the whole training on so many images."""
        return self.iterations or (self.epochs or 0) * (images // self.batch_size)


def _optional(section: type[Section]) -> dict[str, Any]:
    """The fields of a section, each of which may be left out or be null."""
    return {key: (field.annotation | None, None) for key, field in section.model_fields.items()}  # type: ignore[operator]


class Overrides(create_model("_Overrides", __base__=Section, **_optional(Recipe))):  # type: ignore[misc]
    """The keys of a recipe that a scale or an experiment sets anew; null puts a key back to its default."""

    def over(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """A recipe's keys with these laid over them."""
        given = {key: value for key, value in self.model_dump(exclude_unset=True).items() if key != "seeds"}
        merged = recipe | given
        if given.get("epochs"):
            merged.pop("iterations", None)
        if given.get("iterations"):
            merged.pop("epochs", None)
        return {key: value for key, value in merged.items() if value is not None}


class AtScale(Overrides):
    """What a scale makes of a recipe: other values, and how many of the scale's seeds it is run with."""

    seeds: Count | None = None


class Protocol(Section):
    """How trained networks are asked: of the whole image once, if nothing else is said."""

    slide: Annotated[float, Strict(), Field(gt=0, le=1)] | None = None
    """A window of the recipe's crop slides by this share of it; where windows overlap, the mean counts."""
    scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    """The image is seen at each of these sizes; probabilities are averaged."""
    flip: Flag = False
    """The mirrored image is seen, too."""
    multiple: Count | None = None
    """The image is resized to the next larger sides that are multiples of this ("aligned resize")."""


class Scale(Section):
    """How large every experiment is run."""

    name: Name
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    width: Width
    depth: Width = 1.0
    """Of every network's full depth: the number of blocks of a stage, at least one."""
    pretrained: Flag = False
    """Whether networks start from their `pretrained` weights, which exist at full width only."""
    frozen_width: Width = 1.0
    """Width of the frozen networks that losses ask (CLIP, VGG). Below 1 they have random weights."""
    data: dict[Name, Part]
    train: dict[Name, AtScale] = {}
    """For each recipe what this scale lays over it."""

    @model_validator(mode="after")
    def _pretrained_is_full_width(self) -> Scale:
        if self.pretrained and (self.width != 1 or self.depth != 1 or self.frozen_width != 1):
            raise ValueError(
                "pretrained weights exist at full size only: set width, depth and frozen_width to 1.0 or "
                "pretrained to false"
            )
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Scale:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ from each other, not {list(self.seeds)}")
        for recipe, layer in self.train.items():
            if (layer.seeds or 1) > len(self.seeds):
                raise ValueError(
                    f"train.{recipe}.seeds must be at most {len(self.seeds)}, the seeds of the scale, "
                    f"not {layer.seeds}"
                )
        return self

    def seeds_of(self, recipe: str) -> tuple[Seed, ...]:
        """The seeds that experiments with this recipe are run with."""
        layer = self.train.get(recipe)
        return self.seeds[: layer.seeds] if layer is not None else self.seeds


class Folder(Section):
    """A folder of the user's own that is read as a dataset; see dejavu/datasets/folder.py."""

    path: Text | None = None
    """The folder, from where commands are run; None is that of the dataset's name in DEJAVU_MIRROR."""
    images: Text
    """Where its images are, with {name} and, unless `lists` says it, {split} in it."""
    labels: Text
    """Where the label of the image {name} is."""
    classes: Annotated[tuple[Text, ...], Field(min_length=2, max_length=254)]
    splits: dict[Literal["train", "val", "test"], Text] = {"train": "train", "val": "val"}
    """What stands for {split} in each split."""
    lists: Text | None = None
    """Text files, with {split} in their names, that list the images of each split."""
    values: tuple[Byte | tuple[Byte, ...], ...] | None = None
    """The value, or values, of each class in label files; None is 0, 1, ..."""
    ignore: tuple[Byte, ...] = (255,)
    """The values that are neither trained on nor evaluated."""
    palette: tuple[tuple[Byte, Byte, Byte], ...] | None = None
    """Each class's colour, RGB."""
    categories: tuple[Text, ...] | None = None
    """Each class's category, for networks with coarse outputs (HS3)."""


class Source(Section):
    """Where a dataset's raw files come from, and on what terms."""

    licence: Text
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    manual: Text | None = None
    seed: Seed | None = None
    cost_input: Size | None = None
    """The size of image at which the cost of networks for this dataset is counted."""
    folder: Folder | None = None
    """Reads this folder: no module in dejavu/datasets is needed."""


class WithOptions(Section):
    """A part whose further keys are the options of what it names; `options.check` knows which there are."""

    @classmethod
    def _open(cls) -> bool:
        return True

    @property
    def options(self) -> Options:
        return dict(self.model_extra or {})


class Network(WithOptions):
    """A network: its file in dejavu/networks and that file's options."""

    module: Name


class Named(WithOptions):
    """A redaction or regenerator: its name and its options."""

    name: Name


class Perceptual(Section):
    """A perceptual term of the DejaVu loss: distances of VGG features."""

    weight: NotNegative = 0.1
    """Of the term beside the pixels' distance; gamma multiplies both."""
    weights: Text | None = None
    """A local file, or DEFAULT for torchvision's; random where the scale is not `pretrained`."""


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


Several = Annotated[tuple[Named, ...], Field(min_length=1)]
OneOrSeveral = Annotated[
    Annotated[Named, Tag("Named")] | Annotated[Several, Tag("tuple[Named]")],
    Discriminator(lambda value: "tuple[Named]" if isinstance(value, list | tuple) else "Named"),
]


class Method(Section):
    """What a DejaVu row adds to its base."""

    redaction: OneOrSeveral
    """One, or several that are regenerated side by side."""
    regenerator: Named
    stride: Count | None = None
    """Of the grid that the CRM works on; None is that of the network's prediction."""
    condition: Literal["probabilities", "logits"] = "probabilities"
    loss: Literal["l1", "mse"] = "l1"
    pixels: Literal["all", "redacted"] = "all"
    perceptual: Perceptual | None = None
    gamma: NotNegative
    warmup: Share = 0.0
    """Share of all steps in which the weights of all that DejaVu adds rise linearly from zero."""
    detach: Flag = False
    """The control: the same computation, with no gradient into the base network."""
    text: TextSupervision | None = None
    cycle: Cycle | None = None
    share_attention: Flag | None = None
    """false: a network's attention (DejaVu-SA) does not regenerate, as it otherwise does."""

    @property
    def redactions(self) -> tuple[Named, ...]:
        """All of them."""
        return (self.redaction,) if isinstance(self.redaction, Named) else self.redaction


class Experiment(Section):
    """A named row: what is trained."""

    task: Literal["semantic", "depth", "normals"]
    dataset: Name
    network: Name
    recipe: Name
    protocol: Name = "whole"
    """How it is evaluated."""
    train: Overrides = Overrides()
    base: Name | None = None
    dejavu: Method | None = None


class Row(Section):
    """A line of a table, as the paper prints it."""

    id: Name
    method: Text
    backbone: Text = ""
    paper: dict[str, Number | Annotated[int, Strict()] | None] = {}
    base: Name | None = None
    experiment: Name | None = None
    note: Text | None = None
    """A sentence below the table: why a cost is not the paper's, or why the row is not run."""


class Table(Section):
    """Which experiments fill which lines."""

    title: Text
    dataset: Name
    metrics: Annotated[tuple[Name, ...], Field(min_length=1)]
    figures: tuple[Literal["curves", "panel", "gains", "classes", "tradeoff"], ...] = ("curves", "panel")
    notes: tuple[Text, ...] = ()
    """Sentences below the table."""
    rows: tuple[Row, ...]

    @property
    def experiments(self) -> tuple[str, ...]:
        """The experiments that fill lines of this table, in the table's order."""
        return tuple(dict.fromkeys(row.experiment for row in self.rows if row.experiment))


class RunNetwork(Section):
    """A network as one scale builds it."""

    name: str
    module: str
    options: Options
    width: float
    depth: float = 1.0


class Run(Section):
    """One experiment at one scale, with everything resolved: all that a job depends on."""

    experiment: str
    scale: str
    seeds: tuple[int, ...]
    task: str
    dataset: str
    base: str | None
    data: Part
    source: Source
    network: RunNetwork
    pretrained: bool
    frozen_width: float
    train: Recipe
    protocol: Protocol = Protocol()
    dejavu: Method | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what the run depends on.

        Where costs are counted is no part of that, nor parts of the method that the run does not have.
        """
        without: dict[str, Any] = {"source": {"cost_input", "folder"}}
        if self.dejavu is None or (self.dejavu.text is None and self.dejavu.perceptual is None):
            without |= {"pretrained": True, "frozen_width": True}
        if self.dejavu is not None:
            without["dejavu"] = {key for key, value in self.dejavu if value is None}
        # What came later and says nothing is left out: results of before it remain those of their run.
        without["train"] = _unsaid(self.train, LATER) | {"optimizer": _unsaid(self.train.optimizer, LATER)}
        without["network"] = _unsaid(self.network, LATER)
        if self.protocol == Protocol():
            without["protocol"] = True
        return self.model_dump(mode="json", exclude=without)


LATER = frozenset(
    (
        *("depth", "iterations", "photometric", "cat_max_ratio", "class_uniform", "align_corners", "ohem"),
        *("rmi", "auxiliary", "coarse", "backbone", "head", "decay_norms", "clip"),
    )
)


def _unsaid(section: Section, keys: frozenset[str]) -> dict[str, Any]:
    """Those of the keys that have their default's value, to be excluded."""
    fields = type(section).model_fields
    return {key: True for key in keys & fields.keys() if getattr(section, key) == fields[key].default}


class Params(Section):
    """The whole of params.yaml."""

    scales: dict[Name, Scale]
    scale: Scale
    datasets: dict[Name, Source]
    networks: dict[Name, Network]
    recipes: dict[Name, Recipe]
    protocols: dict[Name, Protocol]
    experiments: dict[Name, Experiment]
    tables: dict[Name, Table]

    @model_validator(mode="before")
    @classmethod
    def _scale_is_an_alias(cls, value: Any) -> Any:
        # DVC reads scale.name and scale.seeds from here, so a bare name would do for us but not for it.
        if isinstance(value, dict) and isinstance(value.get("scale"), str):
            name = value["scale"]
            known = value.get("scales")
            hint = nearest(name, known) if isinstance(known, dict) and name not in known else f"write *{name}"
            raise ValueError(f"scale: must be an alias, not the text '{name}', {hint}")
        return value

    def get_scale(self, scale: str | None) -> Scale:
        """The named scale; None is params.yaml's own choice."""
        return self.scale if scale is None else _lookup(self.scales, scale, "scale")

    def part(self, dataset: str, scale: str) -> Part:
        """What plays `dataset`'s part at `scale`."""
        parts = self.get_scale(scale).data
        if dataset not in parts:
            raise DejavuError(
                f"dataset '{dataset}' has no part at scale '{scale}', {nearest(dataset, parts)}"
            )
        return parts[dataset]

    def cost_input(self, dataset: str) -> Size:
        """Height and width at which costs are counted for `dataset`, whatever plays its part."""
        source = self.datasets.get(dataset)
        if source is None or source.cost_input is None:
            raise DejavuError(f"datasets.{dataset}.cost_input is missing in params.yaml")
        return source.cost_input

    def run(self, experiment: str, scale: str) -> Run:
        """Resolve one experiment: recipe <- scale's `train` <- the row's `train`."""
        row = _lookup(self.experiments, experiment, "experiment")
        size = self.get_scale(scale)
        part = self.part(row.dataset, scale)
        recipe = self.recipes[row.recipe].model_dump(exclude_unset=True)
        for layer in (size.train.get(row.recipe), row.train):
            if layer is not None:
                recipe = layer.over(recipe)
        network = self.networks[row.network]
        options = {
            key: value for key, value in network.options.items() if key != "pretrained" or size.pretrained
        }
        return Run(
            experiment=experiment,
            scale=size.name,
            seeds=size.seeds_of(row.recipe),
            task=row.task,
            dataset=row.dataset,
            base=row.base,
            data=part,
            source=self.datasets[part.source],
            network=RunNetwork(
                name=row.network,
                module=network.module,
                options=options,
                width=size.width,
                depth=size.depth,
            ),
            pretrained=size.pretrained,
            frozen_width=size.frozen_width,
            train=Recipe(**recipe),
            protocol=self.protocols[row.protocol],
            dejavu=row.dejavu,
        )

    def get_protocol(self, protocol: str) -> Protocol:
        return _lookup(self.protocols, protocol, "protocol")

    def get_table(self, table: str) -> Table:
        return _lookup(self.tables, table, "table")


def _lookup(section: dict[str, Any], name: str, kind: str) -> Any:
    if name not in section:
        raise DejavuError(f"unknown {kind} '{name}', {nearest(name, section)}")
    return section[name]
