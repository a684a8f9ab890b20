"""Measured seconds of steps on a device, stored in results/<scale>/speed.json."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..config.paths import Paths
from ..errors import DejavuError
from ..system.files import read_json, write_json

if TYPE_CHECKING:
    import torch

    from ..config import Run
    from ..training.batches import Batch
    from .step_cost import Meaning

CPU_BATCH = 2  # batch size of a timed step on a CPU, where a whole batch may take minutes
STEPS, SECONDS = 5, 10.0  # limits of a measurement: number of steps, and seconds
SHARE = 0.6  # largest share of the machine's memory for a timed step
PROBE = 3e10  # largest number of operations per image in a probe: a few seconds on one core


@dataclass(frozen=True)
class Speed:
    """Steps of one row, timed on one device.

    `seconds`: median time of a step of `batch` images of size `crop`; `flops`: operations of such a step.
    `key` identifies the timed setting: network, losses, optimizer and crop.
    """

    experiment: str
    key: str
    module: str
    device: str
    torch: str
    precision: str
    threads: int
    batch: int
    crop: tuple[int, int]
    seconds: float
    steps: int
    flops: int

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.flops / self.seconds


def read_speeds(scale: str) -> list[Speed]:
    """Read the measurements at a scale, on any device; an empty list if there is no file.

    Raises DejavuError for a file of another format.
    """
    path = Paths(scale).speed()
    if not path.exists():
        return []
    content = read_json(path)
    try:
        return [Speed(**{**entry, "crop": tuple(entry["crop"])}) for entry in content["measurements"]]
    except (KeyError, TypeError):
        raise DejavuError(
            f"{path} holds no measurements of `dejavu plan --measure`: delete it, and measure again"
        ) from None


def keep(scale: str, measured: Speed) -> None:
    """Write a measurement; it replaces an earlier one of the same row on the same device."""
    kept = [
        speed
        for speed in read_speeds(scale)
        if (speed.experiment, speed.device) != (measured.experiment, measured.device)
    ]
    entries = sorted([*kept, measured], key=lambda speed: (speed.device, speed.experiment))
    write_json(Paths(scale).speed(), {"measurements": [asdict(speed) for speed in entries]})


def device_name() -> str:
    """Return the name of the device that a training would use on this machine."""
    import torch

    from ..system.provenance import cpu_name

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"


def time_row(run: Run, meaning: Meaning, key: str, batch: int | None = None) -> Speed:
    """Time real training steps of a run on the current device, with random images of its crop's size.

    A GPU takes the whole batch, halved until it fits; a CPU takes a small batch. Reading and augmenting
    images are not timed: they run in parallel.
    """
    import torch

    from .step_cost import count

    gpu = torch.cuda.is_available()
    batch = batch or (run.train.batch_size if gpu else min(CPU_BATCH, run.train.batch_size))
    while True:
        smaller = run.model_copy(update={"train": run.train.model_copy(update={"batch_size": batch})})
        work = count(smaller, meaning)
        try:
            # Without free memory the system ends the process without a message; a GPU raises an error.
            if not gpu and work.memory > SHARE * main_memory():
                raise MemoryError
            seconds = _timed(smaller, meaning)
            break
        except (MemoryError, torch.cuda.OutOfMemoryError):
            if gpu:
                torch.cuda.empty_cache()
            if batch == 1:
                raise DejavuError(
                    f"experiment '{run.experiment}': one image of {' x '.join(map(str, run.train.crop))} "
                    f"pixels does not fit into the memory of {device_name()}"
                ) from None
            batch //= 2
    return Speed(
        experiment=run.experiment,
        key=key,
        module=run.network.module,
        device=device_name(),
        torch=torch.__version__,
        precision="bfloat16" if gpu else "float32",
        threads=torch.get_num_threads(),
        batch=batch,
        crop=run.train.crop,
        seconds=sorted(seconds)[len(seconds) // 2],
        steps=len(seconds),
        flops=work.flops,
    )


def main_memory() -> int:
    """Return the bytes of main memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _timed(run: Run, meaning: Meaning) -> list[float]:
    """Return the seconds of each timed step, after a first step that allocates memory and selects kernels."""
    import torch

    from ..compute.device import choose_device
    from ..compute.random import generator
    from ..training.loop import learn
    from ..training.optimizer import build_optimizer
    from .step_cost import build

    device, recipe = choose_device(), run.train
    objective = build(run, meaning).to(device).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(objective, recipe.optimizer)
    numbers = generator(0, "plan")
    batch = random_batch(run, len(meaning.classes), numbers, device)
    seconds: list[float] = []
    began = time.monotonic()
    for step in range(1 + STEPS):
        if step > 1 and time.monotonic() - began > SECONDS:
            break
        start = time.perf_counter()
        redact = generator(0, "redact", step)
        learn(objective, optimizer, batch, 1.0, redact, generator(0, "gumbel", step), recipe.optimizer.clip)
        if device.type == "cuda":
            torch.cuda.synchronize()
        if step:
            seconds.append(time.perf_counter() - start)
    return seconds


def random_batch(run: Run, classes: int, numbers: torch.Generator, device: torch.device) -> Batch:
    """Return a batch of random images of the run's recipe, with random targets of its tasks."""
    import torch

    from ..tasks import load
    from .step_cost import batch_of

    images = torch.randn(run.train.batch_size, 3, *run.train.crop, generator=numbers).to(device)
    images = images.to(memory_format=torch.channels_last)
    drawn = (classes, run.train.batch_size, run.train.crop, numbers)
    targets = {task: load(task).random_target(*drawn).to(device) for task in run.tasks}
    return batch_of(run, images, targets)


def probe(runs: Sequence[tuple[Run, Meaning, int]]) -> Speed:
    """Time a few seconds of steps of the cheapest run in a smaller crop, if nothing was measured.

    `runs`: each run with the meaning of its labels and the operations per image.
    """
    run, meaning, flops = min(runs, key=lambda row: row[2])
    height, width = run.train.crop
    while flops > PROBE and min(height, width) >= 128:
        height, width, flops = height // 2, width // 2, flops // 4
    small = run.train.model_copy(update={"crop": (height, width)})
    return time_row(run.model_copy(update={"train": small}), meaning, key="probe")


def as_dict(speed: Speed) -> dict[str, Any]:
    """Return a measurement with its rate, for JSON."""
    return asdict(speed) | {"steps_per_second": 1 / speed.seconds, "flops_per_second": speed.rate}
