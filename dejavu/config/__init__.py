"""What params.yaml holds, as frozen objects; `Params.run` resolves one experiment at one scale.

Only pydantic is imported here: every command and both engines pay for this package.
"""

from __future__ import annotations

from .data import Folder, KeepAspect, Part, Source
from .method import Balance, Consistency, Cycle, Method, Perceptual, Redaction, TextSupervision
from .params import Experiment, Network, Params, Row, Scale, Table
from .recipe import (
    AtScale,
    DepthScoring,
    Fusion,
    Ohem,
    Optimizer,
    Overrides,
    Photometric,
    Protocol,
    Recipe,
    Rmi,
    Schedule,
)
from .run import LATER, Run, RunNetwork
from .values import Name, Named, Section

__all__ = [
    "LATER",
    "AtScale",
    "Balance",
    "Consistency",
    "Cycle",
    "DepthScoring",
    "Experiment",
    "Folder",
    "Fusion",
    "KeepAspect",
    "Method",
    "Name",
    "Named",
    "Network",
    "Ohem",
    "Optimizer",
    "Overrides",
    "Params",
    "Part",
    "Perceptual",
    "Photometric",
    "Protocol",
    "Recipe",
    "Redaction",
    "Rmi",
    "Row",
    "Run",
    "RunNetwork",
    "Scale",
    "Schedule",
    "Section",
    "Source",
    "Table",
    "TextSupervision",
]
