"""What DejaVu costs in training: step time, FLOPs and memory against the plain network.

    python benchmarks/method.py [--size 128 256] [--batch 4] [--width 1.0] [--steps 15] [--device cpu]

The variants take turns within one run, so that a busy machine slows all of them alike; of each the median
step is compared: on CPU its processor time, which others disturb less than the clock on the wall. Memory is
what autograd keeps for the backward pass: it grows with the batch, and decides which batch fits. Peak is the
most that a process which does nothing but two such steps held, less what it held before them.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import dejavu
from dejavu import networks

CLASSES = 19
VARIANTS: dict[str, dict[str, object] | None] = {
    "baseline": None,
    "crm_f": {"regenerator": "crm_f"},
    "crm_r": {"regenerator": "crm_r"},
    "crm_f, detached": {"regenerator": "crm_f", "detach": True},
    "crm_f, low-pass": {"redaction": "low_pass"},
    "crm_f, band-stop": {"redaction": "band_stop"},
}


def main() -> None:
    arguments = parse()
    if arguments.peak is not None:
        print(peak(VARIANTS[arguments.peak], arguments))
        return
    peaks = {name: in_own_process(name) for name in VARIANTS} if arguments.device == "cpu" else {}
    steps = {name: make_step(options, arguments) for name, options in VARIANTS.items()}
    seconds = interleaved(steps, arguments.steps, arguments.device)
    flops, kept = {}, {}
    for name, step in steps.items():
        flops[name], kept[name] = count_flops(step), count_saved(step)
    size = "x".join(map(str, [arguments.batch, 3, *arguments.size]))
    print(f"{size}, width {arguments.width}, {arguments.device}, {torch.get_num_threads()} thread(s)\n")
    print("| variant | step, ms (quartiles) | time | FLOPs | memory | peak |\n|---|---|---|---|---|---|")
    base = statistics.median(seconds["baseline"])
    for name in steps:
        low, middle, high = (1e3 * q for q in statistics.quantiles(seconds[name], n=4))
        print(
            f"| {name} | {middle:.0f} ({low:.0f}-{high:.0f}) | {middle / 1e3 / base:.2f} | "
            f"{flops[name] / flops['baseline']:.2f} | {kept[name] / kept['baseline']:.2f} | "
            + (f"{peaks[name] / peaks['baseline']:.2f} |" if peaks else "- |")
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 256], metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", choices=VARIANTS, help="print the peak memory of one variant, in bytes")
    return parser.parse_args()


def make_step(options: dict[str, object] | None, arguments: argparse.Namespace) -> Callable[[], None]:
    """One training step of a variant, with the supervised loss at full resolution."""
    torch.manual_seed(0)
    network = networks.build("hrnet", CLASSES, arguments.width)
    model: nn.Module = dejavu.DejaVu(network, num_classes=CLASSES, **options) if options else network
    model = model.to(arguments.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(arguments.batch, 3, *arguments.size, device=arguments.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (arguments.batch, *arguments.size), device=arguments.device)

    def step() -> None:
        logits: Tensor = model(images)
        full = F.interpolate(logits, arguments.size, mode="bilinear", align_corners=True)
        loss = F.cross_entropy(full, labels)
        if options:
            loss = loss + model.regeneration_loss(images, logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def interleaved(steps: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of every step, the variants taking turns; the first two rounds warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    clock = time.process_time if device == "cpu" else time.perf_counter
    for _ in range(rounds + 2):
        for name, step in steps.items():
            start = clock()
            step()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    return {name: times[2:] for name, times in seconds.items()}


def in_own_process(name: str) -> int:
    done = subprocess.run([sys.executable, *sys.argv, "--peak", name], check=True, stdout=subprocess.PIPE)
    return int(done.stdout)


def peak(options: dict[str, object] | None, arguments: argparse.Namespace) -> int:
    """Bytes that two steps needed at most."""
    step = make_step(options, arguments)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    step()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def count_flops(step: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def count_saved(step: Callable[[], None]) -> int:
    """Bytes that autograd keeps for the backward pass, each storage once."""
    storages: dict[int, tuple[Tensor, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # The tensor is held too: a freed address would be counted as the storage that lay there.
        storages[storage.data_ptr()] = (tensor, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(size for _, size in storages.values())


if __name__ == "__main__":
    main()
