"""timm's HRNet backbone in several sizes, and its branches as one map of features at stride 4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from timm.models.hrnet import HighResolutionNetFeatures, cfg_cls
from torch import Tensor, nn

from ...tasks.resampling import enlarge
from ..layers.sizes import fewer, scaled
from ..pretrained import is_meta, load_pretrained, timm_hub

MULTIPLE = 32  # of an input side: the backbone halves it five times and adds the branches up again
STRIDE = 4
STAGES = ("stage2", "stage3", "stage4")
CLASSIFICATION = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")

Layout = dict[str, Any]


def layout(name: str, channels: int | None = None, width: float = 1.0, depth: float = 1.0) -> Layout:
    """timm's configuration hrnet_<name> with other channel and block counts.

    Args:
        name: "w18_small_v2" (two blocks a branch) or "w48" (four).
        channels: c of the finest branch at width 1, the others have 2c, 4c and 8c; None is the name's own.
        width: scales every channel count but the stem's last 64, which timm fixes.
        depth: scales the number of blocks of a branch and of modules of a stage.

    >>> layout("w48")["stage4"]["num_channels"], layout("w18_small_v2", width=0.5)["stage4"]["num_channels"]
    ((48, 96, 192, 384), (9, 18, 36, 72))
    >>> [layout("w18_small_v2", c, width=0.5)["stage4"]["num_channels"] for c in (19, 20)]
    [(10, 19, 38, 76), (10, 20, 40, 80)]
    """
    result: Layout = deepcopy(cfg_cls[f"hrnet_{name}"])
    result["stem_width"] = scaled(result["stem_width"], width)
    result["stage1"]["num_channels"] = (scaled(result["stage1"]["num_channels"][0], width),)
    result["stage1"]["num_blocks"] = tuple(fewer(n, depth) for n in result["stage1"]["num_blocks"])
    finest = channels or result["stage4"]["num_channels"][0]
    for stage in STAGES:
        options = result[stage]
        # Each rounded on its own: at half the width c = 19 and c = 20 would else be the same network.
        options["num_channels"] = tuple(scaled(finest * 2**i, width) for i in range(options["num_branches"]))
        options["num_blocks"] = tuple(fewer(n, depth) for n in options["num_blocks"])
        options["num_modules"] = fewer(options["num_modules"], depth)
    return result


def backbone(configuration: Layout) -> HighResolutionNetFeatures:
    """Images (N, 3, H, W), sides multiples of 32, to four maps: (N, c, H/4, W/4), (N, 2c, H/8, W/8), ..."""
    return HighResolutionNetFeatures(configuration, feature_location="", out_indices=(1, 2, 3, 4))


def width_of(configuration: Layout, stage: str = "stage4") -> int:
    """Channels of a stage's concatenated branches: 3c, 7c and 15c for stages 2 to 4."""
    return sum(configuration[stage]["num_channels"])


def classifier(features: int, num_classes: int) -> nn.Sequential:
    """HRNet's head: (N, features, h, w) to logits (N, num_classes, h, w)."""
    return nn.Sequential(
        nn.Conv2d(features, features, 1),
        nn.BatchNorm2d(features),
        nn.ReLU(inplace=True),
        nn.Conv2d(features, num_classes, 1),
    )


def concatenate(branches: Sequence[Tensor], align_corners: bool) -> Tensor:
    """Join the branches, finest first, at the finest one's grid: (N, 15c, H/4, W/4) of all four."""
    finest, *coarser = branches
    return torch.cat([finest, *(enlarge(branch, finest, align_corners) for branch in coarser)], 1)


@contextmanager
def record_stages(
    module: HighResolutionNetFeatures, stages: Sequence[str]
) -> Iterator[dict[str, list[Tensor]]]:
    """Within it, running the backbone also fills the mapping {stage: its branches, finest first}."""
    outputs: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, list[Tensor]], None]:
        return lambda module, given, branches: outputs.update({name: branches})

    hooks = [getattr(module, name).register_forward_hook(keep(name)) for name in stages]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def start(module: HighResolutionNetFeatures, pretrained: str | None) -> None:
    """Load a backbone's pretrained weights, if there are any, all of them. Raises DejavuError."""
    if pretrained is not None and not is_meta(module):
        load_pretrained(module, pretrained, hub=timm_hub, leave=CLASSIFICATION)
