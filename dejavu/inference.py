"""Trained weights -> predictions. DejaVu leaves no trace here: the network is the plain base network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import networks
from .augment import denormalise, normalise
from .cycle import CyclicConsistency
from .errors import DejavuError
from .method import DejaVu
from .perceptual import Perceptual
from .predictions import as_tensor
from .tasks import channels
from .text import TextSupervision

if TYPE_CHECKING:
    from .schema import Method, Run

__all__ = [
    "build_method",
    "build_network",
    "denormalise",
    "load_method",
    "load_network",
    "normalise",
    "predict",
]


def build_network(
    run: Run, num_channels: int, pretrained: bool = True, classes: Sequence[str] | None = None
) -> nn.Module:
    """The run's base network with so many output channels at its scale's width, initialised as the run says.

    `pretrained=False` leaves pretrained weights aside: others will be loaded over them.
    """
    network = run.network
    options = {key: value for key, value in network.options.items() if pretrained or key != "pretrained"}
    return networks.build(
        network.module, num_channels, width=network.width, depth=network.depth, classes=classes, **options
    )


def build_method(run: Run, network: nn.Module, classes: Sequence[str], seed: int = 0) -> DejaVu:
    """The run's network wrapped in its redaction, regenerator and losses; `classes` are the dataset's."""
    method = run.dejavu
    if method is None:
        raise DejavuError(f"experiment '{run.experiment}' is a baseline: it has no 'dejavu' in params.yaml")
    return DejaVu(
        network,
        task=run.task,
        num_classes=len(classes),
        redaction=[redaction.model_dump() for redaction in method.redactions],
        regenerator=method.regenerator.model_dump(),
        stride=method.stride,
        condition=method.condition,
        loss=method.loss,
        pixels=method.pixels,
        perceptual=_perceptual(run, method),
        gamma=method.gamma,
        warmup=method.warmup,
        detach=method.detach,
        text=_text(run, method, classes),
        cycle=None if method.cycle is None else CyclicConsistency(**method.cycle.model_dump()),
        share_attention=method.share_attention is not False,
        seed=seed,
    )


def _perceptual(run: Run, method: Method) -> Perceptual | None:
    if method.perceptual is None:
        return None
    options = method.perceptual.model_dump(exclude=set() if run.pretrained else {"weights"})
    return Perceptual(width=run.frozen_width, **options)


def _text(run: Run, method: Method, classes: Sequence[str]) -> TextSupervision | None:
    if method.text is None:
        return None
    options = method.text.model_dump(exclude=set() if run.pretrained else {"pretrained"})
    return TextSupervision(classes=classes, width=run.frozen_width, **options)


def load_network(run: Run, num_channels: int, weights: Path) -> nn.Module:
    """The plain base network with exported weights, strictly loaded, in evaluation mode."""
    network = build_network(run, num_channels, pretrained=False)
    load_strictly(network, weights, f"dejavu train {run.experiment} --scale {run.scale}")
    return network.eval()


def load_method(run: Run, classes: Sequence[str], weights: Path, regenerator: Path) -> DejaVu:
    """The network in its DejaVu wrapper, with the regenerator as trained: for figures only."""
    network = load_network(run, channels(run.task, len(classes)), weights)
    method = build_method(run, network, classes)
    load_strictly(method.training_only, regenerator, f"dejavu train {run.experiment} --scale {run.scale}")
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
    network: nn.Module,
    images: np.ndarray,
    task: str = "semantic",
    batch_size: int = 8,
    device: torch.device | str | None = None,
) -> Iterator[np.ndarray]:
    """Predictions, in order, of images (N, H, W, 3) uint8: whole image, one scale, no flip.

    Class maps (H, W) uint8, depth (H, W) float32 in metres, or normals (H, W, 3) float32 of unit length.
    The network's mode is left as it is: give it in evaluation mode.
    """
    device = device or next(network.parameters()).device
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        maps = as_tensor(network(normalise(batch)), task)
        yield from finish(task, maps, (batch.shape[1], batch.shape[2])).cpu().numpy()


def finish(task: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """A network's output (N, C, h, w) at full size, as `predict` gives it."""
    if task == "semantic":
        return class_maps(maps, size)
    full = F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
    return full[:, 0] if task == "depth" else F.normalize(full, dim=1, eps=1e-6).permute(0, 2, 3, 1)


def class_maps(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """logits (N, K, h, w) -> the most likely class of every pixel (N, H, W), uint8."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False).argmax(1).to(torch.uint8)
