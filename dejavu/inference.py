"""Trained weights -> predictions. DejaVu leaves no trace here: the network is the plain base network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import networks
from .augment import denormalise, normalise
from .errors import DejavuError
from .method import DejaVu

if TYPE_CHECKING:
    from .schema import Run

__all__ = [
    "build_method",
    "build_network",
    "denormalise",
    "load_method",
    "load_network",
    "normalise",
    "predict",
]


def build_network(run: Run, num_classes: int, pretrained: bool = True) -> nn.Module:
    """The run's base network at its scale's width, initialised as the run has it.

    `pretrained=False` leaves pretrained weights aside: others will be loaded over them.
    """
    network = run.network
    options = {key: value for key, value in network.options.items() if pretrained or key != "pretrained"}
    return networks.build(network.module, num_classes, width=network.width, **options)


def build_method(run: Run, network: nn.Module, num_classes: int, seed: int = 0) -> DejaVu:
    """The run's network wrapped in its redaction, regenerator and losses."""
    method = run.dejavu
    if method is None:
        raise DejavuError(f"experiment '{run.experiment}' is a baseline: it has no 'dejavu' in params.yaml")
    return DejaVu(
        network,
        task=run.task,
        num_classes=num_classes,
        redaction=method.redaction.model_dump(),
        regenerator=method.regenerator.model_dump(),
        stride=getattr(network, "stride", None),
        loss=method.loss,
        pixels=method.pixels,
        condition=method.condition,
        gamma=method.gamma,
        warmup=method.warmup,
        detach=method.detach,
        seed=seed,
    )


def load_network(run: Run, num_classes: int, weights: Path) -> nn.Module:
    """The plain base network with exported weights, strictly loaded, in evaluation mode."""
    network = build_network(run, num_classes, pretrained=False)
    load_strictly(network, weights, f"dejavu train {run.experiment} --scale {run.scale}")
    return network.eval()


def load_method(run: Run, num_classes: int, weights: Path, regenerator: Path) -> DejaVu:
    """The network in its DejaVu wrapper, with the regenerator as trained: for figures only."""
    method = build_method(run, load_network(run, num_classes, weights), num_classes)
    load_strictly(method.regenerator, regenerator, f"dejavu train {run.experiment} --scale {run.scale}")
    return method.eval()


def load_strictly(module: nn.Module, path: Path, command: str) -> None:
    """Load a safetensors file whose keys and shapes must be exactly the module's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path), strict=True)
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: run `{command}`") from None
    except (SafetensorError, OSError) as error:
        raise DejavuError(
            f"{path} is not a whole safetensors file ({error}): delete it and run `{command}`"
        ) from None
    except RuntimeError:
        raise DejavuError(
            f"{path} was made by another network than {type(module).__name__} with these options: "
            f"delete it and run `{command}`"
        ) from None


@torch.inference_mode()
def predict(
    network: nn.Module, images: np.ndarray, batch_size: int = 8, device: torch.device | str | None = None
) -> Iterator[np.ndarray]:
    """Class maps (H, W) uint8, in order, of images (N, H, W, 3) uint8: whole image, one scale, no flip.

    The network's mode is left as it is: give it in evaluation mode.
    """
    device = device or next(network.parameters()).device
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        yield from class_maps(network(normalise(batch)), (batch.shape[1], batch.shape[2])).cpu().numpy()


def class_maps(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """logits (N, K, h, w) -> the most likely class of every pixel (N, H, W), uint8."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False).argmax(1).to(torch.uint8)
