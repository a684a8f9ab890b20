"""How fast training reads: the compact form against decoding the raw files item by item.

    python benchmarks/data.py [DATASET] [--scale demo] [--items 64] [--rounds 7]

Needs a prepared dataset (`dejavu download` and `dejavu prepare`). Prints ratios, which mean more than
seconds on a machine that is shared. Both ways end with the same uint8 arrays in memory; files are in
the operating system's cache, so this is the cost of decoding, not of the disk.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from dejavu.config.paths import Paths
from dejavu.datasets import reader
from dejavu.datasets.prepared.convert import load
from dejavu.datasets.prepared.store import open_split, read_report


def cpu_seconds(work: Callable[[], object], rounds: int) -> float:
    """The median over `rounds` of one call's processor time."""
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="cityscapes")
    parser.add_argument("--scale", default="demo")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    paths = Paths(args.scale)
    report = read_report(paths.prepared(args.dataset))
    module, size = reader(args.dataset, report["source"]), tuple(report["size"])
    split = open_split(paths.prepared(args.dataset), "train")
    order = np.random.default_rng(0).permutation(len(split.names))[: args.items]
    pairs = {pair.name: pair for pair in module.pairs(paths.raw(args.dataset), "train")}
    chosen = [pairs[split.names[n]] for n in order]
    compact = cpu_seconds(
        lambda: [(split.images[n].copy(), split.labels[n].copy()) for n in order], args.rounds
    )
    decoded = cpu_seconds(lambda: [load(module, pair, size) for pair in chosen], args.rounds)
    raw = sum(pair.image.stat().st_size + pair.label.stat().st_size for pair in chosen)
    stored = sum(split.images[n].nbytes + split.labels[n].nbytes for n in order)
    raw_size = report["splits"]["train"]["raw_size"]["max"]
    kind = f"{chosen[0].image.suffix[1:].upper()} {raw_size[0]}x{raw_size[1]} -> {size[0]}x{size[1]}"
    print(f"{args.dataset} at scale {args.scale} ({report['source']}, {kind}), {len(order)} items")
    print(f"  decode / compact, processor time per item: {decoded / compact:.0f}")
    decoded, compact = 1e3 * decoded / len(order), 1e3 * compact / len(order)
    print(f"  milliseconds an item: decode {decoded:.2f}, compact {compact:.3f}")
    print(f"  compact / raw, bytes: {stored / raw:.2f}")


if __name__ == "__main__":
    main()
