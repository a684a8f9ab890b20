"""Balancing: how the losses of tasks become one gradient.

    balancer = balancing.build("dwa", ["semantic", "depth"], network)
    balancer.backward({"semantic": loss, "depth": loss}, added)  # for (loss + loss + added).backward()
    balancer.end_epoch({"semantic": mean, "depth": mean})
    balancer.weights  # {"semantic": 1.1, "depth": 0.9}

A balancer does not run the network: the losses come from one forward pass, in which BatchNorm normalises the
batch once. The losses of DejaVu and XTC are weighted already, and no balancer changes their gradient.

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
