# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-B0 (Tan and Le 2019) with torchvision's state-dict names.

A torchvision checkpoint of the same network loads with `load_state_dict(strict=True)`.
"""

from typing import cast

import torch
from torch import Tensor, nn

from aio.models.conv_bn import (
    SqueezeExcitation,
    StochasticDepth,
    conv_bn,
    init_layers,
    silu,
)

# Expansion, kernel, stride of the first block, channels and blocks: table 1 of the paper.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_DROP_BRANCH = 0.2  # of the last block; it rises from 0 linearly


class MBConv(nn.Module):
    """A 1x1 convolution to more channels, a depthwise one, a gate, and a 1x1 one back to few.

    The input is added where shapes allow it. The gate's hidden layer is a quarter of the block's
    input channels.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        drop: float,
    ) -> None:
        super().__init__()
        expanded = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(conv_bn(channels_in, expanded, silu))
        layers += [
            conv_bn(expanded, expanded, silu, kernel=kernel, stride=stride, groups=expanded),
            SqueezeExcitation(expanded, max(1, channels_in // 4), silu, nn.Sigmoid),
            conv_bn(expanded, channels, None),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop)
        self.use_res_connect = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """Return convolutions(x), plus x where shapes allow it."""
        y = self.block(x)
        return cast("Tensor", self.stochastic_depth(y) + x if self.use_res_connect else y)


class EfficientNet(nn.Module):
    """Inverted residuals with gates for images of 3 channels.

    Args:
        num_classes: outputs.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        channels = 32
        layers: list[nn.Module] = [conv_bn(3, channels, silu, kernel=3, stride=2)]
        count, total = 0, sum(depth for *_, depth in _STAGES)
        for expansion, kernel, stride, outputs, depth in _STAGES:
            blocks = []
            for block in range(depth):
                drop = _DROP_BRANCH * count / total
                step = stride if block == 0 else 1
                blocks.append(
                    MBConv(
                        channels,
                        outputs,
                        kernel=kernel,
                        stride=step,
                        expansion=expansion,
                        drop=drop,
                    )
                )
                channels, count = outputs, count + 1
            layers.append(nn.Sequential(*blocks))
        last = 4 * channels
        layers.append(conv_bn(channels, last, silu))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(last, num_classes))
        init_layers(self, _init_linear)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 3, H, W)."""
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        return cast("Tensor", self.classifier(x))


def _init_linear(linear: nn.Linear) -> None:
    spread = linear.out_features**-0.5
    nn.init.uniform_(linear.weight, -spread, spread)
