"""A process of tests/unit/method/test_distributed.py: `python data_parallel_worker.py FOLDER RANK`.

Without RANK it is one process alone, which learns from the joined batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dejavu import DejaVu

K, WORLD, STEPS, BATCH = 5, 2, 4, 2
OPTIONS: dict[str, dict[str, bool]] = {
    "plain": {},
    "unused": {"find_unused_parameters": True},
    "static": {"static_graph": True},
    "plain, two calls": {},
    "static, two calls": {"static_graph": True},
}


class Network(nn.Module):
    """A network without statistics of its batch, and with a head that no loss reaches."""

    def __init__(self, spare: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, K, 3, 2, 1))
        self.spare = nn.Conv2d(8, K, 1) if spare else None

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": self.layers(images)}


def build(option: str, seed: int = 0) -> DejaVu:
    torch.manual_seed(seed)
    return DejaVu(
        Network(spare=option == "unused"),
        num_classes=K,
        redaction=["random_blocks", "checkerboard"],
        regenerator={"name": "crm_r", "norm": "group"},
        pixels="redacted",
        warmup=0.5,
    ).double()


def train(option: str, batch: slice, wrap: Callable[[DejaVu], nn.Module]) -> dict[str, Tensor]:
    """Take a few steps on a share of each batch; returns the state, and the last step's gradients."""
    # Another network in each process: DistributedDataParallel starts all of them from that of the first one.
    model = build(option, seed=batch.start)
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    numbers = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        images = torch.randn(WORLD * BATCH, 3, 16, 24, generator=numbers).double()[batch]
        labels = torch.randint(K, (WORLD * BATCH, 4, 6), generator=numbers)[batch]
        if option.endswith("two calls") and wrapped is not model:
            prediction = wrapped(images)
            added = model.regeneration_loss(images, prediction, progress=step / STEPS)
        else:
            prediction, added = wrapped(images, regeneration={"progress": step / STEPS})
        optimizer.zero_grad()
        (F.cross_entropy(prediction["out"], labels) + added).backward()
        optimizer.step()
        if batch.start == 0:  # the first process draws a picture, which the others must not notice
            model.regenerate(images, prediction)
    gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return model.state_dict() | {f"gradient of {name}": value for name, value in gradients.items()}


def main(folder: Path, rank: int | None) -> None:
    if rank is None:
        whole = slice(0, WORLD * BATCH)
        torch.save(
            {option: train(option, whole, lambda model: model) for option in OPTIONS}, folder / "alone"
        )
        return
    distributed.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=WORLD)
    share = slice(rank * BATCH, (rank + 1) * BATCH)
    states = {
        option: train(option, share, lambda model, given=given: DistributedDataParallel(model, **given))
        for option, given in OPTIONS.items()
    }
    torch.save(states, folder / f"rank{rank}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
