"""A training step of the full-size multi-task SegNet against the plainest loop that is right.

    python benchmarks/mtl_step.py [--size 288 384] [--batch 2] [--width 1.0] [--steps 5] [--profile]

All loops start from the same weights. The plain one does what the public code of multi-task learning on
NYUD-v2 does (VICO-UoE/MTPSL, nyu_mtl_sl.py): a loader without workers reads an image's four files and
augments them in the main thread, the network runs as published (a head after the other, torch's unpooling,
memory as it comes), losses are taken of one image after the other, and every step is measured on the CPU, one
image and class at a time. `plain, our network` is the same loop around our form of the network: what is left
of the gain is the loop's. Ours is what `dejavu train` runs.

They take turns, so that a busy machine slows all alike, and the medians are compared: on CPU of processor
time, which others disturb less than the clock on the wall. Waiting is the share of our time on the wall in
which a step waits for its batch. `--profile` prints what one step of each is made of.
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
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset

from dejavu.compute.device import choose_device
from dejavu.compute.random import generator
from dejavu.config import Run, loading
from dejavu.datasets.prepared.store import Split
from dejavu.networks.segnet import SegNet
from dejavu.training.batches import Batches
from dejavu.training.data import Data
from dejavu.training.loop import learn
from dejavu.training.objective import Objective, build_objective
from dejavu.training.optimizer import build_optimizer

CLASSES = 13
IMAGES = 16
KINDS = ("image", "label", "depth", "normal")  # a file of each for every image
NAMED = 6  # operations that a profile names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[288, 384], metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    run, device = make_run(arguments), choose_device()
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), tuple(arguments.size))
        objective = build_objective(run, 0, data).to(device).train()
        network = objective.network
        assert isinstance(network, SegNet)
        published, same = Published(copy.deepcopy(network)), copy.deepcopy(network)
        same.unit = nn.Identity()  # it is given images in [0, 1]
        compare(published, same, device)
        ours = OurLoop(objective, run, data, device)
        loops: dict[str, Callable[[], None]] = {
            "plain": PlainLoop(published, run, Path(folder), device).step,
            "plain, our network": PlainLoop(same, run, Path(folder), device).step,
            "ours": ours.step,
        }
        seconds = take_turns(loops, arguments.steps, device)
        size = "x".join(map(str, arguments.size))
        threads = torch.get_num_threads()
        print(f"{size}, batch {arguments.batch}, width {arguments.width:g}, {device}, {threads} thread(s)")
        tell(seconds)
        print(f"waiting for data: {100 * ours.waited / ours.seconds:.2f} % of our time")
        if arguments.profile:
            for name, step in loops.items():
                print(f"\n{name}: {spent(step)}")


def compare(published: Published, ours: SegNet, device: torch.device) -> None:
    """Raise AssertionError unless both forms of the network say the same and learn the same from it."""
    torch.set_deterministic_debug_mode("default")
    images = torch.rand(2, 3, 64, 64, device=device)
    found = [answers(copy.deepcopy(network), images) for network in (published, ours)]
    for theirs, own in zip(*found, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-4)


def answers(network: Published | SegNet, images: Tensor) -> list[Tensor | None]:
    """A network's predictions of images, and the gradients of its heads."""
    out = network(images)
    maps = [out[task] for task in network.heads]
    torch.cat(maps, 1).square().mean().backward()
    return [*maps, *(parameter.grad for parameter in network.heads.parameters())]


