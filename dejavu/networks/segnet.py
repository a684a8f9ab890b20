"""SegNet with one shared trunk and a head for each task, as VICO-UoE/MTPSL trains it on NYUD-v2 ("standard").

25.06 M parameters and 68.6 GMACs at 288x384 for 13 classes, depth and normals. A single task has the same
trunk and one head; the public code's single-task networks carry two more heads, which nothing teaches.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .backbones import segnet
from .layers.sizes import pad

MULTITASK = True


def build(
    num_classes: int | Mapping[str, int],
    width: float = 1.0,
    depth: float = 1.0,
    *,
    unit: bool = True,
) -> SegNet:
    """Build SegNet.

    Args:
        num_classes: K of a single task, or each task's channels, such as {"semantic": 13, "depth": 1}.
        width: scales every channel count; rounded to the nearest whole number, at least 4.
        depth: scales the number of convolutions of a stage, at least one. All five stages stay, and with
            them the strides: fewer would make another class.
        unit: undo ImageNet's normalisation first, because the public code gives images in [0, 1].
    """
    network = SegNet(num_classes, width, depth, unit)
    segnet.start(network)
    return network


class SegNet(segnet.TrunkNetwork):
    """Five stages down and five up, which all tasks share, and a 3x3 and a 1x1 convolution for each task.

    Inputs whose sides are no multiples of 32 are padded with their border, and the predictions cropped.
    Semantic predictions are logits, depth is in metres, normals are of any length.
    """

    def __init__(
        self, num_classes: int | Mapping[str, int], width: float = 1.0, depth: float = 1.0, unit: bool = True
    ) -> None:
        super().__init__(num_classes, width, depth, unit)
        filters = self.trunk.filters[0]
        self.heads = nn.ModuleDict(
            {task: segnet.head(filters, count) for task, count in self.channels.items()}
        )

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Predictions of normalised images (N, 3, H, W): (N, K, H, W), by task where there is more than one.

        With more than one task, in training mode also "features": the bottleneck (N, F, H/32, W/32).
        """
        size = (images.shape[-2], images.shape[-1])
        x, indices = self.unit(pad(images, segnet.MULTIPLE)), []
        for stage in self.trunk.encoder:
            x, index = segnet.pool(stage(x)[1])
            indices.append(index)
        features = x
        for stage, index in zip(self.trunk.decoder, reversed(indices), strict=True):
            x = stage(segnet.unpool(x, index))[1]
        # Deployed, and counted, is the published network; in training the heads are taken together.
        maps = segnet.predict(dict(self.heads.items()), x, joined=self.training)
        return self.output(maps, features, size)
