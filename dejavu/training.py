"""The training loop: one for every row.

A baseline and its DejaVu row run the same lines with the same random numbers; the row adds the
regeneration loss and nothing else.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .batches import Batches, Data
from .errors import DejavuError
from .inference import build_method, build_network, predict
from .method import DejaVu
from .metrics import collect
from .metrics.semantic import ConfusionMatrix
from .optimisation import build_optimizer, build_scheduler, clip_gradients
from .randomness import derive, generator
from .runfolder import RunFolder
from .supervision import Criterion
from .tasks import MAIN_METRIC, channels

if TYPE_CHECKING:
    from .schema import Run

# A line of the log, one an epoch. An empty field was not measured in that epoch.
Line = dict[str, float | int | None]
COLUMNS = ("step", "epoch", "lr", "loss", "loss_task", "loss_dejavu")  # and `val_` with the task's metric


class Objective(nn.Module):
    """Images and targets -> losses. One forward, so that distributed wrappers see the whole step.

    Args:
        model: the base network, or DejaVu around it.
        criterion: the recipe's loss; a DejaVu model's cycle asks it, too.
    """

    def __init__(self, model: nn.Module, criterion: Criterion) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        if isinstance(model, DejaVu):
            model.criterion = criterion.main  # of the main output, which is all that a cycle hands over

    @property
    def network(self) -> nn.Module:
        """The plain base network."""
        return self.model.network if isinstance(self.model, DejaVu) else self.model

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
    device = choose_device()
    objective = build_objective(run, seed, data)
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
        lr = optimizer.param_groups[0]["lr"]
        redact = generator(seed, "redact", step)
        progress = step / batches.total
        sums += learn(objective, optimizer, images, target, progress, redact, run.train.optimizer.clip)
        scheduler.step()
        if batches.ends_epoch(step):
            means = sums / (step % batches.per_epoch + 1)
            log.append(_line(run, objective, data, means, batches, step, lr))
            watch(log[-1])
            left = (time.monotonic() - began) / (step + 1 - start) * (batches.total - step - 1)
            report(run, seed, log[-1], batches.epochs, left)
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
        pretrained=_pretrained(objective.network),
    )


def _pretrained(network: nn.Module) -> dict[str, str]:
    """Checksums of the weights that parts of the network started from."""
    return {
        name or "network": str(module.pretrained_sha256)
        for name, module in network.named_modules()
        if hasattr(module, "pretrained_sha256")
    }


def learn(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    target: Tensor,
    progress: float,
    redact: torch.Generator,
    clip: float | None,
) -> Tensor:
    """One step: images (N, 3, H, W) and their target -> the task's loss and what DejaVu adds, (2,)."""
    with precision(images.device):
        task, dejavu = objective(images, target, progress, redact)
    (task if dejavu is None else task + dejavu).backward()
    clip_gradients(objective, clip)
    optimizer.step()
    optimizer.zero_grad()
    return torch.stack([task.detach(), torch.zeros_like(task) if dejavu is None else dejavu.detach()])


def report(run: Run, seed: int, line: Line, epochs: int, seconds_left: float) -> None:
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
        f"{run.experiment} seed {seed}: epoch {line['epoch']}/{epochs}, {measured}, {left} left",
        file=sys.stderr,
        flush=True,
    )


def choose_device() -> torch.device:
    """A GPU where there is one; its arithmetic is made as repeatable as it can be."""
    gpu = torch.cuda.is_available()
    # CUDA has no deterministic bilinear backward: there it warns, on CPU everything is exact. The same as
    # torch.use_deterministic_algorithms(True), which also imports torch's compiler: 2.5 seconds a job.
    torch.set_deterministic_debug_mode("warn" if gpu else "error")
    # It would fill every new tensor first: 10 % of a step for a fault that no code here has.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if gpu else "cpu")


def precision(device: torch.device) -> torch.autocast:
    """bfloat16 where there is a GPU; on CPU it is slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def build_objective(run: Run, seed: int, data: Data) -> Objective:
    """What is trained: the base network, the same to the bit for a row and its base, and its losses."""
    torch.manual_seed(derive(seed, "init"))
    model = network = build_network(run, channels(run.task, data.num_classes), classes=data.classes)
    if run.dejavu is not None:
        model = build_method(run, network, data.classes, seed=derive(seed, "regenerator"))
    criterion = Criterion(
        run.train, run.task, data.num_classes, data.ignore_index, data.categories, network=network
    )
    return Objective(model, criterion)


def _line(
    run: Run, objective: Objective, data: Data, means: Tensor, batches: Batches, step: int, lr: float
) -> Line:
    """One line of the log, after an epoch's last step."""
    task, dejavu = means.tolist()
    epoch, epochs = step // batches.per_epoch + 1, batches.epochs
    if not math.isfinite(task + dejavu):
        raise DejavuError(
            f"experiment '{run.experiment}': the loss is {task + dejavu} in epoch {epoch}: "
            "lower train.optimizer.lr or dejavu.gamma in params.yaml"
        )
    evaluations = run.train.evaluations
    due = epoch * evaluations // epochs > (epoch - 1) * evaluations // epochs
    score = validate(objective.network, data, run.train.align_corners) if due else None
    return {
        "step": step + 1,
        "epoch": epoch,
        "lr": lr,
        "loss": task + dejavu,
        "loss_task": task,
        "loss_dejavu": None if run.dejavu is None else dejavu,
        f"val_{MAIN_METRIC[run.task]}": score,
    }


def validate(network: nn.Module, data: Data, align_corners: bool = False) -> float:
    """The task's main metric, in its unit, on the validation split; the network's mode is restored.

    Of whole images, seen once, whatever the experiment's protocol: it draws a curve and chooses nothing.
    """
    # Of a segmentation mIoU alone: the boundaries, which `collect` measures too, are dear.
    semantic = data.task == "semantic"
    metrics = ConfusionMatrix(data.num_classes, data.ignore_index) if semantic else collect(data.task)
    network.eval()
    truths = data.target(data.val)
    predictions = predict(
        network,
        data.val.images,
        data.task,
        align_corners=align_corners,
        sizes=[truth.shape[:2] for truth in truths],
    )
    for truth, prediction in zip(truths, predictions, strict=True):
        metrics.update(truth, prediction)
    network.train()
    if isinstance(metrics, ConfusionMatrix):
        return metrics.mIoU
    return float(metrics.compute()[MAIN_METRIC[data.task]])
