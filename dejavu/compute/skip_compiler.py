"""A job's start: torch without its compiler.

timm, torchvision and torch's optimizers touch the compiler in passing, to mark functions as not to be
compiled or to ask whether they could be. Its import is a third of a job's start (benchmarks/start.md), and
jobs of this project compile nothing. So a stand-in answers, and gives way to the real one as soon as
anything else of it is used. Only the command line does this: `import dejavu` leaves the user's process alone.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

NAMES = ("torch._dynamo", "torch._dynamo.utils")


def leave_compiler_out() -> None:
    """Replace torch's compiler by a stand-in, unless it is loaded already."""
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
    """Return an attribute of the real module, as the stand-in's `__getattr__`."""

    def attribute(name: str) -> Any:
        if name.startswith("__"):  # the import machinery reads them of every module
            raise AttributeError(name)
        for hidden in NAMES:
            module = sys.modules.get(hidden)
            if module is not None and (module.__doc__ or "").startswith("A stand-in"):
                del sys.modules[hidden]
        return getattr(importlib.import_module(stand_in.__name__), name)

    return attribute
