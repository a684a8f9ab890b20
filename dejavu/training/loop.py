"""The training loop: one for every row.

A baseline and its DejaVu row run the same lines with the same random numbers; the row adds the
regeneration loss and nothing else.
"""

from __future__ import annotations

import math
import operator
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..compute import processes
from ..compute.device import choose_device, precision
from ..compute.random import derive, generator
from ..compute.sync_norm import synchronised
from ..errors import DejavuError
from ..method.wrapper import DejaVu
from ..metrics import main_metric
from ..system.signals import Stopped, listening
from .batches import Batch, Batches, Data
from .checkpoint import RunFolder
from .objective import Objective, build_objective
from .optimizer import build_optimizer, build_scheduler, clip_gradients, rates_apart
from .validation import validate

if TYPE_CHECKING:
    from ..config import Run

# A line of the log, one an epoch. An empty field was not measured in that epoch.
Line = dict[str, float | int | None]
COLUMNS = ("step", "epoch", "lr", "loss")  # then the losses that it is the sum of, and `val_` with metrics


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
    same bytes as if it had not been (on the same machine, on CPU). Of several processes that train together
    (parallel/) all call it, and the first alone measures and writes.

    Raises DejavuError when the loss is no longer finite or the data are too few for one batch, and Stopped
    when a signal asked for it (system/signals.py): in a step all is saved, and a validation that is left
    leaves what was saved last, `checkpoint_seconds` ago at most.
    """
    device = choose_device()
    objective = build_objective(run, seed, data)
    objective.to(device).to(memory_format=torch.channels_last)
    if run.train.sync_norm and run.gpus > 1:
        synchronised(objective, device)
    optimizer = build_optimizer(objective, run.train.optimizer, rates_apart(objective, run.consistency))
    batches = Batches(run, seed, data)
    scheduler = build_scheduler(optimizer, run.train.schedule, batches.total, batches.per_epoch)

    state = folder.load(torch.device("cpu"))  # a GPU need not hold it twice
    log: list[Line] = []
    terms = objective.terms
    sums = torch.zeros(len(terms), device=device, dtype=torch.float64)  # of the epoch's losses
    start, spent = 0, 0.0  # from the checkpoint
    if state is not None:
        with folder.restoring():
            objective.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            scheduler.load_state_dict(state["scheduler"])
            start, spent, log = operator.index(state["step"]), float(state["seconds"]), state["log"]
            sums.copy_(state["sums"].view(len(terms)))
            epochs = [line["epoch"] for line in log]
        whole = epochs == list(range(1, start // batches.per_epoch + 1)) and scheduler.last_epoch == start
        if not 0 < start < batches.total or not whole:
            raise folder.spoilt(
                f"step {start} of {batches.total}, behind {len(epochs)} epochs and "
                f"{scheduler.last_epoch} rates"
            )
    if (processes.agree(start) or 0) != start:
        raise DejavuError(
            f"{folder.checkpoint}: process {processes.place().rank} of this training finds step {start} "
            "there, another one a later step: the file system has not shown it everywhere yet, so run this "
            "again"
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
    stepped, lead = processes.wrapped(objective), processes.is_lead()
    with listening(patient=run.gpus > 1) as request, _explained(run):
        for step, batch in batches.from_step(start, device, f"{run.experiment} seed {seed}"):
            torch.manual_seed(_of_step(seed, step))
            lr = optimizer.param_groups[0]["lr"]
            numbers = generator(seed, "redact", step), generator(seed, "gumbel", step)
            progress = step / batches.total
            sums += learn(objective, optimizer, batch, progress, *numbers, run.train.optimizer.clip, stepped)
            scheduler.step()
            if batches.ends_epoch(step):
                means = dict(zip(terms, (sums / (step % batches.per_epoch + 1)).tolist(), strict=True))
                interrupted: int | None = None
                try:
                    log.append(_line(run, objective, data, means, batches, step, lr))
                except Stopped as asked:  # of the lead, which alone validates: the others hear of it
                    interrupted = asked.number
                if (interrupted := processes.agree(interrupted)) is not None:
                    raise Stopped(interrupted, "while it validated")
                if objective.balancer is not None:
                    objective.balancer.end_epoch({task: means[task] for task in objective.tasks})
                watch(log[-1])
                rest = (time.monotonic() - began) / (step + 1 - start) * (batches.total - step - 1)
                report(run, seed, log[-1], batches.epochs, rest)
                sums.zero_()
            stop = processes.agree(request.number)
            due = stop is not None or time.monotonic() - saved > checkpoint_seconds
            if due and step + 1 < batches.total:
                if lead:
                    save(step + 1)
                saved = time.monotonic()
                if stop is not None:
                    processes.from_lead(True)  # the others end when it has saved
                    raise Stopped(stop, f"and saved at step {step + 1} of {batches.total}")

    if not lead:
        return

    seconds = spent + time.monotonic() - began
    model = objective.model
    folder.finish(
        weights=objective.network.state_dict(),
        regenerator=model.training_only.state_dict() if isinstance(model, DejaVu) else None,
        log=log,
        columns=(*COLUMNS, *_columns(objective), *(f"val_{main_metric(task)}" for task in run.tasks)),
        seconds=seconds,
        steps=batches.total,
        pretrained=_pretrained(objective.network),
    )


@contextmanager
def _explained(run: Run) -> Iterator[None]:
    """Say what torch's complaint about a norm without statistics comes from."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Expected more than 1"):
            raise
        (height, width), batch = run.train.crop, run.train.batch_size
        raise DejavuError(
            f"experiment '{run.experiment}': with crop {height} x {width} and batch_size {batch} a norm of "
            "the network sees one value: raise one of them in params.yaml"
        ) from None


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
    batch: Batch,
    progress: float,
    redact: torch.Generator,
    gumbel: torch.Generator | None = None,
    clip: float | None = None,
    stepped: nn.Module | None = None,
) -> Tensor:
    """One step; returns the losses that `objective.terms` names, (len(terms),), of all processes' images.

    `stepped`: the objective in what averages gradients over several processes.
    """
    with precision(batch.images.device):
        losses = (stepped or objective)(batch, progress, redact, gumbel)
    if objective.balancer is None:
        losses.total.backward()
    else:
        objective.balancer.backward(losses.tasks, losses.added)
    clip_gradients(objective, clip)
    optimizer.step()
    optimizer.zero_grad()
    return processes.mean(objective.told(losses))


