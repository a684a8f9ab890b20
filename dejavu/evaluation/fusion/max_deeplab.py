"""MaX-DeepLab's inference ("pixelwise" in the public code): a pixel belongs to the slot of the largest mask.

Wang et al., CVPR 2021. A slot counts if its class is likely enough. A pixel is void if its slot does not
count, or if its mask is not likely enough among those that count; so are things and kinds of stuff that are
too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import NotNegative, Share
from ...tasks.segments import VOID
from .base import QueryFusion, Size, segment_codes


@dataclass(frozen=True)
class MaxDeepLabFusion(QueryFusion):
    """MaX-DeepLab's fusion, of masks that are a softmax over all slots.

    Args:
        threshold: slots whose class is less likely are left out.
        pixel: pixels whose slot's mask is not more likely than this are void.
        things: things of fewer pixels of the network's input are void. This is for inputs with a long side of
            1025, and is proportional to its square: 100 for 641, as published.
        stuff: the same of kinds of stuff, whose slots are counted together.
    """

    threshold: Share = 0.7
    pixel: Share = 0.4
    things: NotNegative = 256
    stuff: NotNegative = 4096

    def fuse(self, classes: Tensor, masks: Tensor, shown: Size, size: Size, things: Sequence[bool]) -> Tensor:
        scores, labels = classes.softmax(-1)[:, :-1].max(-1)  # (Q,), "no object" left out
        kept = scores >= self.threshold
        if not kept.any():
            return labels.new_full(size, VOID)
        logits = corners_enlarged(F.logsigmoid(masks.float()), shown)  # (Q, H, W)
        winner = logits.argmax(0)
        owner_probability = logits.masked_fill(~kept[:, None, None], -torch.inf).softmax(0).max(0).values
        sure = kept[winner] & (owner_probability > self.pixel)
        # The slots of a kind of stuff are one segment.
        is_thing = torch.tensor(things, device=labels.device)[labels]
        first = (labels[:, None] == labels[None]).float().argmax(1)  # the first slot of this class
        segment = torch.where(is_thing, torch.arange(len(labels), device=labels.device), first)
        areas = segment[winner][sure].bincount(minlength=len(labels))[segment]
        share = ((max(shown) + 1) / 1025) ** 2  # the network adds a row and a column
        large = areas >= share * torch.where(is_thing, self.things, self.stuff)
        codes = segment_codes(labels, kept & large & (areas > 0), things)
        fused = codes[winner].where(sure, VOID)
        if shown == size:
            return fused
        return F.interpolate(fused[None, None].double(), size=size, mode="nearest")[0, 0].to(fused.dtype)


def corners_enlarged(masks: Tensor, size: Size) -> Tensor:
    """Enlarge masks (Q, h, w) to (Q, H, W); cells lie at every so many pixels, from the first one on.

    Beyond the last cell the masks go on as they are there.
    """
    steps = [-(-full // cells) for full, cells in zip(size, masks.shape[1:], strict=True)]
    padded = F.pad(masks[None], (0, 1, 0, 1), mode="replicate")
    target = [step * cells + 1 for step, cells in zip(steps, masks.shape[1:], strict=True)]
    full = F.interpolate(padded, size=target, mode="bilinear", align_corners=True)[0]
    return full[:, : size[0], : size[1]]
