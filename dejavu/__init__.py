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
    from .attention import SharedAttention as SharedAttention
    from .cycle import CyclicConsistency as CyclicConsistency
    from .errors import DejavuError as DejavuError
    from .losses import dejavu_loss as dejavu_loss
    from .method import DejaVu as DejaVu
    from .perceptual import Perceptual as Perceptual
    from .redaction import BandPass as BandPass
    from .redaction import Bands as Bands
    from .redaction import BandStop as BandStop
    from .redaction import Checkerboard as Checkerboard
    from .redaction import HighPass as HighPass
    from .redaction import LowPass as LowPass
    from .redaction import RandomBands as RandomBands
    from .redaction import RandomBlocks as RandomBlocks
    from .redaction import RandomPixels as RandomPixels
    from .regeneration import ForwardCRM as ForwardCRM
    from .regeneration import RecursiveCRM as RecursiveCRM
    from .text import TextSupervision as TextSupervision

__version__ = "0.1.0"

# Public name -> the module that defines it.
_NAMES = {
    "DejaVu": "method",
    "DejavuError": "errors",
    "RandomBlocks": "redaction",
    "Checkerboard": "redaction",
    "RandomPixels": "redaction",
    "LowPass": "redaction",
    "HighPass": "redaction",
    "BandPass": "redaction",
    "BandStop": "redaction",
    "Bands": "redaction",
    "RandomBands": "redaction",
    "ForwardCRM": "regeneration",
    "RecursiveCRM": "regeneration",
    "SharedAttention": "attention",
    "TextSupervision": "text",
    "CyclicConsistency": "cycle",
    "Perceptual": "perceptual",
    "dejavu_loss": "losses",
}
_MODULES = (
    *("redaction", "regeneration", "losses", "method", "networks", "cost"),
    *("attention", "conditioning", "cycle", "perceptual", "predictions", "text"),
)

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f".{_NAMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