def take_turns(
    loops: dict[str, Callable[[], None]], steps: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each loop's steps, behind one in which memory is taken and kernels are chosen."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(1 + steps):
        for name, step in loops.items():
            taken = timed(step, device)
            if turn:
                seconds[name].append(taken)
    return seconds


def tell(seconds: dict[str, list[float]]) -> None:
    """Print medians, and how much faster ours is: of the medians, and from turn to turn."""
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(f"{name}: {middle:.3f} s a step ({min(found):.3f} to {max(found):.3f})")
    ours = seconds["ours"]
    for name, found in seconds.items():
        if name != "ours":
            ratios = [theirs / own for theirs, own in zip(found, ours, strict=True)]
            print(
                f"ours is {statistics.median(found) / statistics.median(ours):.2f} x as fast as {name}; "
                f"turn by turn {min(ratios):.2f} to {max(ratios):.2f}, median {statistics.median(ratios):.2f}"
            )


def spent(step: Callable[[], None]) -> str:
    """The shares of a step's processor time of the operations that take most of it."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    shares = [(row.key.removeprefix("aten::"), row.self_cpu_time_total / total) for row in rows]
    rest = sum(share for _, share in shares[NAMED:])
    named = ", ".join(f"{key} {100 * share:.1f} %" for key, share in shares[:NAMED])
    return f"{named}, others {100 * rest:.1f} % of {total / 1e6:.2f} s"


def make_run(arguments: argparse.Namespace) -> Run:
    """The experiment `mtl` as at paper scale, in the size that is asked for."""
    run = loading.load("params.yaml").run("mtl", "paper")
    recipe = run.train.model_copy(update={"crop": tuple(arguments.size), "batch_size": arguments.batch})
    network = run.network.model_copy(update={"width": arguments.width})
    return run.model_copy(update={"train": recipe, "network": network})


def make_data(folder: Path, size: tuple[int, int]) -> Data:
    """Random images and targets: prepared, in files that are mapped into memory, and as MTAN's release has
    them, below `folder`."""
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
    for number in range(IMAGES):
        image, label, depth, normal = (array[number].astype(np.float32) for array in arrays.values())
        for kind, values in zip(KINDS, (image / 255, label, depth[..., None], normal), strict=True):
            (folder / kind).mkdir(exist_ok=True)
            np.save(folder / kind / f"{number}.npy", values)
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
    """What training/loop.py does, step by step."""

    def __init__(self, objective: Objective, run: Run, data: Data, device: torch.device) -> None:
        self.objective = objective.to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(objective, run.train.optimizer)
        self.batches: Iterator = iter(Batches(run, 0, data).from_step(0, device, "mtl"))
        self.waited, self.seconds, self.steps = 0.0, 0.0, 0

    def step(self) -> None:
        choose_device()  # which asks for the same bits again
        start = time.perf_counter()
        number, batch = next(self.batches)
        waited = time.perf_counter() - start
        learn(self.objective, self.optimizer, batch, 0.0, generator(0, "redact", number))
        self.steps += 1
        if self.steps > 1:
            self.waited += waited
            self.seconds += time.perf_counter() - start


class Published(nn.Module):
    """The same network as it was published: a head after the other, torch's unpooling, images in [0, 1]."""

    def __init__(self, network: SegNet) -> None:
        super().__init__()
        self.trunk, self.heads = network.trunk, network.heads

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        places = []
        for stage in self.trunk.encoder:
            x, place = F.max_pool2d(stage(x)[1], 2, return_indices=True)
            places.append(place)
        for stage in self.trunk.decoder:
            x = stage(F.max_unpool2d(x, places.pop(), [2, 2]))[1]
        return {task: head(x) for task, head in self.heads.items()}


class Files(Dataset):
    """Images and targets, each read and augmented when it is asked for."""

    def __init__(self, folder: Path, scales: tuple[float, ...]) -> None:
        self.folder, self.scales, self.random = folder, scales, np.random.default_rng(0)

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        """Image (3, H, W) in [0, 1], label (H, W), depth (H, W), normals (3, H, W)."""
        image, label, depth, normal = (
            torch.from_numpy(np.load(self.folder / kind / f"{number}.npy")) for kind in KINDS
        )
        image, label, depth, normal = (
            part.permute(2, 0, 1)[None] for part in (image, label[..., None], depth, normal)
        )
        size = (image.shape[2], image.shape[3])
        scale = self.scales[self.random.integers(len(self.scales))]
        height, width = (int(side / scale) for side in size)
        top, left = (
            self.random.integers(full - part + 1) for full, part in zip(size, (height, width), strict=True)
        )
        window = (slice(None), slice(None), slice(top, top + height), slice(left, left + width))
        image, normal = (
            F.interpolate(part[window], size, mode="bilinear", align_corners=True)[0]
            for part in (image, normal)
        )
        label, depth = (F.interpolate(part[window], size, mode="nearest")[0, 0] for part in (label, depth))
        return image, label, depth / scale, normal


class PlainLoop:
    """The yardstick, of a network that is given images in [0, 1]."""

    def __init__(self, network: nn.Module, run: Run, folder: Path, device: torch.device) -> None:
        self.network, self.device = network.to(memory_format=torch.contiguous_format), device
        self.optimizer = torch.optim.Adam(network.parameters(), lr=run.train.optimizer.lr)
        files = Files(folder, run.train.scale_choices or (1.0,))
        self.loader = DataLoader(files, run.train.batch_size, shuffle=True, num_workers=0, drop_last=True)
        self.batches: Iterator[list[Tensor]] = iter(())

    def step(self) -> None:
        torch.set_deterministic_debug_mode("default")  # torch's unpooling is refused otherwise
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        images, labels, depths, normals = (part.to(self.device) for part in batch)
        labels = labels.long()
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
        found = {"semantic": out["semantic"], "depth": out["depth"], "normals": vectors}
        for number in range(len(images)):
            guess = {task: part[number].detach().cpu() for task, part in found.items()}
            measure(guess, labels[number].cpu(), depths[number].cpu(), normals[number].cpu())


def measure(guess: dict[str, Tensor], truth: Tensor, depth: Tensor, normal: Tensor) -> list[float]:
    """An image's metrics, class by class: mIoU, pixel accuracy, depth errors, and angles.

    Logits (K, H, W), depth (1, H, W) and unit vectors (3, H, W) against (H, W), (H, W) and (3, H, W).
    """
    classes = guess["semantic"].argmax(0)
    overlaps = []
    for one in range(CLASSES):
        union = ((classes == one) | (truth == one)).sum()
        if union > 0:
            overlaps.append(float(((classes == one) & (truth == one)).sum() / union))
    known = depth > 0
    off, true = (guess["depth"][0] - depth).abs()[known], depth[known]
    cosine = (guess["normals"] * normal).sum(0)[normal.abs().sum(0) > 0]
    angles = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    return [
        *(sum(overlaps) / len(overlaps), float((classes == truth).sum() / (truth != 255).sum())),
        *(float(off.mean()), float((off / true).mean()), float(angles.mean()), float(angles.median())),
        *(float((angles < limit).float().mean()) for limit in (11.25, 22.5, 30)),
    ]


if __name__ == "__main__":
    main()
