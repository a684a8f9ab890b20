"""A job's start: torch without its compiler.

timm, torchvision and torch's optimisers touch the compiler in passing, to mark functions as not to be
compiled or to ask whether they could be. Its import is 40 % of a job's start (benchmarks/start.md), and
jobs of this project compile nothing. So a stand-in answers, and steps aside for the real one as soon as
anybody asks it for more. Only the command line does this: `import dejavu` leaves the user's process alone.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

NAMES = ("torch._dynamo", "torch._dynamo.utils")


def leave_compiler_out() -> None:
    """Put a stand-in in the place of torch's compiler, unless that is loaded already."""
    import torch  # before its compiler is hidden

    if any(name in sys.modules for name in NAMES):
        return
    compiler, utils = stand_ins = [
        ModuleType(name, "A stand-in: see dejavu/compute/skip_compiler.py") for name in NAMES
    ]
    compiler.__path__ = [str(Path(torch.__file__).with_name("_dynamo"))]  # its other modules can be imported
    compiler.disable = lambda function=None, *_, **__: function  # type: ignore[attr-defined]
    compiler.graph_break = lambda *_, **__: None  # type: ignore[attr-defined]
    compiler.utils = utils  # type: ignore[attr-defined]
    utils.is_compile_supported = lambda device_type: False  # type: ignore[attr-defined]
    for stand_in in stand_ins:
        stand_in.__getattr__ = _real(stand_in)  # type: ignore[method-assign]
        sys.modules[stand_in.__name__] = stand_in


def _real(stand_in: ModuleType) -> Any:
    """What is asked for something that the stand-in has not: the real module's."""

    def attribute(name: str) -> Any:
        if name.startswith("__"):  # asked by the import machinery, of every module
            raise AttributeError(name)
        for hidden in NAMES:
            module = sys.modules.get(hidden)
            if module is not None and (module.__doc__ or "").startswith("A stand-in"):
                del sys.modules[hidden]
        return getattr(importlib.import_module(stand_in.__name__), name)

    return attribute
