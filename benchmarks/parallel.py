"""What sharing a batch between processes saves: step time of one process against two, one thread each.

    python benchmarks/parallel.py [--batch 8] [--size 128 256] [--steps 8] [--rounds 3]

One process with the whole batch and two with half of it each, on CPU with gloo, take turns; of each the
median step is compared, on the clock on the wall. Two could be twice as fast; what is lost is the exchange
of gradients and, with SyncBN, of every BatchNorm's statistics. The results, with their machine and date, are
in parallel.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import torch

from dejavu.compute import processes
from dejavu.compute.random import generator
from dejavu.compute.sync_norm import synchronised
from dejavu.config import loading
from dejavu.engines.launch import free_port
from dejavu.planning.data import meaning_of
from dejavu.planning.speed import random_batch
from dejavu.planning.step_cost import build
from dejavu.training import loop
from dejavu.training.optimizer import build_optimizer

VARIANTS = {"one process": (1, False), "two": (2, False), "two, SyncBN": (2, True)}


def main() -> None:
    arguments = parse()
    if arguments.variant is not None:
        timed(*VARIANTS[arguments.variant], arguments)
        return
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.rounds):
        for name in VARIANTS:
            found[name] += in_processes(name)
    print(f"{arguments.batch} x {'x'.join(map(str, arguments.size))}, HRNet18 + DejaVu at full width")
    print("\n| processes | step, s (quartiles) | times as fast |\n|---|---|---|")
    base = statistics.median(found["one process"])
    for name, seconds in found.items():
        low, middle, high = statistics.quantiles(seconds, n=4)
        print(f"| {name} | {middle:.2f} ({low:.2f}-{high:.2f}) | {base / middle:.2f} |")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 256])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_processes(name: str) -> list[float]:
    """Seconds of each step of a variant, measured by its first process."""
    count, port = VARIANTS[name][0], str(free_port())
    command = [sys.executable, *sys.argv, "--variant", name]
    started = []
    for rank in range(count):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
        env |= {key: str(value) for key, value in place.items()} if count > 1 else {}
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"benchmarks/parallel.py: '{name}' failed, as it says above")
    return [float(line) for line in said[0].split()]


def timed(count: int, sync: bool, arguments: argparse.Namespace) -> None:
    """Print the seconds of each step, in the first process."""
    params = loading.load("params.yaml")
    run = params.run("hrnet18_dejavu", "paper")
    train = run.train.model_copy(
        update={"batch_size": arguments.batch // count, "crop": tuple(arguments.size), "class_weights": None}
    )
    run = run.model_copy(update={"train": train})
    meaning = meaning_of(params, run.dataset, "paper")
    torch.manual_seed(0)
    with processes.joined(count):
        device = loop.choose_device()
        objective = build(run, meaning).to(memory_format=torch.channels_last).train()
        if sync:
            synchronised(objective, device)
        optimizer = build_optimizer(objective, train.optimizer)
        wrapped = processes.wrapped(objective)
        batch = random_batch(run, len(meaning.classes), generator(processes.rank().number, "images"), device)
        for step in range(arguments.steps + 1):
            start = time.perf_counter()
            loop.learn(objective, optimizer, batch, 1.0, generator(0, "redact", step), wrapped=wrapped)
            if step and processes.is_main():
                print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