def report(run: Run, seed: int, line: Line, epochs: int, seconds_left: float) -> None:
    """One line an epoch for the log file of a job; on a terminal there is the bar."""
    if sys.stderr.isatty() or not processes.is_lead():
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


def _of_step(seed: int, step: int) -> int:
    """The seed of dropout and drop path in a step: another one in each of several processes."""
    rank = processes.place().rank
    return derive(seed, f"step of process {rank}" if rank else "step", step)


def _columns(objective: Objective) -> list[str]:
    """How the log calls the losses, and the weights of several tasks where something weighs them."""
    weights = [] if objective.balancer is None else [f"weight_{task}" for task in objective.tasks]
    return [*(f"loss_{term}" for term in objective.terms), *weights]


def _line(
    run: Run,
    objective: Objective,
    data: Data,
    means: dict[str, float],
    batches: Batches,
    step: int,
    lr: float,
) -> Line:
    """One line of the log, after an epoch's last step."""
    loss = means["task"] + means["dejavu"] + means.get("consistency", 0.0)
    epoch, epochs = step // batches.per_epoch + 1, batches.epochs
    if not math.isfinite(loss):
        raise DejavuError(
            f"experiment '{run.experiment}': the loss is {loss} in epoch {epoch}: "
            "lower train.optimizer.lr or dejavu.gamma in params.yaml"
        )
    evaluations = run.train.evaluations
    due = epoch * evaluations // epochs > (epoch - 1) * evaluations // epochs
    fusion = run.protocol.panoptic
    asked = due and processes.is_lead()
    scores = validate(objective.network, data, run.train.align_corners, fusion) if asked else {}
    line: Line = {"step": step + 1, "epoch": epoch, "lr": lr, "loss": loss}
    line |= {f"loss_{term}": mean for term, mean in means.items()}
    if run.dejavu is None:
        line["loss_dejavu"] = None
    if objective.balancer is not None:
        line |= {f"weight_{task}": weight for task, weight in objective.balancer.weights.items()}
    return line | {f"val_{key}": scores.get(key) for key in map(main_metric, run.tasks)}
