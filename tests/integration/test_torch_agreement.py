# SPDX-License-Identifier: Apache-2.0
"""`Runtime.infer` equals the torch module at every level, through the file and the kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aio.models import AllInOne, zoo
from aio.models.switchable import SwitchableBatchNorm
from aio.runtime import Runtime, native_info

RATIOS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
# Relative to the largest answer. Both sides add up some 4,000 float32 products in their own order.
TOLERANCE = 2e-5


class Odd(nn.Module):
    """Sizes that fit no tile: odd channels, rectangular kernels, dilation, strides, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 19, (3, 5), padding=(1, 2))
        self.second = nn.Conv2d(19, 37, 3, stride=(2, 3), padding=2, dilation=2)
        self.third = nn.Conv2d(37, 37, 1, bias=False)
        self.bn = nn.BatchNorm2d(37)
        self.average = nn.AvgPool2d(2, stride=1, padding=1)
        self.hidden = nn.Linear(37 * 10 * 7, 45)
        self.last = nn.Linear(45, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.hardswish(self.first(x))
        x = nn.functional.relu6(self.second(x))
        x = self.bn(self.third(x)) + x
        x = self.average(torch.relu(x))
        result: torch.Tensor = self.last(torch.relu(self.hidden(x.flatten(1))))
        return result


def like_trained(net: nn.Module) -> AllInOne:
    """Return the network with levels that differ in masks and in batch normalisation."""
    model = AllInOne(net, RATIOS)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SwitchableBatchNorm):
                for level in range(len(RATIOS)):
                    norm = module.at(level)
                    assert norm.running_mean is not None
                    assert norm.running_var is not None
                    norm.running_mean.normal_(0, 0.2)
                    norm.running_var.uniform_(0.5, 2.0)
        for layer in model.masked_layers().values():
            layer.score.uniform_()
    model.update_thresholds()
    return model.eval()


def resnet18() -> nn.Module:
    return zoo.resnet18(num_classes=100)


@pytest.mark.parametrize(
    ("make", "shape"),
    [(Odd, (2, 3, 17, 16)), (zoo.digits_resnet, (5, 1, 8, 8)), (resnet18, (1, 3, 64, 64))],
)
def test_every_level(make: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = like_trained(make())
    x = torch.randn(shape)
    model.export(tmp_path / "model.aio", x)
    for isa in native_info()["isa_found"]:
        with Runtime.load(tmp_path / "model.aio", isa=isa, calibrate=False) as runtime:
            worst = max(error_at(level, model, x, runtime) for level in range(len(RATIOS)))
        print(f"{make.__name__}, {isa}: {worst:.1e} of the largest answer")  # shown by -rP
        assert worst < TOLERANCE


def error_at(level: int, model: AllInOne, x: torch.Tensor, runtime: Runtime) -> float:
    """Return the largest difference, relative to the largest answer."""
    model.set_level(level)
    with torch.no_grad():
        expected = model(x).numpy()
    answer = runtime.infer(x.numpy(), level=level)
    assert answer.shape == expected.shape
    return float(np.abs(answer - expected).max() / np.abs(expected).max())
