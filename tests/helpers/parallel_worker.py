"""One of the two processes of tests/unit/compute/test_processes.py: `python parallel_worker.py FOLDER`.

With `alone` behind it, one process that trains the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from unit.training.test_loop import make_data

from dejavu.compute import processes
from dejavu.compute.sync_norm import synchronised
from dejavu.training import loop
from dejavu.training.batches import Batch
from dejavu.training.checkpoint import RunFolder

WORLD = 2


def train_all(folder: Path, gpus: int) -> None:
    """Train each of test_processes' runs by `gpus` processes; logs and weights are in folder/EXPERIMENT."""
    from unit.compute.test_processes import of_masks, runs

    for drop in ("dropout", "dropout1d", "dropout2d"):  # of which each process draws its own
        setattr(F, drop, lambda images, *_, **__: images)
    loop.validate = lambda *_: {}  # type: ignore[assignment]
    for name, run in runs().items():
        shared = run.model_copy(update={"gpus": gpus})
        with nullcontext() if of_masks(run) else exactly():
            data, work = make_data(8, tasks=run.tasks), RunFolder(folder / name, "test", "code")
            loop.train(shared, 0, data, work)


@contextmanager
def exactly() -> Iterator[None]:
    """Have trainings compute in double precision: what is not the same then is no rounding."""
    build, augmented = loop.build_objective, loop.Batches.augmented

    def batch(*arguments: Any) -> Batch:
        found = augmented(*arguments)
        return found._replace(images=found.images.double())

    loop.build_objective = lambda *arguments: build(*arguments).double()  # type: ignore[assignment]
    loop.Batches.augmented = batch  # type: ignore[method-assign]
    try:
        yield
    finally:
        loop.build_objective, loop.Batches.augmented = build, augmented  # type: ignore[method-assign]


def norm_of_parts(folder: Path) -> None:
    """BatchNorm of two parts of a batch: output, gradients and running statistics."""
    torch.manual_seed(0)
    images, weights = torch.randn(6, 5, 4, 3) * 2 + 1, torch.randn(6, 5, 4, 3)
    norm = nn.BatchNorm2d(5)
    nn.init.normal_(norm.weight)
    synchronised(norm, torch.device("cpu"))
    part = processes.rank().share(3)
    mine = images[part].requires_grad_()
    seen = norm(mine)
    F.mse_loss(seen, weights[part], reduction="sum").backward()
    torch.save(
        {
            "out": seen.detach(),
            "images": mine.grad,
            "weight": norm.weight.grad,
            "bias": norm.bias.grad,
            **{key: value.clone() for key, value in norm.named_buffers()},
        },
        folder / f"norm{processes.rank().number}.pt",
    )


def main(folder: Path) -> None:
    with processes.joined(WORLD):
        norm_of_parts(folder)
        # A list of numbers, of which each process has its own.
        rank = processes.rank().number
        told = {
            "across": float(processes.across(torch.tensor(3.0 if rank else 5.0))),
            "mean": processes.mean(torch.tensor([1.0 + rank, 4.0])).tolist(),
            "agree": processes.agree(15 if rank else None),
            "nothing": processes.agree(None),
            "lead": processes.from_main(rank == 0),
        }
        (folder / f"told{rank}.json").write_text(json.dumps(told))
        (folder / "two").mkdir(exist_ok=True)
        train_all(folder / "two", WORLD)


if __name__ == "__main__":
    if sys.argv[2:] == ["alone"]:
        train_all(Path(sys.argv[1]) / "one", 1)
    else:
        main(Path(sys.argv[1]))
