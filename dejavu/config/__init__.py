"""The content of params.yaml as frozen objects; `Params.run` resolves one experiment at one scale.

Only pydantic is imported here: every command and both engines pay for this package.
"""

from __future__ import annotations

from .claim import Claim
from .data import DataSource, Folder, KeepAspect, Source
from .experiment import Experiment
from .method import Balance, Consistency, Cycle, Method, Perceptual, Redaction, TextSupervision
from .params import Network, Params
from .recipe import (
    Budget,
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
from .run import FORMAT, Run, RunNetwork
from .scale import Scale
from .table import Row, Table
from .values import Name, Named, Section

__all__ = [
    "FORMAT",
    "Balance",
    "Budget",
    "Claim",
    "Consistency",
    "Cycle",
    "DataSource",
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
