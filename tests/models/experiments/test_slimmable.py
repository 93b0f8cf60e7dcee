# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from aio.models import AllInOne, ModelError, zoo
from aio.models.evaluate import recalibrate
from aio.models.experiments.slimmable import Slimmable, count_macs, widths_for
from aio.models.trainer import use_channels_last

SHAPE = (3, 32, 32)


def test_a_level_is_the_ordinary_network_of_its_width() -> None:
    model = Slimmable(zoo.resnet20(), (0.0, 0.5), (1.0, 0.6)).eval()
    x = torch.randn(2, *SHAPE)
    recalibrate(model, lambda: [torch.randn(8, *SHAPE)])
    for level in (0, 1):
        model.set_level(level)
        with torch.no_grad():
            assert torch.allclose(model(x), model.at(level).eval()(x), atol=1e-4)
    narrow = model.at(1).get_submodule("layer1.0.conv1")
    assert isinstance(narrow, nn.Conv2d)
    assert narrow.weight.shape == (10, 10, 3, 3)  # of 16
    AllInOne(model.at(1), (0.0,))  # what it is exported by


def test_full_width_is_the_network_itself() -> None:
    net = zoo.resnet20().eval()
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        assert torch.allclose(Slimmable(net, (0.0,), (1.0,)).eval()(x), net(x), atol=1e-5)


def test_widths_match_multiply_accumulates_from_below() -> None:
    net = zoo.resnet20()
    dense = count_macs(net, SHAPE)
    assert dense == 40_813_184
    wanted = [dense, dense // 2, dense // 10]
    widths = widths_for(net, SHAPE, wanted)
    assert widths[0] == 1.0
    assert widths == sorted(widths, reverse=True)
    for width, macs in zip(widths, wanted, strict=True):
        found = count_macs(Slimmable(net, (0.0,), (width,)).at(0), SHAPE)
        assert 0.75 * macs <= found <= macs


def test_zeros_are_not_counted() -> None:
    model = AllInOne(zoo.resnet20(), (0.0, 0.5))
    dense = count_macs(model, SHAPE)
    model.set_level(1)
    assert 0.48 < count_macs(model, SHAPE) / dense < 0.56
    assert model.training


@pytest.mark.parametrize("width", [0.328, 0.703])
def test_odd_widths_train_with_images_that_are_channels_last(width: float) -> None:
    model = Slimmable(zoo.resnet20(), (0.0, 0.5), (1.0, width))
    use_channels_last(model)
    for _ in range(5):
        x = torch.randn(32, 3, 8, 8).contiguous(memory_format=torch.channels_last)
        model.set_level(1)
        model(x).square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_what_can_not_be_slimmed_is_named() -> None:
    with pytest.raises(ModelError, match="a convolution of 32 groups"):
        Slimmable(zoo.mobilenet_v2(), (0.0,), (1.0,))
    with pytest.raises(ModelError, match="one width for all layers"):
        Slimmable(zoo.resnet20(), (0.0,), (1.0,)).set_layer_levels([0])
