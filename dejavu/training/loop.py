"""The training loop: one for every row.

A baseline and its DejaVu row run the same lines with the same random numbers; the row adds the
regeneration loss and nothing else.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..compute import processes
from ..compute.device import choose_device, precision
from ..compute.random import derive, generator
from ..compute.sync_norm import synchronised
from ..errors import DejavuError
from ..method.wrapper import DejaVu
from ..metrics import main_metric
from ..system.signals import Request, Stopped, listening
from .batches import Batch, Batches
from .checkpoint import RunFolder
from .data import Data
from .epoch_log import Line, columns, epoch_line, report
from .objective import Objective, build_objective
from .optimizer import build_optimizer, build_scheduler, clip_gradients, rates_apart
from .validation import validate

if TYPE_CHECKING:
    from ..config import Run


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
    same bytes as if it had not been (on the same machine, on CPU). All processes that train together
    (compute/processes.py) call it, and the first alone measures and writes.

    Raises DejavuError when the loss is no longer finite or the data are too few for one batch, and Stopped
    after a signal (system/signals.py): in a step the state is saved first, and in a validation the last
    checkpoint stays, which is `checkpoint_seconds` old at most.
    """
    loop = Loop(run, seed, data, folder, watch)
    loop.restore()
    loop.take_steps(checkpoint_seconds)
    if processes.is_main():
        loop.finish()


