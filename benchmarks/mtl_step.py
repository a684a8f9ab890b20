"""A training step of the full-size multi-task SegNet against the plainest loop that is right.

    python benchmarks/mtl_step.py [--size 288 384] [--batch 2] [--width 1.0] [--steps 5]

Both loops train the same network from the same weights on the same images. The plain one does what short
scripts do: it reads and augments image after image in the main thread, takes the loss of one image after the
other, leaves memory as it comes, and measures every step on the CPU. Ours is what `dejavu train` runs. They
take turns, so that a busy machine slows both alike, and the medians are compared: on CPU of processor time,
which others disturb less than the clock on the wall. Waiting is the share of our time on the wall in which a
step waits for its batch.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dejavu import config
from dejavu.augment import MEAN, STD
from dejavu.batches import Batches, Data
from dejavu.datasets.store import Split
from dejavu.objective import Objective, build_objective
from dejavu.optimisation import build_optimizer
from dejavu.randomness import generator
from dejavu.schema import Run
from dejavu.training import choose_device, learn

CLASSES = 13
IMAGES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[288, 384], metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    run, device = make_run(arguments), choose_device()
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), tuple(arguments.size))
        objective = build_objective(run, 0, data).to(device).train()
        plain = PlainLoop(copy.deepcopy(objective.network), run, data, device)
        loop = OurLoop(objective, run, data, device)
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        for turn in range(1 + arguments.steps):
            for name, step in (("plain", plain.step), ("ours", loop.step)):
                taken = timed(step, device)
                if turn:  # the first takes memory and chooses kernels
                    seconds[name].append(taken)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    size = "x".join(map(str, arguments.size))
    threads = torch.get_num_threads()
    print(f"{size}, batch {arguments.batch}, width {arguments.width:g}, {device}, {threads} thread(s)")
    for name, found in seconds.items():
        print(f"{name}: {middle[name]:.3f} s a step ({min(found):.3f} to {max(found):.3f})")
    print(f"ours is {middle['plain'] / middle['ours']:.2f} x as fast")
    print(f"waiting for data: {100 * loop.waited / loop.seconds:.2f} % of our time")


def make_run(arguments: argparse.Namespace) -> Run:
    """The experiment `mtl` as at paper scale, in the size that is asked for."""
    run = config.load("params.yaml").run("mtl", "paper")
    recipe = run.train.model_copy(update={"crop": tuple(arguments.size), "batch_size": arguments.batch})
    network = run.network.model_copy(update={"width": arguments.width})
    return run.model_copy(update={"train": recipe, "network": network})


def make_data(folder: Path, size: tuple[int, int]) -> Data:
    """Random images and targets in files, mapped into memory as prepared datasets are."""
    random = np.random.default_rng(0)
    normals = random.normal(size=(IMAGES, *size, 3))
    arrays = {
        "images": random.integers(0, 256, (IMAGES, *size, 3)).astype(np.uint8),
        "labels": random.integers(0, CLASSES, (IMAGES, *size)).astype(np.uint8),
        "depth": random.uniform(1, 9, (IMAGES, *size)).astype(np.float32),
        "normals": (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float16),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    mapped = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in arrays}
    split = Split(names=[str(number) for number in range(IMAGES)], **mapped)
    classes = [f"class {number}" for number in range(CLASSES)]
    return Data(
        tasks=("semantic", "depth", "normals"), train=split, val=split, classes=classes, ignore_index=255
    )


def timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds of a step; on CPU of processor time, the reader's included."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


class OurLoop:
    """What training.py does, step by step."""

    def __init__(self, objective: Objective, run: Run, data: Data, device: torch.device) -> None:
        self.objective = objective.to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(objective, run.train.optimizer)
        self.batches: Iterator = iter(Batches(run, 0, data).from_step(0, device, "mtl"))
        self.waited, self.seconds, self.steps = 0.0, 0.0, 0

    def step(self) -> None:
        start = time.perf_counter()
        number, batch = next(self.batches)
        waited = time.perf_counter() - start
        learn(self.objective, self.optimizer, batch, 0.0, generator(0, "redact", number))
        self.steps += 1
        if self.steps > 1:
            self.waited += waited
            self.seconds += time.perf_counter() - start


class PlainLoop:
    """The yardstick."""

    def __init__(self, network: torch.nn.Module, run: Run, data: Data, device: torch.device) -> None:
        self.network = network.to(memory_format=torch.contiguous_format)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=run.train.optimizer.lr)
        self.split, self.size, self.batch, self.device = (
            data.train,
            run.train.crop,
            run.train.batch_size,
            device,
        )
        self.scales, self.random, self.at = run.train.scale_choices or (1.0,), np.random.default_rng(0), 0

    def step(self) -> None:
        images, labels, depths, normals = (torch.stack(part) for part in zip(*self.read(), strict=True))
        images, labels = images.to(self.device), labels.to(self.device)
        depths, normals = depths.to(self.device), normals.to(self.device)
        out = self.network(images)
        vectors = out["normals"] / out["normals"].norm(dim=1, keepdim=True)
        total = torch.zeros((), device=self.device)
        for number in range(len(images)):
            scores = out["semantic"][number][None].log_softmax(1)
            total = total + F.nll_loss(scores, labels[number][None], ignore_index=255)
            known = depths[number] > 0
            total = total + ((out["depth"][number, 0] - depths[number]).abs() * known).sum() / known.sum()
            there = normals[number].abs().sum(0) > 0
            total = total + 1 - ((vectors[number] * normals[number]).sum(0) * there).sum() / there.sum()
        self.optimizer.zero_grad()
        (total / len(images)).backward()
        self.optimizer.step()
        self.measure(
            {key: value.detach().cpu() for key, value in out.items()},
            labels.cpu(),
            depths.cpu(),
            normals.cpu(),
        )

    def read(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The next images, each scaled and cropped by itself."""
        found = []
        for _ in range(self.batch):
            number, self.at = self.at % IMAGES, self.at + 1
            image = torch.from_numpy(np.array(self.split.images[number])).permute(2, 0, 1).float() / 255
            image = (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
            label = torch.from_numpy(np.array(self.split.labels[number]))[None].float()
            depth = torch.from_numpy(np.array(self.split.depth[number]))[None]
            normal = torch.from_numpy(np.array(self.split.normals[number])).permute(2, 0, 1).float()
            scale = self.scales[self.random.integers(len(self.scales))]
            height, width = (int(side / scale) for side in self.size)
            top, left = (
                self.random.integers(full - part + 1)
                for full, part in zip(self.size, (height, width), strict=True)
            )
            window = (slice(None), slice(top, top + height), slice(left, left + width))
            image = F.interpolate(image[window][None], self.size, mode="bilinear", align_corners=True)[0]
            label, depth, normal = (
                F.interpolate(part[window][None], self.size, mode="nearest")[0]
                for part in (label, depth, normal)
            )
            found.append((image, label[0].long(), depth[0] / scale, normal))
        return found

    def measure(self, out: dict[str, Tensor], labels: Tensor, depths: Tensor, normals: Tensor) -> list[float]:
        """Metrics of every image of the batch, class by class."""
        found = []
        for number in range(len(labels)):
            guess, truth = out["semantic"][number].argmax(0), labels[number]
            for one in range(CLASSES):
                both = ((guess == one) & (truth == one)).sum()
                found.append(float(both / ((guess == one) | (truth == one)).sum().clamp(min=1)))
            known = depths[number] > 0
            found.append(float((out["depth"][number, 0] - depths[number]).abs()[known].mean()))
            there = normals[number].abs().sum(0) > 0
            cosine = (F.normalize(out["normals"][number], dim=0) * normals[number]).sum(0)[there]
            angles = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
            found += [float(angles.mean()), float(angles.median())]
        return found


if __name__ == "__main__":
    main()
