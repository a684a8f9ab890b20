"""Plans of the rows of params.yaml at a scale: operations, memory, disk and hours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..config import Params, Run
from ..config.paths import STEP_COSTS
from ..errors import DejavuError
from ..system.files import read_json, write_json
from ..system.fingerprint import code_hash, json_hash
from ..tasks import names
from . import data
from .speed import Speed

if TYPE_CHECKING:
    from .step_cost import Meaning, Step, Work

# Keys of a recipe that change the cost of a step.
PER_STEP = (
    *("batch_size", "crop", "class_weights", "align_corners", "ohem", "rmi", "auxiliary", "coarse"),
    "labelled",
)


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step, and their source."""

    seconds: float
    kind: str
    """measured, similar, probe or given"""
    of: str
    """the timed row; '' for a given rate"""
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {"kind": self.kind, "row": self.of, "device": self.device, "step": self.seconds}


@dataclass(frozen=True)
class RowPlan:
    """Plan of one experiment with all its seeds."""

    run: Run
    work: Work
    steps: int | None
    step_time: StepTime | None

    @property
    def seeds(self) -> int:
        return len(self.run.seeds)

    @property
    def images(self) -> int | None:
        """Training images of one seed, repetitions included."""
        return None if self.steps is None else self.steps * self.run.train.batch_size

    @property
    def flops(self) -> int | None:
        """Operations of all seeds."""
        return None if self.steps is None else self.steps * self.work.flops * self.seeds

    @property
    def hours(self) -> float | None:
        """Hours of all seeds, trained one after the other."""
        if self.steps is None or self.step_time is None:
            return None
        return self.steps * self.seeds * self.step_time.seconds / 3600

    @property
    def memory(self) -> int:
        """Bytes of memory of one GPU, which keeps the activations of its share of the batch."""
        return self.work.memory - self._on_other_gpus

    @property
    def memory_half(self) -> int:
        """Bytes of memory of one GPU if all saved activations have two bytes per value."""
        return self.work.memory_half - self._on_other_gpus // 2

    @property
    def _on_other_gpus(self) -> int:
        return self.work.saved - self.work.saved // self.run.gpus

    @property
    def disk(self) -> int:
        """Bytes of the weights of all seeds, published and in runs/, and of one checkpoint to resume."""
        resume = self.work.weights + self.work.state
        return 2 * self.seeds * self.work.weights + resume

    @property
    def gmacs(self) -> float:
        """GMACs of the base network's forward pass in training, for one image of the crop's size."""
        return self.work.forward / 2 / self.work.batch / 1e9

    @property
    def overhead(self) -> float:
        """Operations of a step divided by three times the base network's forward pass."""
        return self.work.flops / (3 * self.work.forward)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON; sizes in bytes."""
        recipe = self.run.train
        return {
            "experiment": self.run.experiment,
            "scale": self.run.scale,
            "seeds": self.seeds,
            "steps": self.steps,
            "batch": recipe.batch_size,
            "crop": list(recipe.crop),
            "images": self.images,
            "forward_gmacs_per_image": self.gmacs,
            "flops_per_step": self.work.flops,
            "flops": self.flops,
            "task_loss_counted": self.work.loss,
            "parameters": self.work.deployed,
            "parameters_in_training": self.work.parameters,
            "gpus": self.run.gpus,
            "memory": self.memory,
            "memory_if_activations_are_half": self.memory_half,
            "activations": self.work.saved,
            "disk": self.disk,
            "hours": self.hours,
            "hours_from": None if self.step_time is None else self.step_time.as_dict(),
        }


class Planner:
    """Plans the rows of a scale; rows that share network, losses and recipe are counted once."""

    def __init__(self, params: Params, scale: str) -> None:
        self.params, self.scale = params, scale
        self._counted: dict[str, Work] = {}
        self._steps: dict[str, Step] = {}
        self._meanings: dict[str, Meaning] = {}

    def meaning(self, run: Run) -> Meaning:
        """Return the meaning of the labels of a run's data."""
        if run.dataset not in self._meanings:
            self._meanings[run.dataset] = data.meaning_of(self.params, run.dataset, self.scale)
        return self._meanings[run.dataset]

    def key(self, run: Run) -> str:
        """Return a hash of all settings that change the cost of a run's step."""
        recipe = run.train.model_dump(mode="json", include=set(PER_STEP))
        optimizer = [run.train.optimizer.name, run.train.optimizer.momentum > 0]
        network = run.network.model_dump(mode="json")
        network["options"].pop("pretrained", None)
        method = run.dejavu.model_dump(mode="json", exclude={"gamma", "warmup"}) if run.dejavu else None
        multitask = [run.balance and run.balance.name, run.consistency is not None]
        classes = 1 if run.head == "binary" else len(self.meaning(run).classes)
        settings = [recipe, optimizer, network, method, run.task, multitask, classes, run.frozen_width]
        return json_hash(settings)[:16]

    def work(self, run: Run) -> Work:
        """Return the cost of one step of a run."""
        key = self.key(run)
        if key not in self._counted:
            try:
                self._counted[key] = _kept(key) or self._count(run)
            except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DejavuError(
                    f"experiment '{run.experiment}' cannot be counted on the meta device: {reason}"
                ) from None
            write_json(_file(key), {"code": _code(), "work": asdict(self._counted[key])})
        return self._counted[key]

    def _count(self, run: Run) -> Work:
        """Count a step of a run; rows that differ only in the method share the step of their network."""
        from .step_cost import Step, plain

        without = plain(run)
        key = self.key(without)
        if key not in self._steps:
            self._steps[key] = Step(without, self.meaning(run))
        step = self._steps[key]
        return step.work if run.dejavu is None else step.with_method(run)

    def steps(self, run: Run) -> int | None:
        """Return the steps of one seed; None if the number of images is not known."""
        if run.train.iterations:
            return run.train.iterations
        images = data.counts(self.params, run.dataset, self.scale).get("train")
        return None if images is None else run.train.steps(images)

    def row(self, experiment: str, speeds: Speeds | None) -> RowPlan:
        """Return the plan of one experiment."""
        run = self.params.run(experiment, self.scale)
        work = self.work(run)
        step_time = None if speeds is None else speeds.of(self.key(run), run, work)
        return RowPlan(run, work, self.steps(run), step_time)


