"""One of two processes of tests/test_parallel.py: `python parallel_worker.py FOLDER`, started twice.

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
from test_training import make_data
from torch import nn
from torch.nn import functional as F

from dejavu import training
from dejavu.batches import Batch
from dejavu.parallel import group
from dejavu.parallel.sync_norm import synchronised
from dejavu.runfolder import RunFolder

WORLD = 2


def train_all(folder: Path, gpus: int) -> None:
    """Train each of test_parallel's runs by `gpus` processes; logs and weights are in folder/EXPERIMENT."""
    from test_parallel import of_masks, runs

    for drop in ("dropout", "dropout1d", "dropout2d"):  # of which each process draws its own
        setattr(F, drop, lambda images, *_, **__: images)
    training.validate = lambda *_: {}  # type: ignore[assignment]
    for name, run in runs().items():
        shared = run.model_copy(update={"gpus": gpus})
        with nullcontext() if of_masks(run) else exactly():
            data, work = make_data(8, tasks=run.tasks), RunFolder(folder / name, "test")
            training.train(shared, 0, data, work)


@contextmanager
def exactly() -> Iterator[None]:
    """Have trainings compute in double precision: what is not the same then is no rounding."""
    build, augmented = training.build_objective, training.Batches.augmented

    def batch(*arguments: Any) -> Batch:
        found = augmented(*arguments)
        return found._replace(images=found.images.double())

    training.build_objective = lambda *arguments: build(*arguments).double()  # type: ignore[assignment]
    training.Batches.augmented = batch  # type: ignore[method-assign]
    try:
        yield
    finally:
        training.build_objective, training.Batches.augmented = build, augmented  # type: ignore[method-assign]


def norm_of_parts(folder: Path) -> None:
    """BatchNorm of two parts of a batch: output, gradients and running statistics."""
    torch.manual_seed(0)
    images, weights = torch.randn(6, 5, 4, 3) * 2 + 1, torch.randn(6, 5, 4, 3)
    norm = nn.BatchNorm2d(5)
    nn.init.normal_(norm.weight)
    synchronised(norm, torch.device("cpu"))
    part = group.place().part(3)
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
        folder / f"norm{group.place().rank}.pt",
    )


def main(folder: Path) -> None:
    with group.joined(WORLD):
        norm_of_parts(folder)
        # A list of numbers, of which each process has its own.
        rank = group.place().rank
        told = {
            "across": float(group.across(torch.tensor(3.0 if rank else 5.0))),
            "mean": group.mean(torch.tensor([1.0 + rank, 4.0])).tolist(),
            "agree": group.agree(15 if rank else None),
            "nothing": group.agree(None),
            "lead": group.from_lead(rank == 0),
        }
        (folder / f"told{rank}.json").write_text(json.dumps(told))
        (folder / "two").mkdir(exist_ok=True)
        train_all(folder / "two", WORLD)


if __name__ == "__main__":
    if sys.argv[2:] == ["alone"]:
        train_all(Path(sys.argv[1]) / "one", 1)
    else:
        main(Path(sys.argv[1]))
