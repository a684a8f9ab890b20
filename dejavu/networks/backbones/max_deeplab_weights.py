"""MaX-DeepLab's ImageNet weights, from a file that holds TensorFlow's variables under their own names.

The weights are published as checkpoints of TensorFlow alone. Their variables, saved as .safetensors in their
own layout, are renamed and transposed here:

    reader = tf.train.load_checkpoint("max_deeplab_s_backbone/ckpt")
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("encoder/")]
    save_file({name: reader.get_tensor(name) for name in names}, "s.safetensors")  # of safetensors.numpy
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from ...errors import DejavuError
from ..pretrained import is_meta, load_pretrained

OURS = {  # TensorFlow's name of a module or variable: the name here
    "conv1_bn_act": "body.first",
    "conv2_bn_act": "body.middle",
    "conv2_bn": "body.last",
    "conv3_bn": "body.last",
    "attention": "body.middle.attention",
    "height_axis": "height",
    "width_axis": "width",
    "strided_conv_bn1": "project",
    "resized_conv_bn1": "project",
    "batch_norm": "norm",
    "batch_norm_qkv": "project_norm",
    "batch_norm_similarity": "logit_norm",
    "batch_norm_retrieved_output": "value_norm",
    "qkv_kernel": "project.weight",
    "query_rpe": "query_table",
    "key_rpe": "key_table",
    "value_rpe": "value_table",
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
STEM = {"conv1_bn_act": "0", "conv2_bn_act": "1", "conv3_bn": "2"}  # of S


def load_max_deeplab(backbone: nn.Module, pretrained: str | None) -> None:
    """Load the backbone's ImageNet weights; None, or a backbone without values, loads nothing.

    Raises DejavuError if they are missing, cannot be read or do not fit.
    """
    if pretrained is not None and not is_meta(backbone):
        load_pretrained(backbone, pretrained, hub=_no_hub, adapt=lambda given: _adapted(given, backbone))


def _no_hub(name: str) -> Mapping[str, Tensor]:
    raise DejavuError(
        f"pretrained {name!r} is no file, and no hub has MaX-DeepLab's weights: name a .safetensors file of "
        "TensorFlow's variables (dejavu/networks/backbones/max_deeplab_weights.py has how it is made)"
    )


def _adapted(given: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Rename TensorFlow's variables of the encoder; others, such as the classifier's, are left out."""
    if not any(name.startswith("encoder/") for name in given):
        return given
    own = backbone.state_dict()
    weights = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    for theirs, value in given.items():
        if theirs.startswith("encoder/"):
            name = our_name(theirs)
            weights[name] = _reshaped(value, own[name]) if name in own else value
    return weights


def our_name(theirs: str) -> str:
    """Return the name here of a variable of TensorFlow's checkpoint.

    >>> our_name("encoder/_stage4/_block6/_conv3_bn/_batch_norm/gamma/.ATTRIBUTES/VARIABLE_VALUE")
    'stages.stage4.5.body.last.norm.weight'
    >>> our_name("encoder/_decoder_stage4_resized_fuse/_strided_conv_bn1/_conv/kernel")
    'steps.3.fuse.project.conv.weight'
    """
    _, group, *rest = (
        theirs.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace("/_embeddings", "").split("/")
    )
    step = re.fullmatch(r"_decoder_stage(\d+)(_resized_fuse)?", group)
    if step:
        first = f"steps.{int(step[1]) - 1}.{'fuse' if step[2] else 'blocks'}"
    else:
        first = re.sub(r"^_stage", "stages.stage", group).removeprefix("_")
    renames = OURS | STEM if first == "stem" else OURS
    return ".".join([first, *(_renamed(word.removeprefix("_"), renames) for word in rest)])


def _renamed(word: str, renames: Mapping[str, str]) -> str:
    block = re.fullmatch(r"block(\d+)", word)
    return str(int(block[1]) - 1) if block else renames.get(word, word)


def _reshaped(value: Tensor, own: Tensor) -> Tensor:
    """Return a variable in torch's layout: kernels have their outputs first, norms one axis.

    (height, width, in, out) of a convolution, (in, out) of an attention's projection. A norm over more than
    one axis of TensorFlow's has its channels in the same order, with axes of 1 between them.
    """
    if own.ndim == 4:
        value = value[None, None] if value.ndim == 2 else value
        value = value.permute(3, 2, 0, 1).contiguous() if value.ndim == 4 else value
    elif own.ndim == 1 and value.numel() == own.numel():
        value = value.flatten()
    return value
