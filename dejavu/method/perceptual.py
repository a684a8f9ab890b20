"""A perceptual distance of images: the distance of their features in a frozen VGG16, or in another network.

Johnson et al. 2016 compare features of VGG16; LPIPS (Zhang et al. 2018) compares their directions, layer by
layer. Here it is the second without its learned weights, or the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..compute.random import seeded
from ..compute.weights import read_weights, version
from ..errors import DejavuError, nearest
from ..system.extras import extra
from .frozen.network import Frozen, check_numbers, check_rgb, describe, frozen_copy

# VGG16 up to its last convolution: channels, and "M" for halving.
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
LAYERS = ("relu1_2", "relu2_2", "relu3_3")
EPSILON = 1e-6  # of squared lengths: a feature near 0 has no direction, and would have a huge gradient


class Perceptual:
    """The mean distance over layers of two images' features in a frozen network, times `weight`.

    The trunk belongs to no module that holds this: neither to its parameters nor to its state or cost. It is
    shared by all objects with the same weights, width, depth and seed, and follows the images' device.

    Args:
        weights: "DEFAULT" for torchvision's ImageNet weights, which are downloaded, or a .safetensors, .pt,
            .pth or .bin file of torchvision's VGG16 or of its features. None draws them at random.
        width: share of the channels of VGG16; below 1 for small scales.
        layers: activations of VGG16 that are compared, "relu1_1" to "relu5_3"; later ones are not computed.
            None is relu1_2, relu2_2 and relu3_3.
        normalise: compare directions, features of unit length over channels (LPIPS): a layer's distance is
            then within 0 and 2. False compares the features themselves (Johnson), squared.
        weight: weight of the term.
        seed: seed of random weights; the global random state is left alone.
        network: another network than VGG16: a module from images to a map (N, C, h, w) or to a list of maps,
            all of which are compared. A frozen copy of it is kept, in evaluation mode. It has its weights
            already: `weights`, `width`, `layers` and `seed` are VGG16's.

    Raises:
        DejavuError: an argument that cannot be right; weights that are missing, unreadable or do not fit.

    >>> perceptual = Perceptual(width=0.125)
    >>> perceptual.description
    'VGG16, random weights, width 0.125'
    >>> images = torch.randn(2, 3, 32, 32)
    >>> float(perceptual(images, images))
    0.0
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        width: float = 1.0,
        layers: Sequence[str] | None = None,
        normalise: bool = True,
        weight: float = 0.1,
        seed: int = 0,
        network: nn.Module | None = None,
    ) -> None:
        check_numbers("perceptual", weight, width, seed)
        if isinstance(layers, str) or not isinstance(layers, Sequence | None):
            raise DejavuError(f"perceptual.layers must be a list of names, not {layers!r}")
        self.weight, self.normalise = weight, normalise
        self.layers = LAYERS if layers is None else tuple(layers)
        if network is not None:
            if not isinstance(network, nn.Module):
                raise DejavuError(f"perceptual.network must be a torch module, not {type(network).__name__}")
            if weights is not None or layers is not None or width != 1:
                raise DejavuError("perceptual.network has its own weights and layers: leave out VGG16's")
            self.description, self.layers = type(network).__name__, ()
            self.trunk = frozen_copy(network)
            return
        self.description = describe("VGG16", weights, width)
        """The trunk for a table's note: its name, the source of its weights, its width."""
        known = activations()
        for layer in self.layers:
            if layer not in known:
                raise DejavuError(f"perceptual.layers: unknown layer {layer!r}, {nearest(layer, known)}")
        if not self.layers:
            raise DejavuError(f"perceptual.layers must name at least one layer, {nearest('', known)}")
        self._compared = [known[layer] for layer in self.layers]
        self.trunk = load(weights, width, max(self._compared) + 1, seed)

    def __call__(self, regenerated: Tensor, images: Tensor) -> Tensor:
        """Compare regenerated images with the originals: a scalar, with a graph to the regenerated ones only.

        Args:
            regenerated: (N, 3, H, W), normalised with ImageNet's mean and deviation.
            images: the originals, of the same shape.

        Raises DejavuError for other shapes, or images too small for the trunk.
        """
        return self.per_step([regenerated], images)[0]

    def per_step(self, steps: Sequence[Tensor], images: Tensor) -> list[Tensor]:
        """Compare each step's images with the originals, which go through the trunk once."""
        for step in steps:
            check_rgb("regenerated", step)
        check_rgb("images", images)
        for step in steps:
            if step.shape != images.shape:
                raise DejavuError(
                    f"regenerated and images must have one shape, not {tuple(step.shape)} and "
                    f"{tuple(images.shape)}"
                )
        with torch.no_grad():
            wanted = self.features(images)
        losses = []
        for step in steps:
            pairs = zip(self.features(step), wanted, strict=True)
            losses.append(self.weight * torch.stack([self._distance(*pair) for pair in pairs]).mean())
        return losses

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute the maps that are compared, each (N, C, H/s, W/s)."""
        trunk = self.trunk.on(images.device)
        if not self.layers:
            return _maps(trunk(images.float()))
        halvings = sum(isinstance(layer, nn.MaxPool2d) for layer in trunk.children())
        if min(images.shape[-2:]) < 2**halvings:
            raise DejavuError(
                f"images must be at least {2**halvings} pixels high and wide for {', '.join(self.layers)}, "
                f"not {tuple(images.shape[-2:])}"
            )
        # The trunk is channels-last: on CPU convolutions of few channels are twice as fast in it.
        outputs, x = {}, images.float().contiguous(memory_format=torch.channels_last)
        for index, layer in enumerate(trunk.children()):
            x = layer(x)
            outputs[index] = x
        return [outputs[index] for index in self._compared]

    def _distance(self, regenerated: Tensor, wanted: Tensor) -> Tensor:
        regenerated, wanted = regenerated.float(), wanted.float()
        if not self.normalise:
            return F.mse_loss(regenerated, wanted)
        return (_direction(regenerated) - _direction(wanted)).square().sum(1).mean()


def _maps(output: Any) -> list[Tensor]:
    """Return the maps of another network's output."""
    maps = list(output) if isinstance(output, list | tuple) else [output]
    if not maps or not all(isinstance(one, Tensor) and one.ndim == 4 for one in maps):
        raise DejavuError("perceptual.network must return a map (N, C, h, w), or a list of maps")
    return maps


