"""Feature pyramids: four maps at strides 4, 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork


class Rescale(nn.Module):
    """Four maps of a plain vision transformer, all at stride 16, to strides 4, 8, 16 and 32.

    By transposed convolutions and pooling, after a norm over a map's channels and positions, as in
    DenseCLIP (Rao et al., CVPR 2022) and its baseline.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return nn.GroupNorm(1, channels)

        def double() -> nn.Module:
            return nn.ConvTranspose2d(channels, channels, 2, stride=2)

        self.steps = nn.ModuleList(
            [
                nn.Sequential(norm(), double(), nn.BatchNorm2d(channels), nn.GELU(), double()),
                nn.Sequential(norm(), double()),
                norm(),
                nn.Sequential(norm(), nn.MaxPool2d(2)),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (N, C, H/16, W/16) to (N, C, H/4, W/4), (N, C, H/8, W/8), ..."""
        return [step(x) for step, x in zip(self.steps, maps, strict=True)]


class FeaturePyramid(nn.Module):
    """torchvision's FPN (Lin et al., CVPR 2017): coarser maps are added to finer ones, all of one width."""

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(list(inputs), channels)

    @property
    def outputs(self) -> nn.ModuleList:
        """The last convolution of each level."""
        return self.fpn.layer_blocks

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, C_i, H/s_i, W/s_i), finest first, to as many (N, channels, H/s_i, W/s_i)."""
        return list(self.fpn({str(level): x for level, x in enumerate(maps)}).values())


class SemanticHead(nn.Module):
    """The head of Semantic FPN (Kirillov et al., CVPR 2019): every level is brought to stride 4 and summed.

    Each halving of the resolution is undone by a 3x3 convolution, batch norm, ReLU and doubling; the finest
    level has one convolution and no doubling.
    """

    def __init__(
        self, num_classes: int, inputs: int, channels: int, levels: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([self._branch(inputs, channels, level) for level in range(levels)])
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    @staticmethod
    def _branch(inputs: int, channels: int, doublings: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for step in range(max(1, doublings)):
            layers.append(nn.Conv2d(channels if step else inputs, channels, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            if doublings:
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        return nn.Sequential(*layers)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (N, inputs, H/4, W/4), (N, inputs, H/8, W/8), ... to logits (N, K, H/4, W/4)."""
        features = self.branches[0](maps[0])
        for branch, x in zip(list(self.branches)[1:], maps[1:], strict=True):
            features = features + branch(x)
        return self.classifier(self.dropout(features))
