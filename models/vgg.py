# SPDX-License-Identifier: Apache-2.0
"""VGG with batch normalisation (Simonyan and Zisserman 2015) with torchvision's state-dict names.

A torchvision checkpoint of the same network loads with `load_state_dict(strict=True)`.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each ended by max pooling, and three linear layers.

    Args:
        stages: the channels of every convolution, by stage.
        num_classes: outputs.
    """

    def __init__(self, stages: Sequence[Sequence[int]], num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for stage in stages:
            for channels in stage:
                layers += [
                    nn.Conv2d(inputs, channels, 3, padding=1),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                inputs = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, num_classes),
        )
        _init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 3, H, W)."""
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        return cast("Tensor", self.classifier(x))


def _init_weights(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)
