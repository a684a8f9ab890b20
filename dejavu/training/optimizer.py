"""Optimizers and learning-rate schedules of torch, by their names in params.yaml."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    SequentialLR,
)

from ..errors import DejavuError

if TYPE_CHECKING:
    from ..config import Consistency, Optimizer, Schedule

# Names of parameters that are added to features or concatenated with them: timm's pos_embed and
# cls_token, Swin's relative_position_bias_table, CLIP's positional_embedding, Mask2Former's level_embed.
EMBEDDING = re.compile(r"(embed|embedding|embeddings|token|tokens|bias_table)$")


@dataclass(frozen=True)
class Rate:
    """A learning rate other than the recipe's, and the number of epochs after which `step` lowers it."""

    lr: float
    every: int
    factor: float


def rates_apart(module: nn.Module, config: Consistency | None) -> dict[nn.Parameter, Rate]:
    """Return the learning rate of XTC's parameters of each pair of tasks, which is not the recipe's."""
    consistency = getattr(module, "consistency", None)
    if config is None or consistency is None:
        return {}
    rate = Rate(config.lr, config.every, config.factor)
    return dict.fromkeys(consistency.network.film_parameters(), rate)


def build_optimizer(
    module: nn.Module, config: Optimizer, apart: Mapping[nn.Parameter, Rate] | None = None
) -> torch.optim.Optimizer:
    """Build SGD, Adam or AdamW for all parameters of `module` that are not frozen.

    Each parameter is updated on its own: adding a regenerator changes nothing in the base network's update.
    The factors of the learning rate are for the base network; what DejaVu adds learns at the recipe's rate.

    module: the training's objective or a DejaVu, whose `network` is the base network; or a network.
    apart: parameters with a learning rate of their own.

    Raises DejavuError for factors of a network that has no `backbone` besides its head, or no named layers.
    """
    groups = parameter_groups(module, config, apart)
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    adam = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return adam(groups, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)


def parameter_groups(
    module: nn.Module, config: Optimizer, apart: Mapping[nn.Parameter, Rate] | None = None
) -> list[dict[str, Any]]:
    """Make a group for each learning rate and weight decay, first those of the recipe's learning rate.

    Parameters in `apart` come last, without weight decay; their groups have `step`'s factor and interval.
    """
    factors, apart = _factors(module, config), apart or {}
    undecayed = set() if config.decay_norms else _norms_and_embeddings(module)
    by_rate: dict[tuple[float, float], list[nn.Parameter]] = {}
    others: dict[Rate, list[nn.Parameter]] = {}
    for parameter in _learning(module.parameters()):
        decay = 0.0 if parameter in undecayed else config.weight_decay
        if parameter in apart:
            others.setdefault(apart[parameter], []).append(parameter)
        else:
            by_rate.setdefault((factors.get(parameter, 1.0), decay), []).append(parameter)
    groups = [
        {"params": parameters, "lr": config.lr * factor, "weight_decay": decay}
        for (factor, decay), parameters in sorted(by_rate.items(), key=lambda item: item[0][0] != 1)
    ]
    return groups + [
        {"params": parameters, "weight_decay": 0.0, **asdict(rate)} for rate, parameters in others.items()
    ]


def clip_gradients(module: nn.Module, clip: float | None) -> None:
    """Clip the gradient of the base network, and that of all else in `module`, to the norm `clip` each.

    Each is clipped alone: a regenerator changes nothing in the base network's update. None does nothing.

    module: as in `build_optimizer`.
    """
    if clip is None:
        return
    network = list(base_network(module).parameters())
    inside = set(network)
    for parameters in (network, [other for other in module.parameters() if other not in inside]):
        nn.utils.clip_grad_norm_(parameters, clip)


def base_network(module: nn.Module) -> nn.Module:
    """Return the plain base network in a training's objective or a DejaVu; any other module is one itself."""
    inner = getattr(module, "network", None)
    return inner if isinstance(inner, nn.Module) else module


def _learning(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _factors(module: nn.Module, config: Optimizer) -> dict[nn.Parameter, float]:
    """Return the factor of the learning rate of every parameter of the base network."""
    network = base_network(module)
    backbone = getattr(network, "backbone", None)
    for key, factor in (("backbone", config.backbone), ("head", config.head)):
        if factor != 1 and not isinstance(backbone, nn.Module):
            raise DejavuError(
                f"optimizer.{key} is {factor}, but {type(network).__name__} has no 'backbone' that could be "
                "told from its head: leave it out"
            )
    factors = dict.fromkeys(network.parameters(), config.head)
    if isinstance(backbone, nn.Module):
        factors |= dict.fromkeys(backbone.parameters(), config.backbone)
    for name in getattr(network, "base_rate", ()):  # what the published code counts as neither
        factors |= dict.fromkeys(network.get_submodule(name).parameters(), 1.0)
    for parameter, factor in _layer_factors(network, config.layer_decay).items():
        factors[parameter] *= factor
    return factors


def _layer_factors(network: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """Return the factor of the learning rate of every parameter of the layers that a network names.

    The last layer has `decay`, each one before it once more of it; what is behind them all has none.
    """
    if decay == 1:
        return {}
    if not hasattr(network, "decayed_layers"):
        raise DejavuError(
            f"optimizer.layer_decay is {decay}, but {type(network).__name__} does not name its layers "
            "('decayed_layers'): leave it out"
        )
    layers = list(network.decayed_layers())  # type: ignore[operator]
    return {
        parameter: decay ** (len(layers) - number)
        for number, layer in enumerate(layers)
        for parameter in layer
    }


def _norms_and_embeddings(module: nn.Module) -> set[nn.Parameter]:
    """Return parameters without weight decay: norms, biases, embeddings and those that timm lists."""
    exempt: set[nn.Parameter] = set()
    for layer in module.modules():
        timms = getattr(layer, "no_weight_decay", None)
        if callable(timms):
            listed = timms()
            exempt |= {parameter for name, parameter in layer.named_parameters() if name in listed}
        for name, parameter in layer.named_parameters(recurse=False):
            # Only norms, biases and layer scales have one dimension.
            if parameter.ndim <= 1 or isinstance(layer, nn.Embedding) or EMBEDDING.search(name):
                exempt.add(parameter)
    return exempt


def build_scheduler(
    optimizer: torch.optim.Optimizer, config: Schedule, total: int, per_epoch: int = 1
) -> LRScheduler:
    """Build a schedule of `total` steps, stepped once an optimizer step; `warmup` is a share of them.

    Every group follows the same curve, from its own learning rate.
    """
    warm = round(config.warmup * total)
    if config.name == "one_cycle":
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total + 1,
            pct_start=config.warmup or 0.3,
            cycle_momentum=False,
        )
    rest: LRScheduler
    if config.name == "step":
        rest = LambdaLR(optimizer, [_stairs(group, config, per_epoch) for group in optimizer.param_groups])
    elif config.name == "multistep":
        drops = [round(share * total) - warm for share in config.at]
        rest = MultiStepLR(optimizer, drops, gamma=config.factor)
    elif config.name == "poly":
        rest = PolynomialLR(optimizer, total_iters=max(1, total - warm), power=config.power)
    else:
        rest = ConstantLR(optimizer, factor=1.0)
    if warm == 0:
        return rest
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / warm, total_iters=warm), rest], milestones=[warm])


def _stairs(group: Mapping[str, Any], config: Schedule, per_epoch: int) -> Callable[[int], float]:
    """Return a function of the step: the share of a group's learning rate that remains."""
    every = group.get("every", config.every) * per_epoch
    factor = group.get("factor", config.factor)
    return lambda step: factor ** (step // every)
