"""What redaction costs, against one copy of the batch and against other ways to transform it.

    python benchmarks/redaction.py [--size 512 1024] [--batch 4] [--repeats 11] [--device cpu]

The variants take turns within one run. On a CPU the processor time of this one thread is measured, which
other processes disturb less than the clock on the wall; on a GPU the clock, with the queue drained. Medians,
quartiles in brackets. torch_dct (`pip install torch-dct`) is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import scipy.fft
import torch
from torch import Tensor

from dejavu.method import redaction
from dejavu.method.redaction.dct import _basis

REDACTIONS: list[tuple[str, dict[str, object]]] = [
    *((name, {}) for name in redaction.names()),
    ("low_pass", {"cutoff": 0.2}),
    ("band_stop", {"low": 0.1, "high": 0.4}),
    ("bands", {"remove": [[0.4, 0.6]]}),
]


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    images = torch.randn(arguments.batch, 3, *arguments.size, device=arguments.device)
    variants = {**references(images), **redactions(images)}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    clock = time.thread_time if images.device.type == "cpu" else drained_clock
    for repeat in range(arguments.repeats + 1):
        for name, run in variants.items():
            start = clock()
            run()
            if repeat:  # the first one fills caches
                seconds[name].append(clock() - start)
    report(seconds, f"{arguments.batch}x3x{arguments.size[0]}x{arguments.size[1]}, {arguments.device}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[512, 1024], metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def drained_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def references(images: Tensor) -> dict[str, Callable[[], object]]:
    """What the redactions are compared with."""
    height, width = images.shape[-2:]
    rows, columns = (_basis(n, images.dtype, images.device) for n in (height, width))
    found: dict[str, Callable[[], object]] = {
        "copy": images.clone,
        "one DCT, two dense products": lambda: rows @ images @ columns.T,
    }
    if images.device.type == "cpu":
        found["scipy.fft, there and back"] = lambda: there_and_back(images)
    if find_spec("torch_dct"):
        import torch_dct  # type: ignore[import-untyped]

        found["torch_dct, there and back"] = lambda: torch_dct.idct_2d(
            torch_dct.dct_2d(images, norm="ortho"), norm="ortho"
        )
    return found


def there_and_back(images: Tensor) -> object:
    coefficients = scipy.fft.dctn(images.numpy(), axes=(-2, -1), norm="ortho")
    return scipy.fft.idctn(coefficients, axes=(-2, -1), norm="ortho")


def redactions(images: Tensor) -> dict[str, Callable[[], object]]:
    """Every redaction as training calls it: a mask is drawn and applied."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Callable[[], object]] = {}
    for name, options in REDACTIONS:
        redact = redaction.build(name, **options)
        found[f"`{redact!r}`"] = partial(redact, images, generator)
        if isinstance(redact, redaction.SpatialRedaction):
            found[f"`{redact!r}`, mask given"] = partial(redact.rest, images, redact.mask(images, generator))
    return found


def report(seconds: dict[str, list[float]], title: str) -> None:
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{title}, torch {torch.__version__}, one thread\n")
    print("| variant | ms (quartiles) | of a copy | of one DCT |\n|---|---|---|---|")
    for name, times in seconds.items():
        low, _, high = (1e3 * quartile for quartile in statistics.quantiles(times, n=4))
        copy, dct = (middle[name] / middle[key] for key in ("copy", "one DCT, two dense products"))
        print(f"| {name} | {1e3 * middle[name]:.1f} ({low:.1f}-{high:.1f}) | {copy:.1f} | {dct:.2f} |")


if __name__ == "__main__":
    main()
