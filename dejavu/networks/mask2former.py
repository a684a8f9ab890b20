"""Mask2Former, transformers' own, for semantic segmentation: a set of queries, each a class and a mask.

Cheng et al., CVPR 2022. Swin-L with 100 queries, as facebookresearch/Mask2Former has it for Cityscapes and
ADE20K (its panoptic Swin-L has 200): 215.5 M parameters, 491.8 GMACs at 512x1024 with 19 classes, 250.1 at
512x512, which is the paper's 251.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoder

from ..registry import PositiveInt, Share
from .backbones.swin import HEAD, SWINS, Swin, as_published, load_swin, swin_config
from .layers.mask_sets import Layer, Masks, binary_masks, count_masks_of_all, full_precision, layer_of, layers
from .layers.sizes import cut, fewer, pad, scaled

MULTIPLE = 32  # input sides are padded to multiples of it: the coarsest stage's stride
LEVELS = 3  # feature maps that the queries attend in turn
POINTS = 12544  # at which masks are compared
CHANNELS = 256  # HEAD of them are an attention head of the decoders, too, at any width, and a group of a norm

LOG_SCORES = True  # what the network returns are logarithms of class scores

Kind = TypeVar("Kind", bound="Mask2Former")


def build(
    num_classes: int,
    width: float = 1.0,
    depth: float = 1.0,
    *,
    backbone: Literal["swin_tiny", "swin_large"] = "swin_large",
    queries: PositiveInt = 100,
    drop_path: Share = 0.3,
    pretrained: str | None = None,
) -> Mask2Former:
    """Build Mask2Former.

    Args:
        num_classes: K.
        width: scales all channel counts, Swin's windows, since small scales have small images, and the number
            of queries, at least 8.
        depth: scales the numbers of blocks and layers; of the queries' decoder at least 3 are left, so that
            every feature map is attended once.
        backbone: Swin-T with windows of 7, or Swin-L with windows of 12.
        queries: number of queries at width 1.
        drop_path: chance that Swin's last block is left out in training; it rises linearly from 0 at the
            first.
        pretrained: a file of Swin's ImageNet classifier as transformers has it, or its name on the hub, which
            is downloaded: microsoft/swin-large-patch4-window12-384-in22k or
            microsoft/swin-tiny-patch4-window7-224. Every weight of Swin must be there.
    """
    return assemble(Mask2Former, num_classes, width, depth, SWINS[backbone], queries, drop_path, pretrained)


def assemble(
    kind: type[Kind],
    num_classes: int,
    width: float,
    depth: float,
    swin: Swin,
    queries: int,
    drop_path: float,
    pretrained: str | None,
) -> Kind:
    """Build Mask2Former, or a subclass, with its backbone's weights. For the arguments see `build`."""
    backbone = swin_config(swin, width, depth, float(drop_path))
    channels = scaled(CHANNELS, width, multiple=HEAD)
    network = kind(decoder_config(backbone, num_classes, channels, depth, scaled(queries, width, least=8)))
    load_swin(network.backbone, pretrained)
    return network


