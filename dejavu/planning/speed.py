"""Measured seconds of steps on a device, kept in results/<scale>/speed.json."""

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

CPU_BATCH = 2  # of a step that is timed on a processor, where a whole batch may take minutes
STEPS, SECONDS = 5, 10.0  # timed at most so many steps, and no further one after so long
SHARE = 0.6  # of the machine's memory that a timed step may take
PROBE = 3e10  # operations of an image of the probe, at most: a few seconds on one core


@dataclass(frozen=True)
class Speed:
    """Steps of one row, timed on one device.

    `seconds`: of a step of `batch` images of the size of `crop`, the median; `flops`: what such a step
    computes. `key` says what was timed: network, losses, optimiser and crop.
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
        """Operations in a second."""
        return self.flops / self.seconds


def read_speeds(scale: str) -> list[Speed]:
    """The measurements at a scale, of any device; none where there is no file.

    Raises DejavuError for a file of another form.
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
    """Write a measurement, which replaces an earlier one of the same row on the same device."""
    kept = [
        speed
        for speed in read_speeds(scale)
        if (speed.experiment, speed.device) != (measured.experiment, measured.device)
    ]
    entries = sorted([*kept, measured], key=lambda speed: (speed.device, speed.experiment))
    write_json(Paths(scale).speed(), {"measurements": [asdict(speed) for speed in entries]})


def device_name() -> str:
    """The name of the device that a training would run on here."""
    import torch

    from ..system.provenance import cpu_name

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"


def time_row(run: Run, meaning: Meaning, key: str, batch: int | None = None) -> Speed:
    """Time real training steps of a run, with random images in its crop's size, on the device at hand.

    On a GPU the whole batch, halved until it fits; on a processor a small one. Reading and augmenting
    images are left out: they go on beside.
    """
    import torch

    from .step_cost import count

    gpu = torch.cuda.is_available()
    batch = batch or (run.train.batch_size if gpu else min(CPU_BATCH, run.train.batch_size))
    while True:
        smaller = run.model_copy(update={"train": run.train.model_copy(update={"batch_size": batch})})
        work = count(smaller, meaning)
        try:
            # A system without memory ends the process without a message; a GPU raises an error.
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
    """Bytes that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _timed(run: Run, meaning: Meaning) -> list[float]:
    """Seconds of some steps, behind one in which memory is taken and kernels are chosen."""
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
    """Random images of the run's recipe, and what its tasks learn from them."""
    import torch

    from ..tasks import load
    from .step_cost import batch_of

    images = torch.randn(run.train.batch_size, 3, *run.train.crop, generator=numbers).to(device)
    images = images.to(memory_format=torch.channels_last)
    drawn = (classes, run.train.batch_size, run.train.crop, numbers)
    targets = {task: load(task).random_target(*drawn).to(device) for task in run.tasks}
    return batch_of(run, images, targets)


def probe(runs: Sequence[tuple[Run, Meaning, int]]) -> Speed:
    """A few seconds of steps of the cheapest run in a smaller crop, where nothing was measured.

    `runs`: each with what its labels mean and the operations of an image.
    """
    run, meaning, flops = min(runs, key=lambda row: row[2])
    height, width = run.train.crop
    while flops > PROBE and min(height, width) >= 128:
        height, width, flops = height // 2, width // 2, flops // 4
    small = run.train.model_copy(update={"crop": (height, width)})
    return time_row(run.model_copy(update={"train": small}), meaning, key="probe")


def as_dict(speed: Speed) -> dict[str, Any]:
    """A measurement with its rate, for JSON."""
    return asdict(speed) | {"steps_per_second": 1 / speed.seconds, "flops_per_second": speed.rate}