def _direction(features: Tensor) -> Tensor:
    """Scale features (N, C, h, w) to unit length over channels; those near 0 stay short."""
    return features * (features.square().sum(1, keepdim=True) + EPSILON).rsqrt()


def activations() -> dict[str, int]:
    """Return the index of each of VGG16's activations, by name, in torchvision's `features`."""
    indices, index, block, convolution = {}, 0, 1, 0
    for entry in VGG16:
        if entry == "M":
            index, block, convolution = index + 1, block + 1, 0
        else:
            convolution += 1
            indices[f"relu{block}_{convolution}"] = index + 1  # behind the convolution
            index += 2
    return indices


def load(weights: str | None, width: float, depth: int, seed: int) -> Frozen:
    """Load the first `depth` layers of VGG16, the same object for the same arguments.

    Raises DejavuError for weights that are missing, cannot be read or do not fit.
    """
    if weights is None:
        return _load(None, width, depth, seed, None)
    if weights != "DEFAULT":
        return _load(weights, width, depth, 0, version(weights, "perceptual.weights"))
    if width != 1:
        raise DejavuError(f"perceptual.width must be 1 with the weights DEFAULT, not {width:g}")
    return _load(weights, width, depth, 0, None)


@lru_cache(maxsize=4)
def _load(weights: str | None, width: float, depth: int, seed: int, _: object) -> Frozen:
    with extra("perceptual", "the perceptual term"):
        from torchvision.models.vgg import make_layers

    channels = [entry if isinstance(entry, str) else max(4, round(entry * width)) for entry in VGG16]
    with torch.device("meta"):  # no numbers are drawn here
        trunk = make_layers(channels)[:depth]
    trunk = trunk.to_empty(device="cpu")
    if weights is None:
        _draw(trunk, seed)
    else:
        _fill(
            trunk,
            _download() if weights == "DEFAULT" else read_weights(weights, "perceptual.weights"),
            weights,
        )
    return Frozen(trunk.to(memory_format=torch.channels_last), load, weights, width, depth, seed)


def _draw(trunk: nn.Module, seed: int) -> None:
    """Draw random weights that keep the activations' size from layer to layer (He et al. 2015)."""
    with seeded(seed):
        for layer in trunk.children():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _fill(trunk: nn.Module, given: dict[str, Tensor], source: str) -> None:
    given = {key.removeprefix("features."): value for key, value in given.items()}
    for key, own in trunk.state_dict().items():
        shape = tuple(given[key].shape) if key in given else None
        if shape != tuple(own.shape):
            there = "missing" if shape is None else f"{shape}"
            raise DejavuError(
                f"perceptual.weights: {source} does not fit: 'features.{key}' is {there} there and "
                f"{tuple(own.shape)} here; it must be of a VGG16 without batch norm, of the same width"
            )
        own.copy_(given[key])


def _download() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights

    try:
        return dict(VGG16_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:  # of the network, in many ways
        raise DejavuError(
            f"perceptual.weights: DEFAULT could not be downloaded ({type(error).__name__}): "
            "name a file of torchvision's vgg16 weights instead"
        ) from error
