"""DenseCLIP (Rao et al., CVPR 2022) with Semantic FPN on the ViT-B/16 towers of open_clip.

The similarity of every patch with every class name is a map of scores, which joins the features of the FPN
and is supervised itself. 105.3 M parameters without the text tower, whose embeddings of the classes are
constants once it is trained (raoyongming/DenseCLIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DejavuError
from ..registry import PositiveInt, Share
from ..tasks.images import MEAN, STD
from .backbones.clip import dense, load_towers, towers
from .backbones.vit import HEAD, PATCH
from .layers.prompts import NAME, ContextDecoder, Prompts
from .layers.pyramid import FeaturePyramid, Rescale, SemanticHead
from .layers.sizes import cut, pad, scaled

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest level's stride
TAPS = (3, 5, 7, 11)  # the image tower's blocks, from 0, whose outputs are the four levels
SCORED = 2  # the level that the scores join: that at the patches' own stride
TEMPERATURE = 0.07  # of the supervised scores


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    classes: Sequence[str],
    model: Literal["ViT-B-16-quickgelu", "ViT-B-16"] = "ViT-B-16-quickgelu",
    contexts: PositiveInt = 8,
    channels: PositiveInt = 256,
    decoder_channels: PositiveInt = 256,
    decoder_layers: PositiveInt = 3,
    drop_path: Share = 0.1,
    image_size: PositiveInt = 640,
    pretrained: str | None = None,
) -> DenseCLIP:
    """Build DenseCLIP.

    Args:
        num_classes: K.
        width: scales every channel count; those of transformers by heads of 64.
        depth: scales the number of blocks of both towers.
        classes: the K names; three word pieces of each are read.
        model: open_clip's architecture; OpenAI's weights were trained with QuickGELU.
        contexts: number of learnt tokens in front of a name.
        channels: of the pyramid and of the head at width 1.
        decoder_channels: of the context decoder at width 1.
        decoder_layers: of the context decoder.
        drop_path: of the image tower's last block, falling to 0 at the first.
        image_size: the image tower has a grid of positions for images of this many pixels a side.
        pretrained: a .safetensors, .pt, .pth or .bin file of open_clip's state, one of its tags ("openai"),
            "hf-hub:ORG/NAME" or "local-dir:FOLDER". Every weight of both towers must be there; positions
            are interpolated.
    """
    if len(classes) != num_classes:
        raise DejavuError(f"DenseCLIP needs a name of each of the {num_classes} classes, not {len(classes)}")
    image_tower, text_tower = towers(model, width, depth, image_size, drop_path)
    load_towers(model, image_tower, text_tower, pretrained)
    most = text_tower.context_length - NAME
    if contexts > most:
        raise DejavuError(f"network.contexts must be at most {most}, not {contexts}")
    return DenseCLIP(
        image_tower,
        Prompts(text_tower, classes, contexts, model),
        ContextDecoder(
            image_tower.output_dim, scaled(decoder_channels, width, multiple=HEAD), decoder_layers
        ),
        scaled(channels, width),
    )


class DenseCLIP(nn.Module):
    """Pixel-text scores guide a Semantic FPN on CLIP's image tower.

    Inputs whose sides are no multiples of 32 are padded with their border, and the logits cropped. In
    training mode it returns {"out": logits, "auxiliary": {"scores": scores / 0.07 at stride 16}}.
    """

    stride = 4
    auxiliary_outputs = ("scores",)
    training_only = ("prompts",)
    contrast: Tensor
    brightness: Tensor

    def __init__(self, backbone: Any, prompts: Prompts, decoder: ContextDecoder, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.prompts = prompts
        self.decoder = decoder
        self.gamma = nn.Parameter(torch.full((backbone.output_dim,), 1e-4))
        own = backbone.transformer.width
        inputs = [own] * len(TAPS)
        inputs[SCORED] += len(prompts.names)
        self.rescale = Rescale(own)
        self.neck = FeaturePyramid(inputs, channels)
        self.head = SemanticHead(len(prompts.names), channels, channels)
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1)
            for values in (MEAN, STD, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        # Images come normalised with ImageNet's mean and deviation; CLIP has others.
        self.register_buffer("contrast", std / own_std, persistent=False)
        self.register_buffer("brightness", (mean - own_mean) / own_std, persistent=False)

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Class logits of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up."""
        size = (images.shape[-2], images.shape[-1])
        padded = pad(images, MULTIPLE) * self.contrast + self.brightness
        maps, embedded = dense(self.backbone, padded, TAPS)
        scores = self._scores(embedded, maps[SCORED].shape[-2:])
        levels = self.rescale(maps)
        levels[SCORED] = torch.cat([levels[SCORED], scores], 1)
        logits = cut(self.head(self.neck(levels)), size, self.stride)
        if not self.training:
            return logits
        return {"out": logits, "auxiliary": {"scores": cut(scores / TEMPERATURE, size, PATCH)}}

    def _scores(self, embedded: Tensor, grid: Sequence[int]) -> Tensor:
        """Cosines (N, K, h, w) of the patches with the classes, from embeddings (N, 1 + h * w, D)."""
        texts = self.prompts()  # (K, D)
        texts = texts + self.gamma * self.decoder(texts, embedded)  # (N, K, D)
        patches = F.normalize(embedded[:, 1:], dim=2)
        return (F.normalize(texts, dim=2) @ patches.transpose(1, 2)).unflatten(2, tuple(grid))
