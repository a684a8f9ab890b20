"""The image and text towers of an open_clip model, for dense prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import open_clip
import torch
from open_clip.transformer import QuickGELU
from timm.layers import DropPath, calculate_drop_path_rates
from torch import Tensor

from ...errors import DejavuError, nearest
from ...method.frozen.clip import SCHEMES
from ..layers.sizes import fewer, scaled
from ..pretrained import Weights, is_meta, load_pretrained
from .vit import HEAD, block_indices, positions

UNUSED = ("logit_bias", "input_resolution", "context_length", "vocab_size")  # in some files of weights
POSITIONS = "positional_embedding"


def towers(
    model: str, width: float, depth: float, image_size: int, drop_path: float = 0.0
) -> tuple[Any, Any]:
    """Return an open_clip model's image tower, and the rest of it, which is the text tower; random weights.

    Args:
        model: its name, of a plain ViT such as "ViT-B-16-quickgelu".
        width: scales the towers' attention heads of 64 channels and the width of their common space.
        depth: scales the number of their blocks.
        image_size: side in pixels of the images for which positions are learnt; other grids interpolate them.
        drop_path: probability with which the image tower's last block's branches are left out; 0 at the
            first, linear.
    """
    settings: dict[str, Any] = open_clip.get_model_config(model)
    vision, text = dict(settings["vision_cfg"]), dict(settings["text_cfg"])
    patch = vision["patch_size"]
    if image_size % patch:
        raise DejavuError(f"network.image_size must be a multiple of {patch}, not {image_size}")
    for tower in (vision, text):
        tower["width"] = scaled(tower["width"], width, multiple=HEAD)
        tower["layers"] = fewer(tower["layers"], depth)
        tower["block_type"] = "custom"  # the same weights and result; nn.MultiheadAttention hides its cost
    vision["image_size"] = image_size
    text["heads"] = text["width"] // HEAD
    network = open_clip.CLIP(
        embed_dim=scaled(settings["embed_dim"], width, multiple=HEAD),
        vision_cfg=vision,
        text_cfg=text,
        quick_gelu=settings.get("quick_gelu", False),
    )
    image_tower = network.visual
    del network.visual
    _drop_paths(image_tower, drop_path)
    return image_tower, network


def _drop_paths(tower: Any, rate: float) -> None:
    """Add drop path, which open_clip lacks, in place of the layer scale, which these models do not have."""
    blocks = tower.transformer.resblocks
    rates: Any = calculate_drop_path_rates(rate, len(blocks))
    for block, own in zip(blocks, rates, strict=True):
        if own > 0:
            block.ls_1, block.ls_2 = DropPath(own), DropPath(own)


def dense(tower: Any, images: Tensor, blocks: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """Run the image tower on images (N, 3, H, W) of any size, and keep every patch.

    Args:
        tower: the image tower.
        images: normalised as it expects, sides multiples of its patch.
        blocks: from 0 to 11.

    Returns:
        the maps (N, C, H/16, W/16) after these blocks, and the embeddings (N, 1 + H/16 * W/16, D), in the
        space that texts share, of the image and of each patch.
    """
    x = tower.conv1(images)  # (N, C, h, w)
    count, grid = len(x), (x.shape[-2], x.shape[-1])
    x = torch.cat([tower.class_embedding.expand(count, 1, -1), x.flatten(2).transpose(1, 2)], 1)
    x = tower.ln_pre(x + positions(tower.positional_embedding[None], grid, mode="bilinear"))
    wanted = block_indices(blocks, len(tower.transformer.resblocks))
    once = sorted(set(wanted))
    x, taken = tower.transformer.forward_intermediates(x, indices=once)
    maps = [tokens[:, 1:].transpose(1, 2).reshape(count, -1, *grid) for tokens in taken]
    return [maps[once.index(index)] for index in wanted], tower.ln_post(x) @ tower.proj


def load_towers(model: str, image_tower: Any, text_tower: Any, source: str | None) -> None:
    """Load both, strictly.

    Args:
        model: the architecture's name.
        image_tower: see `towers`; positions are interpolated to its grid.
        text_tower: see `towers`.
        source: a .safetensors, .pt, .pth or .bin file of open_clip's state, one of its tags of the model
            such as "openai", "hf-hub:ORG/NAME" or "local-dir:FOLDER".

    Raises:
        DejavuError: the weights are missing, cannot be read or do not fit.
    """
    if source is None or is_meta(image_tower):
        return

    @cache
    def hub(name: str) -> Weights:
        return _downloaded(model, name)

    def visual(given: dict[str, Tensor]) -> Mapping[str, Tensor]:
        own = {k.removeprefix("visual."): v for k, v in given.items() if k.startswith("visual.")}
        if POSITIONS in own:
            own[POSITIONS] = positions(own[POSITIONS][None], image_tower.grid_size, mode="bilinear")[0]
        return own

    load_pretrained(image_tower, source, hub=hub, leave=UNUSED, adapt=visual)
    load_pretrained(text_tower, source, hub=hub, leave=("visual.", *UNUSED))


def _downloaded(model: str, name: str) -> Weights:
    """Load the weights of a tag, of the hub or of a folder.

    Raises DejavuError for an unknown name, and for weights that belong to another activation.
    """
    quick = bool(open_clip.get_model_config(model).get("quick_gelu"))
    if name.startswith(SCHEMES):
        network: Any = open_clip.create_model(name, require_pretrained=True)
        theirs = any(isinstance(module, QuickGELU) for module in network.modules())
    elif open_clip.is_pretrained_cfg(model, name):
        theirs = bool(open_clip.get_pretrained_cfg(model, name).get("quick_gelu"))
        network = open_clip.create_model(model, name, require_pretrained=True, force_quick_gelu=theirs)
    else:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise DejavuError(
            f"pretrained {name!r} is neither a weights file nor {SCHEMES[0]}NAME nor a tag of {model}, "
            f"{nearest(name, tags)}"
        )
    if theirs != quick:
        raise DejavuError(
            f"pretrained {name!r} was trained with{'' if theirs else 'out'} QuickGELU, {model} is "
            f"with{'' if quick else 'out'}: name the other one as network.model"
        )
    return network.state_dict()
