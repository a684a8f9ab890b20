"""The device that computes, how repeatable its arithmetic is, and the precision on it."""

from __future__ import annotations

import torch

from . import gpus


def choose_device() -> torch.device:
    """Choose a GPU of its own where there is one; make its arithmetic as repeatable as possible."""
    device = gpus.device()
    gpu = device.type == "cuda"
    # CUDA has no deterministic bilinear backward: there it warns, on CPU everything is exact. The same as
    # torch.use_deterministic_algorithms(True), which also imports torch's compiler: 2.5 seconds a job.
    torch.set_deterministic_debug_mode("warn" if gpu else "error")
    # It would fill every new tensor first: 10 % of a step for a fault that no code here has.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return device


def precision(device: torch.device) -> torch.autocast:
    """bfloat16 where there is a GPU; on CPU it is slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
