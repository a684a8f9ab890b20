"""Queries -> one panoptic map: a kind of fusion a file.

A network's attribute `fusion` names its kind, "mask2former" without one. A protocol's `panoptic` may name
another one, or other thresholds. A kind is a frozen dataclass in `REGISTRY`, whose fields are options of
params.yaml.
"""

from __future__ import annotations

from torch import nn

from ...config import Fusion
from ...registry import Registry
from .base import QueryFusion
from .knet import KNetFusion
from .mask2former import Mask2FormerFusion
from .max_deeplab import MaxDeepLabFusion

REGISTRY: Registry[QueryFusion] = Registry(
    "fusion",
    {
        "mask2former": Mask2FormerFusion,
        "knet": KNetFusion,
        "max_deeplab": MaxDeepLabFusion,
    },
)
names, build = REGISTRY.names, REGISTRY.build


def fusion_of(network: nn.Module, chosen: Fusion | None = None) -> QueryFusion:
    """Build the fusion that a protocol has chosen; None for that of the network, with its default thresholds.

    Raises DejavuError for an unknown kind or option.
    """
    if chosen is not None:
        return build(chosen.name, **chosen.options)
    return build(getattr(network, "fusion", "mask2former"))


__all__ = [
    "REGISTRY",
    "names",
    "build",
    "fusion_of",
    "QueryFusion",
    "Mask2FormerFusion",
    "KNetFusion",
    "MaxDeepLabFusion",
]