class Mask2Former(nn.Module):
    """Swin, deformable pixel decoder and masked-attention decoder.

    A pixel's score of a class is the sum over queries of the class's probability ("no object" left out) times
    the mask's. The network returns the logarithm of it: its softmax is the score divided by the sum over
    classes, and its largest class that of the scores.

    Inputs whose sides are no multiples of 32 are padded with their border, and the predictions cropped.
    """

    stride = 4

    def __init__(self, config: Any, backbone: Any = None) -> None:
        """Build the network on the configuration's Swin, or on `backbone`, which is then used as it is.

        backbone: images (N, 3, H, W) to an object whose `feature_maps` are four, at strides 4 to 32; its
            `channels` are theirs.
        """
        super().__init__()
        device = torch.get_default_device()
        # One parameter is made by `torch.Tensor`, which knows no default device: it is moved, and what its
        # values took from the random numbers is given back.
        with torch.random.fork_rng(devices=[], enabled=device.type == "meta"):
            model: Any = Mask2FormerForUniversalSegmentation(config)
            if backbone is not None:
                pixels = model.model.pixel_level_module
                pixels.encoder = backbone
                pixels.decoder = Mask2FormerPixelDecoder(config, backbone.channels)
                pixels.decoder.apply(model._init_weights)
            self.model = model.to(device)
        if backbone is None:
            as_published(self.backbone)
        count_masks_of_all(model.criterion)

    @property
    def backbone(self) -> Any:
        """transformers' SwinBackbone, or the other one that was given."""
        return self.model.model.pixel_level_module.encoder

    def forward(self, images: Tensor) -> Tensor | dict[str, Any]:
        """Log scores of normalised images: (N, 3, H, W) to (N, K, H/4, W/4), rounded up.

        In training mode the mapping {"out": log scores, "class_queries_logits": (N, Q, K + 1),
        "masks_queries_logits": (N, Q, H/4, W/4), "intermediate": the same two of each earlier layer}.
        """
        last, *earlier = self.layer_predictions(images)
        out = log_scores(last["class_queries_logits"], last["masks_queries_logits"])
        return {"out": out, **last, "intermediate": earlier} if self.training else out

    def layer_predictions(self, images: Tensor) -> list[Layer]:
        """Predict by each layer, the last one first, from images (N, 3, H, W): masks (N, Q, H/4, W/4)."""
        size = (images.shape[-2], images.shape[-1])
        outputs = self.model(pad(images, MULTIPLE), output_auxiliary_logits=True)
        return [
            layer_of(layer["class_queries_logits"], cut(layer["masks_queries_logits"], size, self.stride))
            for layer in (outputs, *outputs.auxiliary_logits)
        ]

    def criterion(self, prediction: dict[str, Any], labels: Tensor, ignore_index: int = 255) -> Tensor:
        """Compute the paper's loss of the network's output in training mode: a scalar.

        Each class that is in an image is one mask, which the Hungarian algorithm gives to one query; class
        (2), mask (5) and Dice (5) losses are summed over all layers. Pixels to be ignored belong to no mask,
        as in the official data preparation. Masks are compared at 12544 random points, or as many as they
        have cells if these are fewer.

        Args:
            labels: (N, H, W), int64.
        """
        return self.set_loss(prediction, binary_masks(labels, ignore_index))

    def set_loss(self, prediction: Any, truth: Masks) -> Tensor:
        """Compute the loss of all layers of a prediction with these target masks: a scalar."""
        (masks, classes), (last, *earlier) = truth, layers(prediction)
        loss = self.model.criterion
        loss.num_points = loss.matcher.num_points = min(POINTS, last["masks_queries_logits"][0, 0].numel())
        with full_precision(last["masks_queries_logits"].device):
            losses = self.model.get_loss_dict(
                **last, mask_labels=masks, class_labels=classes, auxiliary_predictions=earlier
            )
        return self.model.get_loss(losses)


def log_scores(classes: Tensor, masks: Tensor) -> Tensor:
    """Logarithm of each class's score at each pixel, at least that of the smallest normal number.

    classes (N, Q, K + 1), logits whose last is "no object"; masks (N, Q, h, w), logits -> (N, K, h, w).
    """
    with full_precision(masks.device):
        probabilities = classes.float().softmax(-1)[..., :-1]
        scores = torch.einsum("nqk,nqhw->nkhw", probabilities, masks.float().sigmoid())
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()


def decoder_config(
    backbone: Any, num_classes: int, channels: int, depth: float, queries: int, feedforward: int = 8
) -> Any:
    """transformers' configuration of the decoders behind a backbone, and of the loss.

    Args:
        backbone: its configuration.
        num_classes: K.
        channels: of both decoders, a multiple of `HEAD`.
        depth: scales the numbers of layers.
        queries: their number.
        feedforward: hidden channels of the queries' feed-forward layers, as a multiple of `channels`.
    """
    return Mask2FormerConfig(
        backbone_config=backbone,
        num_labels=num_classes,  # type: ignore[call-arg]
        num_queries=queries,
        feature_size=channels,
        mask_feature_size=channels,
        hidden_dim=channels,
        num_attention_heads=channels // HEAD,
        encoder_feedforward_dim=4 * channels,
        dim_feedforward=feedforward * channels,
        encoder_layers=fewer(6, depth),
        decoder_layers=max(LEVELS, fewer(9, depth)) + 1,  # counts the queries' prediction before any layer
        no_object_weight=0.1,
        class_weight=2.0,
        mask_weight=5.0,
        dice_weight=5.0,
        train_num_points=POINTS,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
    )
