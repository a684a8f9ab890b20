"""DejaVu (CVPR 2023): train any dense prediction network better, at no cost in inference.

    import dejavu

    model = dejavu.DejaVu(network, num_classes=19)
    logits = model(images)
    loss = F.cross_entropy(logits, labels) + model.regeneration_loss(images, logits)

`model.network` is the plain network throughout: deploy it as it is. Importing the package is cheap; torch
is imported when a name that needs it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import DejavuError as DejavuError
    from .method import DejaVu as DejaVu
    from .method import attention as attention
    from .method import conditioning as conditioning
    from .method import cycle as cycle
    from .method import loss as losses  # noqa: F401 (the public name)
    from .method import perceptual as perceptual
    from .method import redaction as redaction
    from .method import regeneration as regeneration
    from .method import text as text
    from .method.attention import SharedAttention as SharedAttention
    from .method.cycle import CyclicConsistency as CyclicConsistency
    from .method.loss import dejavu_loss as dejavu_loss
    from .method.perceptual import Perceptual as Perceptual
    from .method.redaction import BandPass as BandPass
    from .method.redaction import Bands as Bands
    from .method.redaction import BandStop as BandStop
    from .method.redaction import Checkerboard as Checkerboard
    from .method.redaction import HighPass as HighPass
    from .method.redaction import LowPass as LowPass
    from .method.redaction import RandomBands as RandomBands
    from .method.redaction import RandomBlocks as RandomBlocks
    from .method.redaction import RandomPixels as RandomPixels
    from .method.regeneration import ForwardCRM as ForwardCRM
    from .method.regeneration import RecursiveCRM as RecursiveCRM
    from .method.text import TextSupervision as TextSupervision
    from .networks import cost as cost
    from .tasks import predictions as predictions
    from .training.multitask import balancing as balancing
    from .training.multitask import consistency as consistency
    from .training.multitask import partial_labels as partial_labels

__version__ = "0.2.0"  # of the distribution, too: pyproject.toml reads it here

# Public name -> the module that defines it.
_NAMES = {
    "SharedAttention": "method.attention",
    "CyclicConsistency": "method.cycle",
    "DejavuError": "errors",
    "dejavu_loss": "method.loss",
    "DejaVu": "method",
    "Perceptual": "method.perceptual",
    "BandPass": "method.redaction",
    "Bands": "method.redaction",
    "BandStop": "method.redaction",
    "Checkerboard": "method.redaction",
    "HighPass": "method.redaction",
    "LowPass": "method.redaction",
    "RandomBands": "method.redaction",
    "RandomBlocks": "method.redaction",
    "RandomPixels": "method.redaction",
    "ForwardCRM": "method.regeneration",
    "RecursiveCRM": "method.regeneration",
    "TextSupervision": "method.text",
}
# Public module -> where it is. Users write `dejavu.redaction`, whatever the packages in here are called.
_MODULES = {
    "attention": "method.attention",
    "balancing": "training.multitask.balancing",
    "conditioning": "method.conditioning",
    "consistency": "training.multitask.consistency",
    "cost": "networks.cost",
    "cycle": "method.cycle",
    "losses": "method.loss",
    "method": "method",
    "metrics": "metrics",
    "networks": "networks",
    "partial_labels": "training.multitask.partial_labels",
    "perceptual": "method.perceptual",
    "predictions": "tasks.predictions",
    "redaction": "method.redaction",
    "regeneration": "method.regeneration",
    "text": "method.text",
}

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f".{_NAMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    # With name and obj Python's traceback suggests the nearest name of __dir__.
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
    )


def __dir__() -> list[str]:
    return sorted(__all__)


class _PublicModules:
    """Lets `from dejavu.redaction import RandomBlocks` find the module that `_MODULES` names."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, module = name.partition(".")
        public, *inner = module.split(".")
        if package != __name__ or _MODULES.get(public, public) == public:
            return None
        return ModuleSpec(name, self, loader_state=".".join([__name__, _MODULES[public], *inner]))  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(spec.loader_state)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It was run where it is; the import system has just put the public name's spec into it.
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = spec.loader_state


sys.meta_path.insert(0, _PublicModules())