class Loop:
    """The state of one training, and the functions that change it.

    Args:
        run, seed, data, folder, watch: as in `train`.
    """

    def __init__(
        self, run: Run, seed: int, data: Data, folder: RunFolder, watch: Callable[[Line], None]
    ) -> None:
        self.run, self.seed, self.data, self.folder, self.watch = run, seed, data, folder, watch
        self.device = choose_device()
        self.objective = build_objective(run, seed, data)
        self.objective.to(self.device).to(memory_format=torch.channels_last)
        if run.train.sync_norm and run.gpus > 1:
            synchronised(self.objective, self.device)
        rates = rates_apart(self.objective, run.consistency)
        self.optimizer = build_optimizer(self.objective, run.train.optimizer, rates)
        self.batches = Batches(run, seed, data)
        self.total = self.batches.total
        self.scheduler = build_scheduler(
            self.optimizer, run.train.schedule, self.total, self.batches.per_epoch
        )
        self.log: list[Line] = []
        # Each loss, summed over the steps of the current epoch.
        self.sums = torch.zeros(len(self.objective.terms), device=self.device, dtype=torch.float64)
        self.start, self.spent = 0, 0.0  # first step, and seconds before it, of a checkpoint
        self.began = self.saved = time.monotonic()

    def restore(self) -> None:
        """Restore the state of the folder's checkpoint, if there is one.

        Raises DejavuError where it is not a checkpoint of this run, or not the same in every process.
        """
        state = self.folder.load(torch.device("cpu"))  # a GPU need not hold it twice
        if state is not None:
            self._restore(state)
        if (processes.agree(self.start) or 0) != self.start:
            raise DejavuError(
                f"{self.folder.checkpoint}: process {processes.rank().number} of this training finds step "
                f"{self.start} there, another one a later step: the file system has not shown it everywhere "
                "yet, so run this again"
            )
        for line in self.log:
            self.watch(line)

    def _restore(self, state: dict[str, Any]) -> None:
        with self.folder.restoring():
            self.objective.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.start, self.spent = operator.index(state["step"]), float(state["seconds"])
            self.log = state["log"]
            self.sums.copy_(state["sums"].view(len(self.sums)))
            epochs = [line["epoch"] for line in self.log]
        whole = epochs == list(range(1, self.start // self.batches.per_epoch + 1))
        rates = self.scheduler.last_epoch
        if not 0 < self.start < self.total or not whole or rates != self.start:
            raise self.folder.spoilt(
                f"step {self.start} of {self.total}, behind {len(epochs)} epochs and {rates} rates"
            )

    def take_steps(self, checkpoint_seconds: float) -> None:
        """Train from the first step that is left to the last. Raises Stopped and DejavuError, as `train`."""
        self.began = self.saved = time.monotonic()
        self.objective.train()
        wrapped = processes.wrapped(self.objective)
        description = f"{self.run.experiment} seed {self.seed}"
        with listening(patient=self.run.gpus > 1) as request, _explained(self.run):
            for step, batch in self.batches.from_step(self.start, self.device, description):
                lr = self.optimizer.param_groups[0]["lr"]
                self.step(step, batch, wrapped)
                if self.batches.ends_epoch(step):
                    self.end_epoch(step, lr)
                self.save_if_due(step + 1, request, checkpoint_seconds)

    def step(self, step: int, batch: Batch, wrapped: nn.Module) -> None:
        """Learn from one batch; `wrapped` is the objective that averages gradients over processes."""
        torch.manual_seed(_seed_of_step(self.seed, step))
        self.sums += learn(
            self.objective,
            self.optimizer,
            batch,
            step / self.total,
            generator(self.seed, "redact", step),
            generator(self.seed, "gumbel", step),
            self.run.train.optimizer.clip,
            wrapped,
        )
        self.scheduler.step()

    def end_epoch(self, step: int, lr: float) -> None:
        """Validate where that is due, and write the epoch's line of the log; `step` was its last."""
        objective, batches = self.objective, self.batches
        epoch = step // batches.per_epoch + 1
        means = dict(zip(objective.terms, (self.sums / (step % batches.per_epoch + 1)).tolist(), strict=True))
        line = epoch_line(self.run, objective, means, step, epoch, lr)
        scores = self._validate(epoch)
        self.log.append(line | {f"val_{key}": scores.get(key) for key in map(main_metric, self.run.tasks)})
        if objective.balancer is not None:
            objective.balancer.end_epoch({task: means[task] for task in objective.tasks})
        self.watch(self.log[-1])
        left = (time.monotonic() - self.began) / (step + 1 - self.start) * (self.total - step - 1)
        report(self.run, self.seed, self.log[-1], batches.epochs, left)
        self.sums.zero_()

    def _validate(self, epoch: int) -> dict[str, float]:
        """Return the main metric of each task; nothing where this epoch or process does not measure it."""
        recipe, epochs = self.run.train, self.batches.epochs
        due = epoch * recipe.evaluations // epochs > (epoch - 1) * recipe.evaluations // epochs
        scores: dict[str, float] = {}
        stopped: int | None = None
        if due and processes.is_main():
            try:
                scores = validate(
                    self.objective.network, self.data, recipe.align_corners, self.run.protocol.panoptic
                )
            except Stopped as error:  # only this process validates: the others must stop with it
                stopped = error.number
        if (stopped := processes.agree(stopped)) is not None:
            raise Stopped(stopped, "while it validated")
        return scores

    def save_if_due(self, done: int, request: Request, checkpoint_seconds: float) -> None:
        """Save after `done` steps where that is due. Raises Stopped if the reason was a signal."""
        stop = processes.agree(request.number)
        due = stop is not None or time.monotonic() - self.saved > checkpoint_seconds
        if not due or done == self.total:
            return
        if processes.is_main():
            self.save(done)
        self.saved = time.monotonic()
        if stop is not None:
            processes.from_main(True)  # the others end when it has saved
            raise Stopped(stop, f"and saved at step {done} of {self.total}")

    def save(self, done: int) -> None:
        """Write a checkpoint of the state after `done` steps."""
        self.folder.save(
            {
                "step": done,
                "seconds": self.seconds,
                "model": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "log": self.log,
                "sums": self.sums,
            }
        )

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far, those before a resumption included."""
        return self.spent + time.monotonic() - self.began

    def finish(self) -> None:
        """Write the weights, the log and the summary, and drop the checkpoint."""
        model, network = self.objective.model, self.objective.network
        self.folder.finish(
            weights=network.state_dict(),
            regenerator=model.training_only.state_dict() if isinstance(model, DejaVu) else None,
            log=self.log,
            columns=columns(self.objective),
            seconds=self.seconds,
            steps=self.total,
            pretrained=_pretrained(network),
        )


@contextmanager
def _explained(run: Run) -> Iterator[None]:
    """Explain torch's error about a norm that has one value to normalise."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Expected more than 1"):
            raise
        (height, width), batch = run.train.crop, run.train.batch_size
        group = "" if run.dejavu is None else ", or set dejavu.regenerator.norm to group if it is that one"
        raise DejavuError(
            f"experiment '{run.experiment}': with crop {height} x {width} and batch_size {batch} a norm of "
            f"the network sees one value a channel: raise one of them in params.yaml{group}"
        ) from None


def _pretrained(network: nn.Module) -> dict[str, str]:
    """Return checksums of the pretrained weights of the network's modules."""
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
    wrapped: nn.Module | None = None,
) -> Tensor:
    """Take one step; returns the losses that `objective.terms` names, (len(terms),), over all processes.

    `wrapped`: the objective in a module that averages gradients over processes.
    """
    with precision(batch.images.device):
        losses = (wrapped or objective)(batch, progress, redact, gumbel)
    if objective.balancer is None:
        losses.total.backward()
    else:
        objective.balancer.backward(losses.tasks, losses.added)
    clip_gradients(objective, clip)
    optimizer.step()
    optimizer.zero_grad()
    return processes.mean(objective.values(losses))


def _seed_of_step(seed: int, step: int) -> int:
    """Return the seed of dropout and drop path in a step, which differs between processes."""
    rank = processes.rank().number
    return derive(seed, f"step of process {rank}" if rank else "step", step)
