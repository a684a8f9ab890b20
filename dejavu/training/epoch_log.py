"""The log of a training: one line an epoch, in its file and for the caller's `watch`."""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from ..compute import processes
from ..errors import DejavuError
from ..metrics import main_metric

if TYPE_CHECKING:
    from ..config import Run
    from .objective import Objective

# An empty field was not measured in that epoch.
Line = dict[str, float | int | None]
COLUMNS = ("step", "epoch", "lr", "loss")  # then the losses that it is the sum of, and `val_` with metrics


def columns(objective: Objective) -> list[str]:
    """List the log's columns: losses, the tasks' weights where a balancer sets them, validation metrics."""
    weights = [] if objective.balancer is None else [f"weight_{task}" for task in objective.tasks]
    losses = [f"loss_{term}" for term in objective.terms]
    return [*COLUMNS, *losses, *weights, *(f"val_{main_metric(task)}" for task in objective.tasks)]


def epoch_line(
    run: Run, objective: Objective, means: dict[str, float], step: int, epoch: int, lr: float
) -> Line:
    """Return the line of the epoch that ended with `step`, without its validation.

    Args:
        means: the mean over the epoch's steps of each of `objective.terms`.
        lr: the learning rate of the last step.

    Raises DejavuError where the loss is not finite.
    """
    loss = means["task"] + means["dejavu"] + means.get("consistency", 0.0)
    if not math.isfinite(loss):
        raise DejavuError(
            f"experiment '{run.experiment}': the loss is {loss} in epoch {epoch}: "
            "lower train.optimizer.lr or dejavu.gamma in params.yaml"
        )
    line: Line = {"step": step + 1, "epoch": epoch, "lr": lr, "loss": loss}
    line |= {f"loss_{term}": mean for term, mean in means.items()}
    if run.dejavu is None:
        line["loss_dejavu"] = None
    if objective.balancer is not None:
        line |= {f"weight_{task}": weight for task, weight in objective.balancer.weights.items()}
    return line


def report(run: Run, seed: int, line: Line, epochs: int, seconds_left: float) -> None:
    """Print one line an epoch for the log file of a job; on a terminal there is the bar."""
    if sys.stderr.isatty() or not processes.is_main():
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
