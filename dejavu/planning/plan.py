"""Plans of the rows of params.yaml at a scale: operations, memory, disk and hours of each."""

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

# Keys of a recipe that the cost of a step depends on.
PER_STEP = (
    *("batch_size", "crop", "class_weights", "align_corners", "ohem", "rmi", "auxiliary", "coarse"),
    "labelled",
)


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step, and where they come from."""

    seconds: float
    kind: str
    """measured, similar, probe or given"""
    of: str
    """the row that was timed; '' of a given rate"""
    device: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "row": self.of, "device": self.device, "step": self.seconds}


@dataclass(frozen=True)
class RowPlan:
    """One experiment: all its seeds."""

    run: Run
    work: Work
    steps: int | None
    step_time: StepTime | None

    @property
    def seeds(self) -> int:
        return len(self.run.seeds)

    @property
    def images(self) -> int | None:
        """Images that one seed is trained on, repetitions counted."""
        return None if self.steps is None else self.steps * self.run.train.batch_size

    @property
    def flops(self) -> int | None:
        """Operations of all seeds."""
        return None if self.steps is None else self.steps * self.work.flops * self.seeds

    @property
    def hours(self) -> float | None:
        """Hours of all seeds, one after the other."""
        if self.steps is None or self.step_time is None:
            return None
        return self.steps * self.seeds * self.step_time.seconds / 3600

    @property
    def memory(self) -> int:
        """Bytes of one GPU: those that share a batch keep the activations of their share each."""
        return self.work.memory - self._on_other_gpus

    @property
    def memory_half(self) -> int:
        """The same where all that is saved has two bytes."""
        return self.work.memory_half - self._on_other_gpus // 2

    @property
    def _on_other_gpus(self) -> int:
        return self.work.saved - self.work.saved // self.run.gpus

    @property
    def disk(self) -> int:
        """Bytes of the weights of all seeds, published and kept in runs/, and of one checkpoint to resume."""
        resume = self.work.weights + self.work.state
        return 2 * self.seeds * self.work.weights + resume

    @property
    def gmacs(self) -> float:
        """The base network's forward pass over one image of the crop, with what only training needs."""
        return self.work.forward / 2 / self.work.batch / 1e9

    @property
    def overhead(self) -> float:
        """Operations of a step divided by three times the base network's forward pass."""
        return self.work.flops / (3 * self.work.forward)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; sizes in bytes."""
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
        """The meaning of the labels of a run's data."""
        if run.dataset not in self._meanings:
            self._meanings[run.dataset] = data.meaning_of(self.params, run.dataset, self.scale)
        return self._meanings[run.dataset]

    def key(self, run: Run) -> str:
        """A hash of everything that the cost of a run's step depends on."""
        recipe = run.train.model_dump(mode="json", include=set(PER_STEP))
        optimizer = [run.train.optimizer.name, run.train.optimizer.momentum > 0]
        network = run.network.model_dump(mode="json")
        network["options"].pop("pretrained", None)
        method = run.dejavu.model_dump(mode="json", exclude={"gamma", "warmup"}) if run.dejavu else None
        several = [run.balance and run.balance.name, run.consistency is not None]
        classes = len(self.meaning(run).classes)
        parts = [recipe, optimizer, network, method, run.task, several, classes, run.frozen_width]
        return json_hash(parts)[:16]

    def work(self, run: Run) -> Work:
        """One step of a run."""
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
        """Rows that differ in the method only share the step of their network."""
        from .step_cost import Step, plain

        without = plain(run)
        key = self.key(without)
        if key not in self._steps:
            self._steps[key] = Step(without, self.meaning(run))
        step = self._steps[key]
        return step.work if run.dejavu is None else step.with_method(run)

    def steps(self, run: Run) -> int | None:
        """Steps of one seed; None where the number of images is not known."""
        if run.train.iterations:
            return run.train.iterations
        images = data.counts(self.params, run.dataset, self.scale).get("train")
        return None if images is None else run.train.steps(images)

    def row(self, experiment: str, speeds: Speeds | None) -> RowPlan:
        """The plan of one experiment."""
        run = self.params.run(experiment, self.scale)
        work = self.work(run)
        step_time = None if speeds is None else speeds.of(self.key(run), run, work)
        return RowPlan(run, work, self.steps(run), step_time)


def _file(key: str) -> Path:
    return STEP_COSTS / f"{key}.json"


def _kept(key: str) -> Work | None:
    """The result of an earlier count by the same code; None where there is none."""
    from .step_cost import Work

    try:
        kept = read_json(_file(key))
        return Work(**kept["work"]) if kept["code"] == _code() else None
    except (DejavuError, OSError, KeyError, TypeError):
        return None


@cache
def _code() -> str:
    """A hash of the code that trains, and of that which counts."""
    networks = [f"networks.{module}" for module in registry.modules("networks")]
    tasks = [f"tasks.{task}" for task in names()]
    return code_hash(["training.loop", "config", "planning.step_cost", "planning.plan", *networks, *tasks])


@dataclass(frozen=True)
class Speeds:
    """How fast steps are: measurements of one device, or a rate that was given by hand."""

    device: str
    measured: Sequence[Speed] = ()
    rate: float | None = None

    def of(self, key: str, run: Run, work: Work) -> StepTime:
        """A row's own measurement, else the rate of the most similar row."""
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
        """Whether the device is a GPU: only there training is in bfloat16."""
        return any(speed.precision == "bfloat16" for speed in self.measured)


def _distance(speed: Speed, run: Run, work: Work) -> tuple[bool, float]:
    """Rows of the same network module are nearest, then those whose images cost about as much."""
    ratio = (speed.flops / speed.batch) / (work.flops / work.batch)
    return speed.module != run.network.module, abs(math.log(ratio))


def choose(measured: Iterable[Speed], here: str) -> Speeds | None:
    """The measurements of the device to plan for: a GPU's, else those of the one at hand.

    None where nothing was measured.
    """
    by_device: dict[str, list[Speed]] = {}
    for speed in measured:
        by_device.setdefault(speed.device, []).append(speed)
    choices = [Speeds(device, tuple(rows)) for device, rows in sorted(by_device.items())]
    if not choices:
        return None
    return max(choices, key=lambda one: (one.gpu, one.device == here, len(one.measured)))
