# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2 (Sandler et al. 2018) with torchvision's state-dict names.

A torchvision checkpoint of the same network loads with `load_state_dict(strict=True)`.
"""

from typing import cast

import torch
from torch import Tensor, nn

from aio.models.conv_bn import conv_bn, make_divisible, relu6
from aio.models.errors import ModelError

# Expansion, channels, blocks and stride of the first block, as table 2 of the paper has them.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise 3x3 one, and a 1x1 one back to few.

    The last has no activation; the input is added where shapes allow it.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(conv_bn(channels_in, hidden, relu6))
        layers += [
            conv_bn(hidden, hidden, relu6, kernel=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """Return convolutions(x), plus x where shapes allow it."""
        y = self.conv(x)
        return cast("Tensor", x + y if self.use_res_connect else y)


class MobileNetV2(nn.Module):
    """Inverted residuals for images of 3 channels.

    Args:
        num_classes: outputs.
        width_mult: channels relative to the paper's, each rounded to a multiple of 8.
    """

    def __init__(self, num_classes: int, width_mult: float) -> None:
        super().__init__()
        channels = make_divisible(32 * width_mult)
        layers: list[nn.Module] = [conv_bn(3, channels, relu6, kernel=3, stride=2)]
        for expansion, base, depth, stride in _STAGES:
            outputs = make_divisible(base * width_mult)
            for block in range(depth):
                layers.append(
                    InvertedResidual(channels, outputs, stride if block == 0 else 1, expansion)
                )
                channels = outputs
        last = make_divisible(1280 * max(1.0, width_mult))
        layers.append(conv_bn(channels, last, relu6))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes))
        _init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 3, H, W)."""
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return cast("Tensor", self.classifier(torch.flatten(x, 1)))


def check_width(width_mult: float) -> float:
    """Return a width that makes a network of a sensible size.

    Raises:
        ModelError: it is outside (0, 16].
    """
    if not 0.0 < width_mult <= 16.0:
        raise ModelError(f"width_mult {width_mult} is outside (0, 16]")
    return width_mult


def _init_weights(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)
