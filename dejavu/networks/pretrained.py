"""Pretrained backbones: every weight is loaded, or an error gives the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..compute.packaged import SCHEME, packaged_file
from ..compute.weights import is_file_name, read_weights
from ..errors import DejavuError

Weights = Mapping[str, Tensor]


def load_pretrained(
    module: nn.Module,
    source: str,
    *,
    hub: Callable[[str], Weights],
    leave: Sequence[str] = (),
    adapt: Callable[[dict[str, Tensor]], Weights] | None = None,
) -> str:
    """Load weights into `module`, strictly: only those that begin with one of `leave` may be left over.

    Args:
        module: the backbone, at full width.
        source: a .safetensors, .pt, .pth or .bin file, one in an installed package as
            package:DISTRIBUTION/FILE, or a name that `hub` knows.
        hub: name -> weights by name, downloaded. Raises DejavuError for an unknown name.
        leave: beginnings of the names of weights that the backbone does not have, such as a classifier's.
        adapt: renames or reshapes the weights first (position embeddings of another image size).

    Returns:
        the checksum of what was loaded; it is also kept as `module.pretrained_sha256`, which the training's
        summary records.

    Raises:
        DejavuError: the weights are missing, cannot be read or do not fit.
    """
    if source.startswith(SCHEME):
        given: Weights = read_weights(str(packaged_file(source, "pretrained")), "pretrained")
    elif is_file_name(source):
        given = read_weights(source, "pretrained")
    else:
        given = _download(hub, source)
    given = {name: value for name, value in given.items() if not name.startswith(tuple(leave))}
    if adapt is not None:
        given = adapt(given)
    _check(module.state_dict(), given, source)
    module.load_state_dict(dict(given), strict=True)
    module.pretrained_sha256 = checksum(given)  # type: ignore[assignment]
    return checksum(given)


def checksum(weights: Weights) -> str:
    """One sha256 over all weights in the order of their names: the same for a file and the hub's copy."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def timm_hub(name: str) -> Weights:
    """Load the weights of a timm model by its name and tag."""
    import timm

    if not timm.is_model(name):
        raise DejavuError(f"pretrained {name!r} is neither a .safetensors or .pth file nor a timm model")
    return timm.create_model(name, pretrained=True).state_dict()


def is_meta(module: nn.Module) -> bool:
    """Return whether the module only counts costs: it holds no values, and none are to be loaded."""
    return any(parameter.is_meta for parameter in module.parameters())


def _download(hub: Callable[[str], Weights], name: str) -> Weights:
    try:
        return hub(name)
    except DejavuError:
        raise
    except Exception as error:  # the hubs, their caches and their clients fail in many ways
        raise DejavuError(
            f"pretrained {name!r} could not be downloaded ({type(error).__name__}): "
            "name a .safetensors file of it instead"
        ) from error


def _check(own: Weights, given: Weights, source: str) -> None:
    missing, foreign = own.keys() - given.keys(), given.keys() - own.keys()
    if missing or foreign:
        raise DejavuError(
            f"pretrained {source} does not fit: it lacks {len(missing)} of the backbone's {len(own)} weights "
            f"and has {len(foreign)} others, such as '{min(missing or foreign)}'"
        )
    for name, value in given.items():
        if value.shape != own[name].shape:
            raise DejavuError(
                f"pretrained {source} does not fit: '{name}' is {tuple(value.shape)} there and "
                f"{tuple(own[name].shape)} here; it needs width 1 and the same channels"
            )
