"""Balancing: how the losses of several tasks become one gradient.

    balancer = balancing.build("dwa", ["semantic", "depth"], network)
    balancer.backward({"semantic": loss, "depth": loss}, added)  # for (loss + loss + added).backward()
    balancer.end_epoch({"semantic": mean, "depth": mean})
    balancer.weights  # {"semantic": 1.1, "depth": 0.9}

A balancer does not run the network: one forward pass made the losses, so BatchNorm sees each batch once. What
DejaVu or XTC adds is weighted already; its gradient is added as it is, whatever the balancer.

All that a balancer remembers lies in its buffers, so that `state_dict` and `load_state_dict` carry a run on
to the same bits.

| name | weights of the losses | a step costs, beside one backward pass |
|---|---|---|
| uniform | 1 | nothing |
| dwa | by how fast the losses fell in the last two epochs | nothing |
| gradnorm | learned: gradients of like length, longer ones for slow tasks | one more of each head |
| mgda | for shared parameters: the shortest mean of the gradients | one more for each task but one |
"""

from __future__ import annotations

from ....registry import Registry
from .base import Balancer, WeightedSum
from .dwa import DWA
from .gradnorm import GradNorm
from .mgda import MGDA, min_norm_weights
from .uniform import Uniform

REGISTRY: Registry[Balancer] = Registry(
    "balancing",
    {
        "uniform": Uniform,
        "dwa": DWA,
        "gradnorm": GradNorm,
        "mgda": MGDA,
    },
)
names, build = REGISTRY.names, REGISTRY.build

__all__ = [
    "REGISTRY",
    "names",
    "build",
    "Balancer",
    "WeightedSum",
    "Uniform",
    "DWA",
    "GradNorm",
    "MGDA",
    "min_norm_weights",
]