def _file(key: str) -> Path:
    return STEP_COSTS / f"{key}.json"


def _kept(key: str) -> Work | None:
    """Return the result of an earlier count by the same code; None if there is none."""
    from .step_cost import Work

    try:
        kept = read_json(_file(key))
        return Work(**kept["work"]) if kept["code"] == _code() else None
    except (DejavuError, OSError, KeyError, TypeError):
        return None


@cache
def _code() -> str:
    """Return a hash of the code for training and for counting."""
    networks = [f"networks.{module}" for module in registry.modules("networks")]
    tasks = [f"tasks.{task}" for task in names()]
    return code_hash(["training.loop", "config", "planning.step_cost", "planning.plan", *networks, *tasks])


@dataclass(frozen=True)
class Speeds:
    """Speed of steps: measurements on one device, or a given rate."""

    device: str
    measured: Sequence[Speed] = ()
    rate: float | None = None

    def of(self, key: str, run: Run, work: Work) -> StepTime:
        """Return the row's own measurement, or else the rate of the most similar row."""
        if self.rate is not None:
            return StepTime(work.flops / self.rate, "given", "", self.device)
        for speed in self.measured:
            if speed.key == key:
                return StepTime(
                    speed.seconds / speed.batch * work.batch, "measured", speed.experiment, self.device
                )
        near = min(self.measured, key=lambda speed: _distance(speed, run, work))
        kind = "probe" if near.key == "probe" else "similar"
        return StepTime(work.flops / near.rate, kind, near.experiment, self.device)

    @property
    def gpu(self) -> bool:
        """True if the device is a GPU: only a GPU trains in bfloat16."""
        return any(speed.precision == "bfloat16" for speed in self.measured)


def _distance(speed: Speed, run: Run, work: Work) -> tuple[bool, float]:
    """Return a sort key: rows of the same network module first, then rows of similar cost per image."""
    ratio = (speed.flops / speed.batch) / (work.flops / work.batch)
    return speed.module != run.network.module, abs(math.log(ratio))


def choose(measured: Iterable[Speed], here: str) -> Speeds | None:
    """Return the measurements of the device to plan for: of a GPU, or else of the current device.

    None if nothing was measured.
    """
    by_device: dict[str, list[Speed]] = {}
    for speed in measured:
        by_device.setdefault(speed.device, []).append(speed)
    choices = [Speeds(device, tuple(rows)) for device, rows in sorted(by_device.items())]
    if not choices:
        return None
    return max(choices, key=lambda one: (one.gpu, one.device == here, len(one.measured)))
