# SPDX-License-Identifier: Apache-2.0
"""MobileNetV3-Large (Howard et al. 2019) with torchvision's state-dict names.

A torchvision checkpoint of the same network loads with `load_state_dict(strict=True)`.
"""

from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aio.models.conv_bn import (
    Activation,
    SqueezeExcitation,
    conv_bn,
    hardswish,
    init_layers,
    make_divisible,
    relu,
)

# As torchvision trains it: the statistics are slow, and the epsilon is that of TensorFlow.
_NORM = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class _Block(NamedTuple):
    kernel: int
    expanded: int
    channels: int
    squeezes: bool
    activation: Activation
    stride: int


# Table 1 of the paper.
_BLOCKS = (
    _Block(3, 16, 16, False, relu, 1),
    _Block(3, 64, 24, False, relu, 2),
    _Block(3, 72, 24, False, relu, 1),
    _Block(5, 72, 40, True, relu, 2),
    _Block(5, 120, 40, True, relu, 1),
    _Block(5, 120, 40, True, relu, 1),
    _Block(3, 240, 80, False, hardswish, 2),
    _Block(3, 200, 80, False, hardswish, 1),
    _Block(3, 184, 80, False, hardswish, 1),
    _Block(3, 184, 80, False, hardswish, 1),
    _Block(3, 480, 112, True, hardswish, 1),
    _Block(3, 672, 112, True, hardswish, 1),
    _Block(5, 672, 160, True, hardswish, 2),
    _Block(5, 960, 160, True, hardswish, 1),
    _Block(5, 960, 160, True, hardswish, 1),
)


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise one, a gate, and a 1x1 one back to few.

    The input is added where shapes allow it.
    """

    def __init__(self, channels_in: int, block: _Block) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        expanded = block.expanded
        if expanded != channels_in:
            layers.append(conv_bn(channels_in, expanded, block.activation, norm=_NORM))
        layers.append(
            conv_bn(
                expanded,
                expanded,
                block.activation,
                kernel=block.kernel,
                stride=block.stride,
                groups=expanded,
                norm=_NORM,
            )
        )
        if block.squeezes:
            squeezed = make_divisible(expanded // 4)
            layers.append(SqueezeExcitation(expanded, squeezed, nn.ReLU, nn.Hardsigmoid))
        layers.append(conv_bn(expanded, block.channels, None, norm=_NORM))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = block.stride == 1 and channels_in == block.channels

    def forward(self, x: Tensor) -> Tensor:
        """Return convolutions(x), plus x where shapes allow it."""
        y = self.block(x)
        return cast("Tensor", y + x if self.use_res_connect else y)


class MobileNetV3Large(nn.Module):
    """Inverted residuals with gates for images of 3 channels.

    Args:
        num_classes: outputs.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        channels = 16
        layers: list[nn.Module] = [conv_bn(3, channels, hardswish, kernel=3, stride=2, norm=_NORM)]
        for block in _BLOCKS:
            layers.append(InvertedResidual(channels, block))
            channels = block.channels
        last = 6 * channels
        layers.append(conv_bn(channels, last, hardswish, norm=_NORM))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(last, 1280), hardswish(), nn.Dropout(0.2), nn.Linear(1280, num_classes)
        )
        init_layers(self, lambda linear: nn.init.normal_(linear.weight, 0.0, 0.01))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 3, H, W)."""
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        return cast("Tensor", self.classifier(x))
