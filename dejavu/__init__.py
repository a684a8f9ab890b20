"""DejaVu (CVPR 2023): train any dense prediction network better, at no cost in inference.

    import dejavu

    model = dejavu.DejaVu(network, num_classes=19)
    logits = model(images)
    loss = F.cross_entropy(logits, labels) + model.regeneration_loss(images, logits)

`model.network` is the plain network throughout: deploy it as it is. Importing the package is cheap; torch
is imported when a name that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import DejavuError as DejavuError
    from .losses import dejavu_loss as dejavu_loss
    from .method import DejaVu as DejaVu
    from .redaction import Checkerboard as Checkerboard
    from .redaction import RandomBlocks as RandomBlocks
    from .regeneration import ForwardCRM as ForwardCRM
    from .regeneration import RecursiveCRM as RecursiveCRM

__version__ = "0.1.0"

# Public name -> the module that defines it.
_NAMES = {
    "DejaVu": "method",
    "DejavuError": "errors",
    "RandomBlocks": "redaction",
    "Checkerboard": "redaction",
    "ForwardCRM": "regeneration",
    "RecursiveCRM": "regeneration",
    "dejavu_loss": "losses",
}
_MODULES = ("redaction", "regeneration", "losses", "method", "networks", "cost")

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f".{_NAMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
