"""The training loop: one for every row.

A baseline and its DejaVu row run the same lines with the same random numbers; the row adds the
regeneration loss and nothing else.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .augment import augment, normalise
from .errors import DejavuError
from .inference import build_method, build_network, predict
from .method import DejaVu
from .metrics import collect
from .metrics.semantic import ConfusionMatrix
from .optimisation import build_optimizer, build_scheduler
from .randomness import derive, generator
from .runfolder import RunFolder
from .tasks import MAIN_METRIC, TARGETS, channels, task_loss

if TYPE_CHECKING:
    from .datasets.store import Split
    from .schema import Recipe, Run

# A line of the log, one an epoch. An empty field was not measured in that epoch.
Line = dict[str, float | int | None]
COLUMNS = ("step", "epoch", "lr", "loss", "loss_task", "loss_dejavu")  # and `val_` with the task's metric


@dataclass(frozen=True)
class Data:
    """What a run learns from: memory-mapped splits and what their labels mean."""

    task: str
    train: Split
    val: Split
    classes: Sequence[str]
    ignore_index: int

    @property
    def num_classes(self) -> int:
        """K of the dataset."""
        return len(self.classes)

    def target(self, split: Split) -> np.ndarray:
        """The array that the task learns from."""
        array = getattr(split, TARGETS[self.task])
        if array is None:
            raise DejavuError(f"the task {self.task} needs {TARGETS[self.task]}, which the dataset lacks")
        return array


class Objective(nn.Module):
    """Images and targets -> losses. One forward, so that distributed wrappers see the whole step."""

    def __init__(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        super().__init__()
        self.model = model  # the base network, or DejaVu around it
        self.task, self.ignore_index = data.task, data.ignore_index
        weights = None if recipe.class_weights is None else torch.tensor(recipe.class_weights)
        if weights is not None and len(weights) != data.num_classes:
            raise DejavuError(
                f"recipe: class_weights has {len(weights)} values for a dataset of {data.num_classes} classes"
            )
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)
        if isinstance(model, DejaVu):
            model.criterion = self.criterion

    @property
    def network(self) -> nn.Module:
        """The plain base network."""
        return self.model.network if isinstance(self.model, DejaVu) else self.model

    def criterion(self, prediction: Any, target: Tensor) -> Tensor:
        """The task's loss."""
        return task_loss(self.task, prediction, target, self.ignore_index, self.class_weights)

    def forward(
        self, images: Tensor, target: Tensor, progress: float, redact: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """images (N, 3, H, W), target (N, ..., H, W) -> task loss, what DejaVu adds."""
        prediction = self.model(images)  # (N, C, H / stride, W / stride)
        task = self.criterion(prediction, target)
        if not isinstance(self.model, DejaVu):
            return task, None
        return task, self.model.regeneration_loss(images, prediction, redact, progress, labels=target)


def train(
    run: Run,
    seed: int,
    data: Data,
    folder: RunFolder,
    checkpoint_seconds: float = 60.0,
    watch: Callable[[Line], None] = lambda line: None,
) -> None:
    """Train one seed to the end, from the folder's checkpoint if there is one.

    `watch` is called with each line of the log, those from before a resumption included.

    Leaves the weights and the log in `folder`. Killed at any moment and called again, it ends with the
    same bytes as if it had not been (on the same machine, on CPU).

    Raises DejavuError when the loss is no longer finite or the data are too few for one batch.
    """
    device = _device()
    objective = Objective(_model(run, seed, data), data, run.train)
    objective.to(device).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(objective, run.train.optimizer)
    batches = Batches(run, seed, data)
    scheduler = build_scheduler(optimizer, run.train.schedule, batches.total)

    state = folder.load(device)
    log: list[Line] = []
    sums = torch.zeros(2, device=device, dtype=torch.float64)  # of the epoch's task and DejaVu losses
    start, spent = 0, 0.0
    if state is not None:
        objective.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        start, spent, log, sums = (
            state["step"],
            state["seconds"],
            state["log"],
            state["sums"].to(device),
        )

    for line in log:
        watch(line)

    def save(step: int) -> None:
        folder.save(
            {
                "step": step,
                "seconds": spent + time.monotonic() - began,
                "model": objective.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "log": log,
                "sums": sums,
            }
        )

    began = saved = time.monotonic()
    objective.train()
    for step, images, target in batches.from_step(start, device, f"{run.experiment} seed {seed}"):
        torch.manual_seed(derive(seed, "step", step))  # dropout and drop path
        with _precision(device):
            task, dejavu = objective(images, target, step / batches.total, generator(seed, "redact", step))
        (task if dejavu is None else task + dejavu).backward()
        sums += torch.stack([task.detach(), torch.zeros_like(task) if dejavu is None else dejavu.detach()])
        lr = optimizer.param_groups[0]["lr"]
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        if (step + 1) % batches.per_epoch == 0:
            epoch = (step + 1) // batches.per_epoch
            log.append(_line(run, objective, data, sums / batches.per_epoch, epoch, step + 1, lr))
            watch(log[-1])
            report(
                run,
                seed,
                log[-1],
                (time.monotonic() - began) / (step + 1 - start) * (batches.total - step - 1),
            )
            sums.zero_()
        if time.monotonic() - saved > checkpoint_seconds and step + 1 < batches.total:
            save(step + 1)
            saved = time.monotonic()

    seconds = spent + time.monotonic() - began
    model = objective.model
    folder.finish(
        weights=objective.network.state_dict(),
        regenerator=model.training_only.state_dict() if isinstance(model, DejaVu) else None,
        log=log,
        columns=(*COLUMNS, f"val_{MAIN_METRIC[run.task]}"),
        seconds=seconds,
        steps=batches.total,
    )


def report(run: Run, seed: int, line: Line, seconds_left: float) -> None:
    """One line an epoch for the log file of a job; on a terminal there is the bar."""
    if sys.stderr.isatty():
        return
    measured = ", ".join(
        f"{key} {value:.4g}"
        for key, value in line.items()
        if key.startswith(("loss", "val")) and value is not None
    )
    left = timedelta(seconds=round(seconds_left))
    print(
        f"{run.experiment} seed {seed}: epoch {line['epoch']}/{run.train.epochs}, {measured}, {left} left",
        file=sys.stderr,
        flush=True,
    )


class Batches:
    """The order in which a run sees its images: shuffled anew each epoch, the last part batch dropped."""

    def __init__(self, run: Run, seed: int, data: Data) -> None:
        self.recipe, self.seed, self.split, self.ignore_index = run.train, seed, data.train, data.ignore_index
        self.task, self.target = data.task, data.target(data.train)
        self.per_epoch = len(data.train.images) // self.recipe.batch_size
        self.total = self.per_epoch * self.recipe.epochs
        if self.per_epoch == 0:
            raise DejavuError(
                f"experiment '{run.experiment}': batch_size {self.recipe.batch_size} is larger than the "
                f"{len(data.train.images)} training images of '{run.data.source}' at scale {run.scale}"
            )

    def indices(self, step: int) -> np.ndarray:
        """The images of one step."""
        epoch, place = divmod(step, self.per_epoch)
        order = torch.randperm(len(self.split.images), generator=generator(self.seed, "order", epoch)).numpy()
        return order[place * self.recipe.batch_size : (place + 1) * self.recipe.batch_size]

    def read(self, step: int) -> tuple[Tensor, Tensor]:
        """Raw images (N, H, W, 3), uint8, and targets off the disk: (N, H, W), or normals (N, 3, H, W)."""
        chosen = self.indices(step)
        target = torch.from_numpy(self.target[chosen])
        if self.task == "normals":
            target = target.float().permute(0, 3, 1, 2)
        return torch.from_numpy(self.split.images[chosen]), target

    def from_step(
        self, start: int, device: torch.device, description: str
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Augmented batches on `device`; the next one is read while this one is used."""
        from .progress import track

        recipe = self.recipe
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self.read, start) if start < self.total else None
            for step in track(range(start, self.total), self.total, description, start):
                assert following is not None
                images, target = (part.to(device) for part in following.result())
                following = reader.submit(self.read, step + 1) if step + 1 < self.total else None
                yield (
                    step,
                    *augment(
                        normalise(images),
                        target,
                        task=self.task,
                        crop=recipe.crop,
                        scale_range=recipe.scale_range,
                        flip=recipe.flip,
                        ignore_index=self.ignore_index,
                        generator=generator(self.seed, "augment", step),
                    ),
                )


def _device() -> torch.device:
    """A GPU where there is one; its arithmetic is made as repeatable as it can be."""
    gpu = torch.cuda.is_available()
    # CUDA has no deterministic bilinear backward: there it warns, on CPU everything is exact. The same as
    # torch.use_deterministic_algorithms(True), which also imports torch's compiler: 2.5 seconds a job.
    torch.set_deterministic_debug_mode("warn" if gpu else "error")
    # It would fill every new tensor first: 10 % of a step for a fault that no code here has.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if gpu else "cpu")


def _precision(device: torch.device) -> torch.autocast:
    """bfloat16 where there is a GPU; on CPU it is slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _model(run: Run, seed: int, data: Data) -> nn.Module:
    """The base network, the same to the bit for a row and its base, in DejaVu where the row has it."""
    torch.manual_seed(derive(seed, "init"))
    network = build_network(run, channels(run.task, data.num_classes))
    if run.dejavu is None:
        return network
    return build_method(run, network, data.classes, seed=derive(seed, "regenerator"))


def _line(
    run: Run, objective: Objective, data: Data, means: Tensor, epoch: int, step: int, lr: float
) -> Line:
    """One line of the log."""
    task, dejavu = means.tolist()
    if not math.isfinite(task + dejavu):
        raise DejavuError(
            f"experiment '{run.experiment}': the loss is {task + dejavu} in epoch {epoch}: "
            "lower train.optimizer.lr or dejavu.gamma in params.yaml"
        )
    recipe = run.train
    due = epoch * recipe.evaluations // recipe.epochs > (epoch - 1) * recipe.evaluations // recipe.epochs
    return {
        "step": step,
        "epoch": epoch,
        "lr": lr,
        "loss": task + dejavu,
        "loss_task": task,
        "loss_dejavu": None if run.dejavu is None else dejavu,
        f"val_{MAIN_METRIC[run.task]}": validate(objective.network, data) if due else None,
    }


def validate(network: nn.Module, data: Data) -> float:
    """The task's main metric, in its unit, on the validation split; the network's mode is restored."""
    # Of a segmentation mIoU alone: the boundaries, which `collect` measures too, are dear.
    semantic = data.task == "semantic"
    metrics = ConfusionMatrix(data.num_classes, data.ignore_index) if semantic else collect(data.task)
    network.eval()
    predictions = predict(network, data.val.images, data.task)
    for truth, prediction in zip(data.target(data.val), predictions, strict=True):
        metrics.update(truth, prediction)
    network.train()
    if isinstance(metrics, ConfusionMatrix):
        return metrics.mIoU
    return float(metrics.compute()[MAIN_METRIC[data.task]])


def read_data(prepared: Path, report: dict[str, Any], task: str = "semantic") -> Data:
    """The training and validation splits of a prepared dataset, for a task."""
    from .datasets.store import open_split, validation_split

    return Data(
        task=task,
        train=open_split(prepared, "train"),
        val=open_split(prepared, validation_split(report)),
        classes=report["classes"],
        ignore_index=report["ignore_index"],
    )
