"""What a job's start costs: processor seconds until a network has learnt, with torch's compiler and without.

The results, with their machine and date, are in start.md.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

REPEATS = 5
WITHOUT = "from dejavu.compute.skip_compiler import leave_compiler_out; leave_compiler_out();"
JOB = """
import time
{before}
import timm.models.hrnet, torch
from dejavu import networks
network = networks.build("hrnet", 19, 0.25, 0.25)
optimizer = torch.optim.AdamW(network.parameters())
network(torch.rand(2, 3, 64, 64)).mean().backward()
optimizer.step()
print(time.process_time())
"""


def seconds(before: str) -> float:
    """Processor seconds of one process, from its first instruction to the end of a training step."""
    code = JOB.format(before=before)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def main() -> None:
    """Print the median of each, measured in turns."""
    found: dict[str, list[float]] = {"with the compiler": [], "without": []}
    for _ in range(REPEATS):
        for (name, times), before in zip(found.items(), ("", WITHOUT), strict=True):
            times.append(seconds(before))
            print(f"{name}: {times[-1]:.2f} s", flush=True)
    for name, times in found.items():
        print(f"{name}: median {statistics.median(times):.2f} s of {REPEATS}")


if __name__ == "__main__":
    main()
